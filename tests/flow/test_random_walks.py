"""All who take part, in any order: clients, providers, callbacks, pollers, deadlines, operators; and what befalls them.

Whatever is asked, answered, repeated, canceled, erased or cut short: no purchase is made twice, each task ends once and
its client hears of it, and each balance is the sum of its movements.
"""

import json
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import count
from typing import Any
from uuid import uuid4

import httpx
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from pixhook.errors import PixhookError
from pixhook.lifecycle import is_terminal
from pixhook.model import Caller, Status, Task
from tests.conftest import SETTINGS
from tests.flow.cloud import aws
from tests.flow.dialects import EVERYONE
from tests.flow.invariants import assert_money_is_exact
from tests.flow.outside import Provider, callback_url_in
from tests.flow.trouble import Trouble
from tests.flow.world import Died, World, a_world
from tests.support.builders import a_body, a_picture

ANSWERS: dict[str, Provider | None] = {
    "accepts": None,
    "refuses": lambda _: httpx.Response(400),
    "is in trouble": lambda _: httpx.Response(503),
    "is unclear": lambda _: httpx.Response(502),
}


@dataclass(frozen=True)
class Mishap:
    """What happens at one of the AWS calls of a step."""

    call: int
    kind: Callable[[Trouble], AbstractContextManager[None]]

    def at(self, world: World) -> AbstractContextManager[None]:
        return self.kind(Trouble(world, self.call))


def overtaken(trouble: Trouble) -> AbstractContextManager[None]:
    """Every task that has not ended is ended by somebody else, in the middle of what is being done."""
    world = trouble.world

    def end_all() -> None:
        for task in world.tasks():
            world.table.end(task, Status.FAILED, task.created_at, failure=world.a_failure(task).failure)

    return trouble.overtaken(end_all)


mishaps = st.none() | st.builds(
    Mishap,
    call=st.integers(0, 8),
    kind=st.sampled_from([Trouble.dying_before, Trouble.dying_after, Trouble.refusal, Trouble.unheard, overtaken]),
)
picks = st.integers(0, 99)

PICTURE = a_picture(size=(8, 8))


