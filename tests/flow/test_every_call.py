"""Each call of AWS, of the providers and of a webhook's receiver, one after the other: the process dies before it or
after it, it fails, it is refused, its answer is lost, to us or to the SDK, which makes it again. Then the world goes
on: messages come again, providers repeat, deadlines pass, clients and operators ask once more. Nothing is lost, nothing
is bought twice, and the money is exact.

Which calls there are is found by running, so that a new one is covered by itself.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping
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
from tests.flow.cloud import bury
from tests.flow.dialects import EVERYONE, Dialect
from tests.flow.fate import Fate, Fated, Mishap
from tests.flow.invariants import assert_every_end_was_told, assert_money_is_exact
from tests.flow.outside import callback_url_in
from tests.flow.world import CALLBACK_KEY, World, a_world
from tests.support.builders import ACCOUNT_ID, a_body, a_picture
from tests.support.counted import POINTS

IMAGE_URL = "https://images.example/a.png"
PICTURE = a_picture(size=(8, 8))

DEAD_LETTERS = "dead-finish.fifo"

OVER_HTTP = {"GET", "POST", "webhook"}
"""Calls that no SDK makes, and repeats."""


class Journey(Fated):
    """From a client's request to its image."""

    def __init__(self, world: World, fate: Fate, dialect: Dialect, end: Status) -> None:
        super().__init__(world, fate)
        self.dialect, self.end = dialect, end
        self.succeeds = end is not Status.FAILED
        self.purchases: list[str] = []
        world.image_hosts.serve(IMAGE_URL, PICTURE)
        world.upstream.answer = self._provider
        world.receivers.answers["shop.example"] = self._receiver
        self.callback_url = "https://shop.example/" if dialect.name == "apixo" else None
        world.while_it_waits = self._run_out_of_time

    def travel(self) -> None:
        """Asks, and lets the world go on until nothing moves any more."""
        with self.in_its_course():
            self._ask()
            if self.end is Status.CANCELED:
                self._cancel()
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
            answer = self.run(partial(self.world.submit, body, key="order-7"))
            if answer is not None and answer.status != 500 and answer.document.get("retryable") is not True:
                break

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


type Travel = Journey | Administration


def journey(name: str, end: Status) -> Callable[[World, Fate], Travel]:
    """One of an image at this provider, to this end."""
    return lambda world, fate: Journey(world, fate, EVERYONE[name], end)


TRAVELS: Mapping[str, Callable[[World, Fate], Travel]] = {
    **{name: journey(name, Status.COMPLETED) for name in EVERYONE},
    "apixo, without an image": journey("apixo", Status.FAILED),
    "gptimage2api, without an image": journey("gptimage2api", Status.FAILED),
    "defapi, canceled before the callback": journey("defapi", Status.CANCELED),
    "administration": Administration,
}


def travelled(begin: Callable[[World, Fate], Travel], fate: Fate) -> None:
    """Goes through all of it, and checks what has become of it."""
    with pytest.MonkeyPatch.context() as monkeypatch, a_world(monkeypatch) as world:
        monkeypatch.setattr("time.sleep", lambda _: None)  # as the SDK does before it tries again
        monkeypatch.setattr(cancel, "ANSWER_SECONDS", 0)
        travel = begin(world, fate)
        travel.travel()
        travel.check()
        if fate.mishap is None and isinstance(travel, Journey):
            assert [task.status for task in world.tasks()] == [travel.end]


@pytest.mark.parametrize("mishap", Mishap)
@pytest.mark.parametrize("begin", TRAVELS.values(), ids=TRAVELS)
def test_nothing_is_lost_or_doubled_whatever_happens_at_any_call(
    begin: Callable[[World, Fate], Travel], mishap: Mishap, record_property: Callable[[str, object], None]
) -> None:
    calm = Fate()
    travelled(begin, calm)
    points = [at for at, call in enumerate(calm.calls) if not (mishap is Mishap.IS_REPEATED and call in OVER_HTTP)]
    assert points

    for at in points:
        try:
            travelled(begin, Fate(mishap, at))
        except AssertionError as error:
            error.add_note(f"{mishap.name} at call {at}, {calm.calls[at]}, of {calm.calls}")
            raise
    record_property(POINTS, len(points))
