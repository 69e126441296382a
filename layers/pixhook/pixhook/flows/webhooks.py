"""/webhooks: where an account wants to hear of its tasks, what that is signed with, and what came of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Annotated, Literal, Protocol

from pydantic import Field, TypeAdapter
from ulid import ULID

from pixhook.addresses import AddressGuard
from pixhook.errors import NotFound, StoreUnavailable, TooManyWebhooks
from pixhook.flows.deliver import Queues, new_delivery, new_secret, next_turn, redeliver, signing_secrets
from pixhook.flows.deliver import Webhooks as DeliveringWebhooks
from pixhook.flows.requests import check_url, read_body
from pixhook.model import Delivery, Endpoint, EventType, SigningSecrets

MOST_ENDPOINTS = 10

REDELIVERED_WITHIN_SECONDS = 60
"""A redelivery that was asked for has begun, whatever happens."""

OVERLAP = timedelta(hours=24)
"""For so long after a rotation webhooks are signed with the secret before, too."""

type _Events = Annotated[list[Literal["images.completed", "images.failed"]], Field(min_length=1)]


@dataclass(frozen=True, kw_only=True)
class NewEndpoint:
    """What POST /webhooks takes."""

    __pydantic_config__ = {"extra": "forbid", "strict": True}  # noqa: RUF012 - pydantic's name, a constant

    url: str
    events: _Events = field(default_factory=lambda: ["images.completed", "images.failed"])


@dataclass(frozen=True, kw_only=True)
class EndpointChange:
    """What PATCH /webhooks/{id} takes; what is left out stays."""

    __pydantic_config__ = {"extra": "forbid", "strict": True}  # noqa: RUF012 - pydantic's name, a constant

    url: str | None = None
    events: _Events | None = None
    enabled: bool | None = None


_new_endpoint = TypeAdapter(NewEndpoint)
_change = TypeAdapter(EndpointChange)


class ManagingQueues(Queues, Protocol):
    """What managing asks of the queues."""

    def begin_later(self, delivery: Delivery, asked_at: datetime, *, seconds: int) -> None: ...


class Webhooks(DeliveringWebhooks, Protocol):
    """What managing asks of the webhook store."""

    def delete_endpoint(self, account_id: str, endpoint_id: str) -> None: ...
    def deliveries(self, subject: str) -> Sequence[Delivery]: ...


@dataclass(frozen=True, kw_only=True)
class WebhookManager:
    """An account's webhooks, as its holder manages them. Each method raises `StoreUnavailable`."""

    webhooks: Webhooks
    queues: ManagingQueues
    guard: AddressGuard
    clock: Callable[[], datetime]

    def create(self, account_id: str, content_type: str, body: bytes) -> Endpoint:
        """A new endpoint. Raises `TooManyWebhooks`, or `InvalidRequest` with the field at fault."""
        asked = read_body(_new_endpoint, content_type, body)
        check_url(asked.url, self.guard, "url")
        if len(self.webhooks.endpoints(account_id)) >= MOST_ENDPOINTS:
            raise TooManyWebhooks(f"The account has {MOST_ENDPOINTS} webhook endpoints; it may not have more.")
        now = self.clock()
        endpoint = Endpoint(
            id=f"whk_{ULID.from_datetime(now)}",
            account_id=account_id,
            url=asked.url,
            events=frozenset(map(EventType, asked.events)),
            created_at=now,
            updated_at=now,
        )
        self.webhooks.put_endpoint(endpoint)
        return endpoint

    def find(self, account_id: str, endpoint_id: str) -> Endpoint:
        """The account's endpoint. Raises `NotFound`."""
        endpoint = self.webhooks.endpoint(account_id, endpoint_id)
        if endpoint is None:
            raise NotFound("There is no such webhook endpoint.")
        return endpoint

    def change(self, account_id: str, endpoint_id: str, content_type: str, body: bytes) -> Endpoint:
        """The endpoint as it is now. Raises `NotFound`, or `InvalidRequest` with the field at fault."""
        asked = read_body(_change, content_type, body)
        if asked.url is not None:
            check_url(asked.url, self.guard, "url")
        before = self.find(account_id, endpoint_id)
        disabled_at = before.disabled_at
        if asked.enabled is not None:
            disabled_at = None if asked.enabled else disabled_at or self.clock()
        after = replace(
            before,
            url=asked.url or before.url,
            events=frozenset(map(EventType, asked.events)) if asked.events else before.events,
            disabled_at=disabled_at,
            updated_at=self.clock(),
        )
        if not self.webhooks.put_endpoint(after, instead_of=before):
            raise StoreUnavailable("the webhook endpoint was changed by somebody else this very moment")
        return after

    def delete(self, account_id: str, endpoint_id: str) -> None:
        """Forgets an endpoint; a second time changes nothing."""
        self.webhooks.delete_endpoint(account_id, endpoint_id)

    def test(self, account_id: str, endpoint_id: str) -> Delivery:
        """A test event on its way to an endpoint, disabled or not told of anything else. Raises `NotFound`."""
        endpoint = self.find(account_id, endpoint_id)
        now = self.clock()
        event_id = f"evt_{ULID.from_datetime(now)}"
        delivery = new_delivery(endpoint.id, account_id, event_id, EventType.TEST, endpoint.url, endpoint.id, now)
        self.webhooks.add_delivery(delivery)
        self.queues.attempt(next_turn(delivery))
        return delivery

    def secrets(self, account_id: str) -> SigningSecrets:
        """What the account's webhooks are signed with."""
        return signing_secrets(account_id, self.webhooks)

    def rotate(self, account_id: str) -> SigningSecrets:
        """A new secret; the one before signs too for `OVERLAP`, the one before that no more."""
        before = signing_secrets(account_id, self.webhooks)
        after = SigningSecrets(current=new_secret(), previous=before.current, previous_until=self.clock() + OVERLAP)
        is_written = self.webhooks.put_secrets(account_id, after, instead_of=before.current)
        # Or was it, and only the answer was lost? Then a second try of the client's would end the secret before.
        if not is_written and signing_secrets(account_id, self.webhooks).current != after.current:
            raise StoreUnavailable("the secret was rotated by somebody else this very moment")
        return after

    def redeliver(self, subject: str, delivery_id: str) -> Delivery:
        """A delivery, begun anew. Raises `NotFound`."""
        delivery = self.webhooks.delivery(subject, delivery_id)
        if delivery is None:
            raise NotFound("There is no such delivery.")
        now = self.clock()
        # Should this process die on the way, the delivery begins all the same.
        self.queues.begin_later(delivery, now, seconds=REDELIVERED_WITHIN_SECONDS)
        anew = redeliver(delivery, webhooks=self.webhooks, queues=self.queues, now=now)
        if anew is None:
            raise StoreUnavailable("an attempt at the delivery was noted this very moment")
        return anew