class Gateway(RuleBasedStateMachine):
    """Two accounts, one with little money and few tasks at a time; clients, providers, an operator, and mishaps."""

    def __init__(self) -> None:
        super().__init__()
        self.around = ExitStack()
        monkeypatch = self.around.enter_context(pytest.MonkeyPatch.context())
        monkeypatch.setattr(time, "sleep", lambda _: None)  # as the SDK does before it tries again
        self.world = self.around.enter_context(a_world(monkeypatch))
        self.callers = [
            self.world.open_account(id="acc_poor", balance=23, overrides={"tasks_in_flight": 3}),
            self.world.open_account(id="acc_rich", balance=400),
        ]
        self.by_key: dict[tuple[str, str], str] = {}
        self.bought: Counter[str] = Counter()
        """By order, how many requests providers have taken, or may have."""
        self.orders = count()
        self.ends: dict[str, Status] = {}
        """How each task has ended; that does not change any more."""

    @rule(
        who=st.integers(0, 1),
        key=st.none() | st.sampled_from(["a", "b", "c"]),
        provider=st.sampled_from([..., "defapi", "gempix2", "gempix2ai", "gptimage2api"]),
        answer=st.sampled_from(list(ANSWERS)),
        mishap=mishaps,
    )
    def submit(self, who: int, key: str | None, provider: Any, answer: str, mishap: Mishap | None) -> None:
        caller = self.callers[who]
        order = f"order {who} {key or next(self.orders)}."  # the same with the same key
        self.world.upstream.answer = partial(self._order, ANSWERS[answer] or self.world.upstream._accept, order)
        with self._with(mishap):
            callback_url = f"https://shop.example/{who}"
            body = a_body(model="nano-banana-2", prompt=order, provider=provider, callback_url=callback_url)
            found = self.world.submit(body, key=key, caller=caller)
            task_id = found.document.get("id") or found.document.get("task_id")
            if key and task_id:
                assert self.by_key.setdefault((caller.account_id, key), task_id) == task_id

    def _order(self, answer: Provider, order: str, request: httpx.Request) -> httpx.Response:
        answered = answer(request)
        if request.method == "POST":
            assert order in request.content.decode()
            self.bought[order] += answered.status_code in {200, 502}
        return answered

    @rule(pick=picks, is_success=st.booleans())
    def learn(self, pick: int, is_success: bool) -> None:
        if task := self._picked(pick):
            self.world.put_outcome(task, self.world.a_success(task) if is_success else self.world.a_failure(task))

    @rule(pick=picks, is_success=st.booleans(), mishap=mishaps)
    def call_back(self, pick: int, is_success: bool, mishap: Mishap | None) -> None:
        asked = [request for request in self.world.upstream.requests if path_of(request)]
        if asked:
            request = asked[pick % len(asked)]
            dialect = next(one for one in EVERYONE.values() if one.host == request.url.host)
            image = self.world.image_hosts.serve("https://images.example/any.png", PICTURE)
            said = dialect.succeeded(image) if is_success else dialect.failed()
            with self._with(mishap):
                self.world.callback(callback_url_in(request.content.decode()), said)

    @rule(pick=picks, state=st.sampled_from(["processing", "success", "failed"]), mishap=mishaps)
    def poll(self, pick: int, state: Any, mishap: Mishap | None) -> None:
        turns = list(self.world.pollers().values())
        if turns:
            turn = turns[pick % len(turns)]
            self._provider_says(turn["task_id"], state)
            with self._with(mishap):
                self.world.invoke("poll", turn)

    @rule(
        pick=picks,
        state=st.sampled_from(["processing", "success", "failed"]),
        minutes=st.sampled_from([0, 16, 60, 120]),
        mishap=mishaps,
    )
    def deadlines(self, pick: int, state: Any, minutes: int, mishap: Mishap | None) -> None:
        if task := self._picked(pick):
            self._provider_says(task.id, state)
        self.world.time_passes(beyond=timedelta(minutes=minutes))
        with self._with(mishap):
            self.world.deadlines_come()

    @rule(pick=picks, mishap=mishaps)
    def cancel(self, pick: int, mishap: Mishap | None) -> None:
        if task := self._picked(pick):
            with self._with(mishap):
                self.world.request("POST", f"/images/{task.id}/cancel", caller=self._owner(task))

    @rule(pick=picks, mishap=mishaps)
    def erase(self, pick: int, mishap: Mishap | None) -> None:
        if task := self._picked(pick):
            with self._with(mishap):
                self.world.request("DELETE", f"/images/{task.id}", caller=self._owner(task))

    @rule(status=st.sampled_from([204, 500, 503]), mishap=mishaps)
    def deliver(self, status: int, mishap: Mishap | None) -> None:
        self.world.receivers.answers["shop.example"] = lambda _: httpx.Response(status)
        with self._with(mishap):
            self.world.deliver_all(beyond=timedelta(minutes=1))

    def _picked(self, pick: int) -> Task | None:
        tasks = self.world.tasks()
        return tasks[pick % len(tasks)] if tasks else None

    def _owner(self, task: Task) -> Caller:
        return next(caller for caller in self.callers if caller.account_id == task.account_id)

    def _provider_says(self, task_id: str, state: Any) -> None:
        """What the task's provider answers when it is asked."""
        image = self.world.image_hosts.serve("https://images.example/any.png", PICTURE)
        document = EVERYONE[self.world.task(task_id).provider].status(state, *([image] if state == "success" else []))
        self.world.upstream.answer = lambda _: httpx.Response(200, json=document)

    @rule(mishap=mishaps)
    def finish(self, mishap: Mishap | None) -> None:
        with self._with(mishap):
            self.world.finish_all()
        self.world.time_passes()

    @rule(mishap=mishaps)
    def redrive(self, mishap: Mishap | None) -> None:
        """What is on the queue of outcomes goes to the dead letters, and from there back."""
        for message in self.world.messages():
            group = message["Attributes"]["MessageGroupId"]
            aws("sqs").send_message(
                QueueUrl=SETTINGS["FINISH_DEAD_LETTERS_URL"],
                MessageBody=message["Body"],
                MessageGroupId=group,
                MessageDeduplicationId=uuid4().hex,
            )
            aws("sqs").delete_message(QueueUrl=SETTINGS["FINISH_QUEUE_URL"], ReceiptHandle=message["ReceiptHandle"])
        with self._with(mishap):
            self._redrive()
        self._redrive()

    def _redrive(self) -> None:
        self.world.let_be_seen_again("dead-finish.fifo")
        self.world.invoke("admin", {"action": "redrive_dead_letters", "queue": "finish"})

    @rule(
        who=st.integers(0, 1),
        request_id=st.sampled_from(["r-1", "r-2", "r-3"]),
        number=st.integers(-30, 30),
        mishap=mishaps,
    )
    def adjust(self, who: int, request_id: str, number: int, mishap: Mishap | None) -> None:
        action = {"action": "adjust_credits", "account_id": self.callers[who].account_id, "credits": number}
        with self._with(mishap):
            self.world.invoke("admin", {**action, "note": "why", "request_id": request_id})

    def _with(self, mishap: Mishap | None) -> AbstractContextManager[Any]:
        around = ExitStack()
        around.enter_context(suppress(Died, PixhookError))
        around.enter_context(mishap.at(self.world) if mishap else nullcontext())
        return around

    @invariant()
    def money_is_exact(self) -> None:
        for caller in self.callers:
            assert_money_is_exact(self.world, caller.account_id)

    @invariant()
    def nothing_is_asked_for_twice(self) -> None:
        assert set(self.bought.values()) <= {0, 1}

    @invariant()
    def what_has_ended_has_ended(self) -> None:
        for task in self.world.tasks():
            if is_terminal(task.status):
                assert self.ends.setdefault(task.id, task.status) is task.status

    def teardown(self) -> None:
        """In the end, whatever has happened, everything has ended, and who got no image has paid nothing."""
        self.world.time_passes(beyond=timedelta(hours=2))
        for _ in range(100):
            self.world.deadlines_come()
            self.world.finish_all()
            self.world.time_passes()
            if not self.world.deadlines_left() and self.world.is_quiet():
                break
        self.world.receivers.answers.clear()
        for _ in range(15):
            self.world.deliver_all(beyond=timedelta(days=1))
        assert all(is_terminal(task.status) for task in self.world.tasks())
        self.money_is_exact()
        stored = self.world.stored()
        for task in self.world.tasks():
            assert task.deleted_at or all(image.key in stored for image in task.images)
        told = {event["detail"]["task_id"]: event["detail"]["status"] for event in self.world.events()}
        assert all(told[task.id] == task.status for task in self.world.tasks() if task.published_at)
        assert len({event["detail"]["id"] for event in self.world.events()}) == len(told)
        heard = {json.loads(request.content)["task_id"] for request in self.world.receivers.requests}
        assert {task.id for task in self.world.tasks() if task.published_at and not task.deleted_at} <= heard
        assert self.world.waiting("WEBHOOK_QUEUE_URL") == self.world.waiting("ATTEMPT_QUEUE_URL") == 0
        self.around.close()


def path_of(request: httpx.Request) -> str:
    """What tells a task, and a provider, in what the provider was sent: its callback URL."""
    return request.content.decode().partition(SETTINGS["PUBLIC_BASE_URL"])[2].partition('"')[0]


@pytest.mark.parametrize("walk", range(4))
def test_all_is_well_whoever_does_what_in_whatever_order(walk: int) -> None:
    run_state_machine_as_test(
        type(f"Gateway{walk}", (Gateway,), {}),  # by its name walks are drawn, the same each time
        settings=settings(
            max_examples=13,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        ),
    )
