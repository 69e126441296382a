"""Each call of AWS, of the providers and of a webhook's receiver, one after the other: the process dies before it or
after it, it fails, it is refused, its answer is lost, to us or to the SDK, which makes it again. Then the world goes
on: messages come again, providers repeat, deadlines pass, clients and operators ask once more. Nothing is lost, nothing
is bought twice, and the money is exact.

Which calls there are is found by running, so that a new one is covered by itself.
"""

import json
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import httpx
import pytest

from pixhook.callbacks import ACCOUNT, callback_url
from pixhook.flows import cancel
from pixhook.model import Json, Status
from pixhook.providers import PROVIDERS
from pixhook.providers.base import Callback
from tests.conftest import SETTINGS
from tests.flow.cloud import aws, bury
from tests.flow.dialects import EVERYONE
from tests.flow.fate import Fate, Fated, Mishap
from tests.flow.invariants import assert_every_end_was_told, assert_money_is_exact
from tests.flow.outside import callback_url_in
from tests.flow.world import CALLBACK_KEY, World, a_world
from tests.support.builders import ACCOUNT_ID, a_body, a_picture
from tests.support.counted import POINTS

IMAGE_URL = "https://images.example/a.png"
PICTURE = a_picture(size=(8, 8))
LARGE_PICTURE = a_picture(size=(600, 400))
UPLOAD = "upl_01JNEZ2W3GQK4T5V6X7Y8Z9ABC"

DEAD_LETTERS = "dead-finish.fifo"

