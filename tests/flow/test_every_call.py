"""Each call of AWS, of the providers and of a webhook's receiver, one after the other: the process dies before it or
after it, it fails, it is refused, its answer is lost. Then the world goes on: messages come again, providers repeat,
deadlines pass, the client asks once more. Nothing is lost, nothing is bought twice, and the money is exact.

Which calls there are is found by running, so that a new one is covered by itself.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum, auto
from functools import partial
from typing import Any

import httpx
import pytest
from botocore.exceptions import ReadTimeoutError

from pixhook.callbacks import ACCOUNT, callback_url
from pixhook.flows import cancel
from pixhook.model import Status
from pixhook.providers import PROVIDERS
from pixhook.providers.base import Callback
from tests.conftest import SETTINGS
from tests.flow.cloud import ServiceAnswer, service_error
from tests.flow.dialects import EVERYONE, Dialect
from tests.flow.invariants import assert_every_end_was_told, assert_money_is_exact
from tests.flow.outside import callback_url_in
from tests.flow.world import CALLBACK_KEY, Died, World, a_world
from tests.support.builders import ACCOUNT_ID, a_body, a_picture
from tests.support.counted import POINTS

IMAGE_URL = "https://images.example/a.png"
PICTURE = a_picture(size=(8, 8))


class Mishap(Enum):
    """What happens at a call."""

    DIES_BEFORE = auto()
    DIES_AFTER = auto()
    FAILS = auto()
    """However often it is tried again."""
    IS_REFUSED = auto()
    """For good."""
    LOSES_ITS_ANSWER = auto()
    """Each try takes effect, and nobody hears of it."""


@dataclass
class Fate:
    """Lets one call go wrong, counted from 0 over all functions; and counts them."""

    mishap: Mishap | None = None
    at: int = -1
    calls: list[str] = field(default_factory=list)
    _is_dead: bool = False

    def begins(self, name: str) -> None:
        """A call is about to be made."""
        self._live()
        self.calls.append(name)
        if self._is_now(Mishap.DIES_BEFORE):
            self._is_dead = True
        self._live()

    def ends(self) -> None:
        """A call has taken effect."""
        if self._is_now(Mishap.DIES_AFTER):
            self._is_dead = True
        self._live()

    def is_now(self, mishap: Mishap) -> bool:
        """Whether this happens to the call that is being made."""
        return self._is_now(mishap)

    def revive(self) -> None:
        """Another process begins."""
        self._is_dead = False

    def _is_now(self, mishap: Mishap) -> bool:
        return self.mishap is mishap and len(self.calls) - 1 == self.at

    def _live(self) -> None:
        if self._is_dead:
            raise Died


class Journey:
    """From a client's request to its image, with a fate."""

    def __init__(self, world: World, dialect: Dialect, fate: Fate, end: Status) -> None:
        self.world, self.dialect, self.fate, self.end = world, dialect, fate, end
        self.succeeds = end is not Status.FAILED
        self.purchases: list[str] = []
        self._noted = 0
        world.image_hosts.serve(IMAGE_URL, PICTURE)
        world.upstream.answer = self._provider
        world.receivers.answers["shop.example"] = self._receiver
        self.callback_url = "https://shop.example/" if dialect.name == "apixo" else None
        world.while_it_waits = self._run_out_of_time

    def travel(self) -> None:
        """Asks, and lets the world go on until nothing moves any more."""
        with self.world.disturbed(self._before, self._after):
            self._ask()
            if self.end is Status.CANCELED:
                self._cancel()
            self._call_back()
            self._poll()
            self._finish()
            for _ in range(5):
                self.world.time_passes(beyond=timedelta(seconds=1000))
                self._run(self.world.deadlines_come)
                self._finish()
                self._run(partial(self.world.deliver_all, beyond=timedelta(minutes=10)))

    def check(self) -> None:
        """Whether all is as it has to be."""
        world = self.world
        assert len(world.tasks()) <= 1
        assert len(self.purchases) <= 1
        assert_every_end_was_told(world)
        assert_money_is_exact(world, ACCOUNT_ID)
        for task in world.tasks():
            if task.status is Status.COMPLETED:
                [image] = task.images
                assert world.stored()[image.key][0] == PICTURE
            elif self.purchases and self.end is Status.COMPLETED:
                # What was bought is only lost where nobody says whose it is.
                assert PROVIDERS[task.provider].capabilities.callback is not Callback.PER_REQUEST
        assert world.deadlines_left() == 0
        self._check_webhooks()
        # A hint whose task nobody can tell goes to the dead letters.
        assert all("task_id" not in json.loads(message["Body"]) for message in world.messages())

    def _check_webhooks(self) -> None:
        """Whether the client has heard of its task's end, of nothing else, and always under one id."""
        world = self.world
        said = {event["detail"]["id"]: event["detail"] for event in world.events()} if self.callback_url else {}
        heard = [(request.headers["webhook-id"], json.loads(request.content)) for request in world.receivers.requests]
        assert {message_id for message_id, _ in heard} == said.keys()
        assert all(said[message_id] == document for message_id, document in heard)
        assert world.waiting("WEBHOOK_QUEUE_URL") == world.waiting("ATTEMPT_QUEUE_URL") == 0

    # Who takes part

    def _ask(self) -> None:
        for _ in range(2):
            self.world.seconds_left = 28.0
            callback_url = self.callback_url or ...
            body = a_body(provider=self.dialect.name, callback_url=callback_url)
            answer = self._run(partial(self.world.submit, body, key="order-7"))
            if answer is not None and answer.status != 500 and answer.document.get("retryable") is not True:
                break

    def _cancel(self) -> None:
        for task in self.world.tasks():
            for _ in range(2):
                answer = self._run(partial(self.world.request, "POST", f"/images/{task.id}/cancel"))
                if answer is not None and answer.status < 500:
                    break

    def _run_out_of_time(self) -> None:
        """Nobody waits here for a request that has died."""
        self.world.seconds_left = 1.0

    def _provider(self, request: httpx.Request) -> httpx.Response:
        self.fate.begins(request.method)
        if self.fate.is_now(Mishap.FAILS):
            raise httpx.ConnectError("refused", request=request)
        if self.fate.is_now(Mishap.IS_REFUSED):
            return httpx.Response(503)
        answer = self._bought(request) if request.method == "POST" else self._status()
        if self.fate.is_now(Mishap.LOSES_ITS_ANSWER):
            raise httpx.ReadTimeout("silent", request=request)
        self.fate.ends()
        return answer

    def _receiver(self, request: httpx.Request) -> httpx.Response:
        self.fate.begins("webhook")
        if self.fate.is_now(Mishap.FAILS):
            raise httpx.ConnectError("refused", request=request)
        if self.fate.is_now(Mishap.IS_REFUSED):
            return httpx.Response(503)
        if self.fate.is_now(Mishap.LOSES_ITS_ANSWER):
            raise httpx.ReadTimeout("silent", request=request)
        self.fate.ends()
        return httpx.Response(204)

    def _bought(self, request: httpx.Request) -> httpx.Response:
        self.purchases.append(request.content.decode())
        return httpx.Response(200, json=self.dialect.accepted())

    def _status(self) -> httpx.Response:
        if not self.purchases:
            return httpx.Response(404)
        images = [IMAGE_URL] if self.succeeds else []
        return httpx.Response(200, json=self.dialect.status("success" if self.succeeds else "failed", *images))

    def _call_back(self) -> None:
        """As often as it takes, which is at most four times."""
        if not self.purchases:
            return
        url = self._callback_url()
        said = self.dialect.succeeded(IMAGE_URL) if self.succeeds else self.dialect.failed()
        for _ in range(4 if url else 0):
            answer = self._run(lambda: self.world.callback(url, said))
            if answer is not None and answer.status == 200:
                break

    def _callback_url(self) -> str:
        match PROVIDERS[self.dialect.name].capabilities.callback:
            case Callback.PER_REQUEST:
                return callback_url_in(self.purchases[0])
            case Callback.PER_ACCOUNT:
                return callback_url(SETTINGS["PUBLIC_BASE_URL"], self.dialect.name, ACCOUNT, [CALLBACK_KEY])
            case Callback.NONE:
                return ""

    def _poll(self) -> None:
        for turn in self.world.pollers().values():
            for _ in range(5):
                turn = self._run(partial(self.world.invoke, "poll", turn)) or turn
                if turn["done"]:
                    break

    def _finish(self) -> None:
        for _ in range(35):
            self._run(self.world.finish_all)
            if self.world.is_quiet():
                break
            self.world.time_passes()

    def _run(self, function: Callable[[], Any]) -> Any:
        """What comes of it; None if its process has died or failed."""
        self.fate.revive()
        try:
            return function()
        except Exception:  # noqa: BLE001 - whatever it is, AWS tries again
            return None
        finally:
            self.fate.revive()

    # AWS

    def _before(self, operation: str) -> ServiceAnswer | None:
        if len(self.world.calls) > self._noted:  # not one of the SDK's own repeats
            self._noted = len(self.world.calls)
            self.fate.begins(operation)
        if self.fate.is_now(Mishap.FAILS):
            return service_error()
        if self.fate.is_now(Mishap.IS_REFUSED):
            return service_error("AccessDeniedException", 400)
        return None

    def _after(self, _: str) -> None:
        if self.fate.is_now(Mishap.LOSES_ITS_ANSWER):
            raise ReadTimeoutError(endpoint_url="https://aws.example")
        self.fate.ends()


