"""A task's end -> signed webhooks to those who asked for them.

`WebhookQueue` has three kinds of message: an event of the bus, which becomes a delivery to each receiver; an attempt
that waits until it is due; a delivery that is to begin anew. What is due goes to `AttemptQueue`, where only attempts
are. Each step can be the last one that this process does, and what follows then is the same message once more:
a delivery is written once, an attempt is noted once, and what follows from the note is done again. Only between the
receiver's answer and its note a webhook is sent twice, with the same id.
"""

import json
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from hashlib import sha256
from http import HTTPStatus
from typing import Protocol
from urllib.parse import urlsplit

from ulid import ULID

from pixhook.documents import event_detail, event_id, event_type, webhook_test_detail
from pixhook.errors import AddressRejected, NoAnswer, NotSent, StoreUnavailable
from pixhook.lifecycle import is_terminal
from pixhook.model import (
    Delivery,
    DeliveryAttempt,
    DeliveryStatus,
    DeliveryTurn,
    Endpoint,
    EventType,
    GivenUp,
    HttpResponse,
    Json,
    SigningSecrets,
    Task,
)
from pixhook.providers.base import seconds_in
from pixhook.signatures import SECRET_BYTES, secret_of, signed_headers

LANES = 4
"""Attempts at one receiver of one account that are made at a time."""

QUIET_SECONDS = 60
"""A receiver that does not answer, or asks us to slow down without saying for how long, is left alone so long."""

LONGEST_QUIET_SECONDS = 12 * 3600

JITTER = 0.1
"""The part of each wait by which it may be longer, so that what has failed together does not come again together."""

PATIENCE = 1.5
"""A delivery that is still put off after so many times its whole schedule is given up,"""

LEAST_PATIENCE = timedelta(days=1)
"""but not before this."""

_WORDS: Mapping[type[Exception], str] = {
    AddressRejected: "The URL leads to where no webhook is sent: it is not https, or not public.",
    NotSent: "The receiver could not be reached.",
    NoAnswer: "The receiver did not answer in time, or not in HTTP.",
}

_log = logging.getLogger(__name__)

_SLOW_DOWN = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})


class Tasks(Protocol):
    """What delivering asks of the task store."""

    def get(self, task_id: str) -> Task | None: ...


class Webhooks(Protocol):
    """What delivering asks of the webhook store."""

    def endpoints(self, account_id: str) -> Sequence[Endpoint]: ...
    def endpoint(self, account_id: str, endpoint_id: str) -> Endpoint | None: ...
    def put_endpoint(self, endpoint: Endpoint, *, instead_of: Endpoint | None = None) -> bool: ...
    def secrets(self, account_id: str) -> SigningSecrets | None: ...
    def put_secrets(self, account_id: str, secrets: SigningSecrets, *, instead_of: str | None) -> bool: ...
    def quiet_until(self, account_id: str, host: str) -> datetime | None: ...
    def keep_quiet(self, account_id: str, host: str, until: datetime) -> None: ...
    def add_delivery(self, delivery: Delivery) -> bool: ...
    def delivery(self, subject: str, delivery_id: str) -> Delivery | None: ...
    def change_delivery(self, before: Delivery, after: Delivery) -> bool: ...


class Queues(Protocol):
    """What delivering asks of the queues."""

    def attempt(self, turn: DeliveryTurn) -> None: ...
    def attempt_later(self, turn: DeliveryTurn, due: datetime, now: datetime) -> None: ...
    def give_up(self, turn: DeliveryTurn) -> None: ...


def new_delivery(
    subject: str,
    account_id: str,
    event_id: str,
    event_type: EventType,
    url: str,
    endpoint_id: str | None,
    now: datetime,
) -> Delivery:
    """The one delivery of this event to this URL: its id follows from the two."""
    digest = sha256(f"{event_id} {url}".encode()).digest()
    return Delivery(
        id=f"dlv_{ULID(digest[:16])}",
        account_id=account_id,
        subject=subject,
        event_id=event_id,
        event_type=event_type,
        url=url,
        endpoint_id=endpoint_id,
        created_at=now,
        began_at=now,
        next_attempt_at=now,
    )