OVER_HTTP = {"GET", "POST", "webhook"}
"""Calls that no SDK makes, and repeats."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """How a purchase goes, mishaps apart."""

    provider: str
    """Who takes it."""
    after: str | None = None
    """Who is asked before, and is in trouble: the request names no provider, and has an upload."""
    end: Status = Status.COMPLETED
    is_told: bool = True
    """Whether its callback comes, or its poller lives; else there is the deadline."""
    is_slow: bool = False
    """Whether it still runs when it is first read."""
    source: str = IMAGE_URL
    wants_webhook: bool = False
    webhook_fails: int = 0
    """How often, before it is taken."""


class Purchase(Fated):
    """From a client's request to its image."""

    def __init__(self, world: World, fate: Fate, way: Way) -> None:
        super().__init__(world, fate)
        self.way = way
        self.dialect = EVERYONE[way.provider]
        self.succeeds = way.end is not Status.FAILED
        self.purchases: list[str] = []
        self.reads = 0
        self.webhooks_to_fail = way.webhook_fails
        aws("s3").put_object(Bucket=SETTINGS["IMAGES_BUCKET"], Key=f"uploads/{ACCOUNT_ID}/{UPLOAD}", Body=PICTURE)
        world.image_hosts.serve(IMAGE_URL, PICTURE)
        world.upstream.answer = self._provider
        world.receivers.answers["shop.example"] = self._receiver
        world.while_it_waits = self._run_out_of_time

    def travel(self) -> None:
        """Asks, and lets the world go on until nothing moves any more."""
        with self.in_its_course():
            self._ask()
            if self.way.end is Status.CANCELED:
                self._cancel()
            if self.way.is_told:
                self._call_back()
                self._poll()
            self._finish()
            for _ in range(5):
                self.world.time_passes(beyond=timedelta(seconds=1000))
                self.run(self.world.deadlines_come)
                self._finish()
                self.run(partial(self.world.deliver_all, beyond=timedelta(minutes=10)))

    def check(self) -> None:
        """Whether all is as it has to be."""
        world = self.world
        if self.fate.mishap is None:
            assert [task.status for task in world.tasks()] == [self.way.end]
        assert len(world.tasks()) <= 1
        assert len(self.purchases) <= 1
        assert_every_end_was_told(world)
        assert_money_is_exact(world, ACCOUNT_ID)
        for task in world.tasks():
            if task.status is Status.COMPLETED:
                [image] = task.images
                assert world.stored()[image.key][0] in {PICTURE, LARGE_PICTURE}
            elif self.purchases and self.way.end is Status.COMPLETED and self.way.is_told:
                # What was bought is only lost where nobody says whose it is.
                assert PROVIDERS[task.provider].capabilities.callback is not Callback.PER_REQUEST
        assert world.deadlines_left() == 0
        self._check_webhooks()
        # A hint whose task nobody can tell goes to the dead letters.
        assert all("task_id" not in json.loads(message["Body"]) for message in world.messages())

    def _check_webhooks(self) -> None:
        """Whether the client has heard of its task's end, of nothing else, and always under one id."""
        world = self.world
        said = {event["detail"]["id"]: event["detail"] for event in world.events()} if self.way.wants_webhook else {}
        heard = [(request.headers["webhook-id"], json.loads(request.content)) for request in world.receivers.requests]
        assert {message_id for message_id, _ in heard} == said.keys()
        assert all(said[message_id] == document for message_id, document in heard)
        assert world.waiting("WEBHOOK_QUEUE_URL") == world.waiting("ATTEMPT_QUEUE_URL") == 0

    # Who takes part

    def _ask(self) -> None:
        for _ in range(2):
            self.world.seconds_left = 28.0
            answer = self.run(partial(self.world.submit, self._request(), key="order-7"))
            if answer is not None and answer.status != 500 and answer.document.get("retryable") is not True:
                break

    def _request(self) -> dict[str, Json]:
        return a_body(
            model="nano-banana-2",
            provider=... if self.way.after else self.way.provider,
            images=[UPLOAD] if self.way.after else ...,
            callback_url="https://shop.example/" if self.way.wants_webhook else ...,
        )

    def _cancel(self) -> None:
        for task in self.world.tasks():
            for _ in range(2):
                answer = self.run(partial(self.world.request, "POST", f"/images/{task.id}/cancel"))
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
        answer = self._submitted(request) if request.method == "POST" else self._status()
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
        self.webhooks_to_fail -= 1
        return httpx.Response(500 if self.webhooks_to_fail >= 0 else 204)

    def _submitted(self, request: httpx.Request) -> httpx.Response:
        asked = next(dialect for dialect in EVERYONE.values() if dialect.host == request.url.host)
        if asked.name == self.way.after:
            return httpx.Response(503)
        self.dialect = asked
        self.purchases.append(request.content.decode())
        return httpx.Response(200, json=asked.accepted())

    def _status(self) -> httpx.Response:
        if not self.purchases:
            return httpx.Response(404)
        self.reads += 1
        if self.way.is_slow and self.reads == 1:
            return httpx.Response(200, json=self.dialect.status("processing"))
        images = [IMAGE_URL] if self.succeeds else []
        return httpx.Response(200, json=self.dialect.status("success" if self.succeeds else "failed", *images))

    def _call_back(self) -> None:
        """As often as it takes, which is at most four times."""
        if not self.purchases:
            return
        url = self._callback_url()
        said = self.dialect.succeeded(self.way.source) if self.succeeds else self.dialect.failed()
        for _ in range(4 if url else 0):
            answer = self.run(lambda: self.world.callback(url, said))
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
                turn = self.run(partial(self.world.invoke, "poll", turn)) or turn
                if turn["done"]:
                    break

    def _finish(self) -> None:
        for _ in range(35):
            self.run(self.world.finish_all)
            if self.world.is_quiet():
                break
            self.world.time_passes()