@contextmanager
def a_journey(dialect: Dialect, fate: Fate, end: Status) -> Iterator[Journey]:
    with pytest.MonkeyPatch.context() as monkeypatch, a_world(monkeypatch) as world:
        monkeypatch.setattr("time.sleep", lambda _: None)  # as the SDK does before it tries again
        monkeypatch.setattr(cancel, "ANSWER_SECONDS", 0)
        yield Journey(world, dialect, fate, end)


JOURNEYS = [
    *((name, Status.COMPLETED) for name in EVERYONE),
    ("apixo", Status.FAILED),
    ("gptimage2api", Status.FAILED),
    ("defapi", Status.CANCELED),
]
"""With an image at each provider, without one by a callback and by a poller, and canceled before the callback."""


@pytest.mark.parametrize("mishap", Mishap)
@pytest.mark.parametrize(("name", "end"), JOURNEYS)
def test_nothing_is_lost_or_doubled_whatever_happens_at_any_call(
    name: str, end: Status, mishap: Mishap, record_property: Callable[[str, object], None]
) -> None:
    calm = Fate()
    with a_journey(EVERYONE[name], calm, end) as journey:
        journey.travel()
        journey.check()
        assert [task.status for task in journey.world.tasks()] == [end]

    for at, call in enumerate(calm.calls):
        with a_journey(EVERYONE[name], Fate(mishap, at), end) as journey:
            journey.travel()
            try:
                journey.check()
            except AssertionError as error:
                error.add_note(f"{mishap.name} at call {at}, {call}, of {calm.calls}")
                raise
    record_property(POINTS, len(calm.calls))