def next_turn(delivery: Delivery) -> DeliveryTurn:
    """The attempt that comes next."""
    number = int(sha256(delivery.id.encode()).hexdigest(), 16) % LANES
    receiver = sha256(f"{delivery.account_id} {_host(delivery)}".encode()).hexdigest()[:32]
    return DeliveryTurn(
        subject=delivery.subject, delivery_id=delivery.id, number=delivery.made + 1, lane=f"{receiver}-{number}"
    )


def redeliver(delivery: Delivery, *, webhooks: Webhooks, queues: Queues, now: datetime) -> Delivery | None:
    """The delivery, begun anew; None where somebody else did something with it this very moment.

    Raises:
        StoreUnavailable: whether it was begun is not known.
    """
    anew = replace(
        delivery,
        status=DeliveryStatus.PENDING,
        given_up=None,
        began_at=now,
        made_before=delivery.made,
        next_attempt_at=now,
    )
    if not webhooks.change_delivery(delivery, anew):
        found = webhooks.delivery(delivery.subject, delivery.id)
        if found is None or not _has_just_begun(found):
            return None
        anew = found  # the answer to our own writing was lost, and its repetition came too late
    queues.attempt(next_turn(anew))
    return anew


def _has_just_begun(delivery: Delivery) -> bool:
    """Whether nothing was tried in this round yet."""
    return delivery.status is DeliveryStatus.PENDING and delivery.made == delivery.made_before


def signing_secrets(account_id: str, webhooks: Webhooks) -> SigningSecrets:
    """What the account's webhooks are signed with; made when it is first needed. Raises `StoreUnavailable`."""
    found = webhooks.secrets(account_id)
    if found is None:
        new = SigningSecrets(current=new_secret())
        found = new if webhooks.put_secrets(account_id, new, instead_of=None) else webhooks.secrets(account_id)
    if found is None:
        raise StoreUnavailable("the signing secret was not there, and then it was, and then not")
    return found


def new_secret() -> str:
    """A new signing secret."""
    return secret_of(secrets.token_bytes(SECRET_BYTES))