class Administration(Fated):
    """An operator's work with an account, from its beginning to its end, and with dead letters."""

    def __init__(self, world: World, fate: Fate) -> None:
        super().__init__(world, fate)
        self.account_id = ""
        self._asked = 0
        for task_id in ("tsk_1", "tsk_2"):
            bury("finish", task_id)

    def travel(self) -> None:
        """Asks for one thing after the other, each until it is answered."""
        with self.in_its_course():
            self.account_id = self._ask("create_account", name="Grace")["account_id"]
            of = {"account_id": self.account_id}
            self._ask("set_plan", **of, plan="pro")
            self._ask("grant_credits", **of, credits=50)
            self._ask("adjust_credits", **of, credits=-20, note="why")
            key = self._ask("create_key", **of)
            self._ask("revoke_key", **of, key_id=key["key_id"])
            self._ask("suspend_account", **of)
            self._ask("resume_account", **of)
            self._ask("delete_account", **of)
            for _ in range(2):  # what nobody has heard of is hidden for a while, and not among what was found
                self._ask("redrive_dead_letters", queue="finish", task_id="tsk_1")
                self._ask("drop_dead_letters", queue="finish", task_id="tsk_2")

    def _ask(self, action: str, **fields: Json) -> dict[str, Any]:
        self._asked += 1
        event = {"action": action, **fields, "request_id": f"request-{self._asked}"}
        for _ in range(3):
            self.world.let_be_seen_again(DEAD_LETTERS)
            answer = self.run(partial(self.world.invoke, "admin", event))
            if answer is not None:
                return dict(answer)
        raise AssertionError(action)

    def check(self) -> None:
        """Whether each thing was done, and once."""
        accounts = self.world.accounts
        account = accounts.get(self.account_id)
        assert account is not None
        assert (account.plan, account.balance, account.suspended_at) == ("pro", 30, None)
        assert account.deleted_at is not None
        assert_money_is_exact(self.world, account.id)
        [key] = accounts.keys(account.id, limit=10, cursor=None).items
        assert key.revoked_at is not None
        log = accounts.audit_log(f"{self.world.now():%Y-%m}", limit=100, cursor=None).items
        done = Counter(request.id for request in log if request.id.startswith("request-"))
        assert set(done.values()) == {1}
        assert len(done) == self._asked
        names = [item["name"]["S"] for item in self.world.items("ACCOUNTS_TABLE") if item["sk"]["S"] == "account"]
        assert names.count("Grace") == 1
        assert self.world.waiting("FINISH_DEAD_LETTERS_URL") == 0
        assert {json.loads(message["Body"])["task_id"] for message in self.world.messages()} == {"tsk_1"}


def in_itself(picture: bytes) -> str:
    """The picture as a data URI."""
    return f"data:image/png;base64,{b64encode(picture).decode()}"


type Begin = Callable[[World, Fate], Fated]


def purchase(**way: Any) -> Begin:
    """One of an image that goes this way."""
    return lambda world, fate: Purchase(world, fate, Way(**way))


JOURNEYS: Mapping[str, Begin] = {
    **{name: purchase(provider=name, wants_webhook=name == "apixo") for name in EVERYONE},
    "apixo, without an image": purchase(provider="apixo", end=Status.FAILED, wants_webhook=True),
    "gptimage2api, without an image": purchase(provider="gptimage2api", end=Status.FAILED),
    "defapi, canceled before the callback": purchase(provider="defapi", end=Status.CANCELED),
    "defapi, after apixo's refusal, with an upload": purchase(
        provider="defapi", after="apixo", wants_webhook=True, webhook_fails=1
    ),
    "defapi, with an image in its callback": purchase(provider="defapi", source=in_itself(LARGE_PICTURE)),
    "apixo, its callback lost": purchase(provider="apixo", is_told=False),
    "gempix2ai, its callback lost, and slow": purchase(provider="gempix2ai", is_told=False, is_slow=True),
    "gempix2, its poller dead, and slow": purchase(provider="gempix2", is_told=False, is_slow=True),
    "administration": Administration,
}


def travel(begin: Begin, fate: Fate) -> None:
    """Goes through a journey, and checks what has become of it."""
    with pytest.MonkeyPatch.context() as monkeypatch, a_world(monkeypatch) as world:
        monkeypatch.setattr("time.sleep", lambda _: None)  # as the SDK does before it tries again
        monkeypatch.setattr(cancel, "ANSWER_SECONDS", 0)
        journey = begin(world, fate)
        journey.travel()
        journey.check()


@pytest.mark.parametrize("mishap", Mishap)
@pytest.mark.parametrize("begin", JOURNEYS.values(), ids=JOURNEYS)
def test_nothing_is_lost_or_doubled_whatever_happens_at_any_call(
    begin: Begin, mishap: Mishap, record_property: Callable[[str, object], None]
) -> None:
    calm = Fate()
    travel(begin, calm)
    points = [at for at, call in enumerate(calm.calls) if not (mishap is Mishap.IS_REPEATED and call in OVER_HTTP)]
    assert points

    for at in points:
        fate = Fate(mishap, at)
        try:
            travel(begin, fate)
            assert fate.has_struck
        except AssertionError as error:
            error.add_note(f"{mishap.name} at call {at}, {calm.calls[at]}, of {calm.calls}")
            raise
    record_property(POINTS, len(points))