@dataclass(frozen=True, kw_only=True)
class Deliverer:
    """Delivers webhooks, in the world that it is given."""

    tasks: Tasks
    webhooks: Webhooks
    queues: Queues
    send: Callable[[str, Mapping[str, str], bytes], HttpResponse]
    clock: Callable[[], datetime]
    random: Callable[[], float]
    schedule: Sequence[int]
    """Seconds to wait after each attempt that has failed; after the last one there is one more attempt."""

    def handle(self, message: Mapping[str, Json]) -> None:
        """Does what a message of `WebhookQueue` is there for. Raises `StoreUnavailable`: it has to come again."""
        match message:
            case {"detail": {"task_id": task_id}}:
                self._announce(task_id)
            case {"turn": turn, "due": due}:
                self._wait(DeliveryTurn(**turn), datetime.fromisoformat(due))
            case {"redeliver": {"subject": subject, "delivery_id": delivery_id}}:
                self._begin_anew(subject, delivery_id, message["redeliver"].get("asked_at"))
            case _:
                raise ValueError("a message that is none of ours")

    def _begin_anew(self, subject: str, delivery_id: str, asked_at: str | None) -> None:
        """Sees to it that a delivery begins anew, unless it has since a client asked for it, and has gone on."""
        delivery = self.webhooks.delivery(subject, delivery_id)
        _log.info("redelivery", extra={"delivery_id": delivery_id, "status": delivery and delivery.status})
        if delivery is None:
            return
        has_failed = delivery.status is DeliveryStatus.FAILED
        is_due = has_failed if asked_at is None else delivery.began_at < datetime.fromisoformat(asked_at)
        if is_due:
            redeliver(delivery, webhooks=self.webhooks, queues=self.queues, now=self.clock())
        elif _has_just_begun(delivery):
            self.queues.attempt(next_turn(delivery))

    def _announce(self, task_id: str) -> None:
        """Has each receiver told of the task's end."""
        task = self.tasks.get(task_id)
        if task is None or not is_terminal(task.status):
            return
        kind = event_type(task)
        receivers: dict[str, str | None] = {task.request.callback_url: None} if task.request.callback_url else {}
        for endpoint in self.webhooks.endpoints(task.account_id):
            if endpoint.disabled_at is None and kind in endpoint.events:
                receivers.setdefault(endpoint.url, endpoint.id)
        for url, endpoint_id in receivers.items():
            now = self.clock()
            delivery = new_delivery(task.id, task.account_id, event_id(task), kind, url, endpoint_id, now)
            self.webhooks.add_delivery(delivery)
            # Also where it was there: who wrote it may not have come to this.
            self.queues.attempt(next_turn(delivery))

    def _wait(self, turn: DeliveryTurn, due: datetime) -> None:
        now = self.clock()
        if due > now:
            self.queues.attempt_later(turn, due, now)
        else:
            self.queues.attempt(turn)

    def attempt(self, turn: DeliveryTurn) -> None:
        """Makes the attempt, unless it was made, and sees to what follows from it.

        Raises:
            StoreUnavailable: it has to be tried again.
        """
        delivery = self.webhooks.delivery(turn.subject, turn.delivery_id)
        if delivery is not None and delivery.status is DeliveryStatus.PENDING and delivery.made < turn.number:
            delivery = self._try(delivery, turn)
        if delivery is None or delivery.made > turn.number:
            return
        if delivery.given_up is GivenUp.EXHAUSTED and delivery.event_type is not EventType.TEST:
            self.queues.give_up(turn)
        if delivery.next_attempt_at is not None and delivery.made == turn.number:
            self.queues.attempt_later(next_turn(delivery), delivery.next_attempt_at, self.clock())

    def _try(self, delivery: Delivery, turn: DeliveryTurn) -> Delivery | None:
        """The delivery after one more attempt, or given up; None where that has to wait, or somebody was faster."""
        now = self.clock()
        endpoint_id = delivery.endpoint_id
        endpoint = self.webhooks.endpoint(delivery.account_id, endpoint_id) if endpoint_id else None
        is_test = delivery.event_type is EventType.TEST
        if endpoint_id and (endpoint is None or (endpoint.disabled_at is not None and not is_test)):
            return self._note(delivery, _given_up(delivery, GivenUp.DISABLED))
        before, delivery = delivery, replace(delivery, url=endpoint.url if endpoint else delivery.url)
        content = self._content(delivery)
        if content is None:
            return self._note(before, _given_up(delivery, GivenUp.DELETED))
        quiet_until = self.webhooks.quiet_until(delivery.account_id, _host(delivery))
        if quiet_until is not None and quiet_until > now:
            if quiet_until > delivery.began_at + max(PATIENCE * timedelta(seconds=sum(self.schedule)), LEAST_PATIENCE):
                return self._note(before, _given_up(delivery, GivenUp.EXHAUSTED))
            self.queues.attempt_later(turn, now + self._jittered((quiet_until - now).total_seconds()), now)
            return None
        made, response = self._send(delivery, content, now)
        if endpoint is not None and made.status == HTTPStatus.GONE:
            self.webhooks.put_endpoint(replace(endpoint, disabled_at=now, updated_at=now), instead_of=endpoint)
        asked = _retry_after(response, now) if made.status in _SLOW_DOWN else None
        after = self._note(before, self._judged(delivery, made, response, asked))
        if made.status in _SLOW_DOWN or response is None:
            seconds = QUIET_SECONDS if asked is None else asked
            self.webhooks.keep_quiet(delivery.account_id, _host(delivery), now + timedelta(seconds=seconds))
        return after

    def _note(self, before: Delivery, after: Delivery) -> Delivery | None:
        """The delivery as it is then: somebody may have been faster, were it only our own writing, once repeated."""
        seen = {"delivery_id": after.id, "status": after.status, "given_up": after.given_up, "made": after.made}
        _log.info("webhook", extra={**seen, "answer": after.attempts[-1].status if after.attempts else None})
        if self.webhooks.change_delivery(before, after):
            return after
        return self.webhooks.delivery(before.subject, before.id)

    def _content(self, delivery: Delivery) -> bytes | None:
        """What the webhook says; None where what it tells of is no more."""
        if delivery.event_type is EventType.TEST:
            detail = webhook_test_detail(delivery)
        else:
            task = self.tasks.get(delivery.subject)
            if task is None or task.deleted_at:
                return None
            detail = event_detail(task)
        return json.dumps(detail, separators=(",", ":")).encode()

    def _send(self, delivery: Delivery, content: bytes, now: datetime) -> tuple[DeliveryAttempt, HttpResponse | None]:
        live = signing_secrets(delivery.account_id, self.webhooks).live(now)
        headers = {"content-type": "application/json", **signed_headers(delivery.event_id, content, now, live)}
        response, error = None, None
        try:
            response = self.send(delivery.url, headers, content)
        except (AddressRejected, NotSent, NoAnswer) as reason:
            # What stands behind the URL is nobody's to read, nor what it says that is no answer.
            _log.info("webhook not taken", extra={"delivery_id": delivery.id, "reason": str(reason)[:500]})
            error = _WORDS[type(reason)]
        duration_ms = round((self.clock() - now).total_seconds() * 1000)
        status = response.status if response else None
        return DeliveryAttempt(at=now, duration_ms=duration_ms, status=status, error=error), response

    def _judged(
        self, delivery: Delivery, made: DeliveryAttempt, response: HttpResponse | None, asked: int | None
    ) -> Delivery:
        """The delivery after an attempt; `asked` is for how many seconds the receiver wants to be left alone."""
        after = replace(delivery, made=delivery.made + 1, attempts=(*delivery.attempts, made), next_attempt_at=None)
        if response is not None and response.is_success:
            return replace(after, status=DeliveryStatus.SUCCEEDED)
        if made.status == HTTPStatus.GONE:
            return _given_up(after, GivenUp.GONE)
        waits = self.schedule[after.made - after.made_before - 1 :]
        if not waits:
            return _given_up(after, GivenUp.EXHAUSTED)
        return replace(after, next_attempt_at=made.at + self._jittered(max(waits[0], asked or 0)))

    def _jittered(self, seconds: float) -> timedelta:
        return timedelta(seconds=seconds * (1 + JITTER * self.random()))


def _given_up(delivery: Delivery, why: GivenUp) -> Delivery:
    return replace(delivery, status=DeliveryStatus.FAILED, given_up=why, next_attempt_at=None)


def _host(delivery: Delivery) -> str:
    """The receiver, as far as one that hangs or is busy concerns."""
    return urlsplit(delivery.url).netloc.lower()


def _retry_after(response: HttpResponse | None, now: datetime) -> int | None:
    """Seconds that a receiver wants to be left alone for, if it says so (RFC 9110, section 10.2.3)."""
    stated = response.headers.get("retry-after") if response else None
    seconds = seconds_in(stated)
    if stated and seconds is None:
        try:
            until = parsedate_to_datetime(stated)
            seconds = round((until.replace(tzinfo=until.tzinfo or UTC) - now).total_seconds())
        except (ValueError, OverflowError):
            return None
    return None if seconds is None else max(0, min(seconds, LONGEST_QUIET_SECONDS))
