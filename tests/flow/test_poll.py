"""A provider that does not call back is asked: until it names an end, or for as long as it is given."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from local.simulators.provider import State
from pixhook.errors import StoreUnavailable
from pixhook.flows.poll import wait_after
from pixhook.model import ErrorCode, Status, Task
from pixhook.providers import PROVIDERS
from pixhook.providers.base import Callback, Polling
from tests.flow.cloud import service_error
from tests.flow.dialects import Dialect, dialects
from tests.flow.outside import Provider
from tests.flow.world import World
from tests.support.builders import a_body, a_picture

POLLED = dialects(Callback.NONE)
IMAGE_URL = "https://images.example/a.png"


@pytest.fixture(params=POLLED)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    """Each provider that is polled, in turn."""
    return POLLED[request.param]


@pytest.fixture
def polling(dialect: Dialect) -> Polling:
    """Its own schedule."""
    polling = PROVIDERS[dialect.name].polling
    assert polling is not None
    return polling


@pytest.fixture
def task(world: World, dialect: Dialect) -> Task:
    """A task that it has accepted."""
    return world.accepted(provider=dialect.name)


def poll(world: World, task: Task, reads: int = 0) -> dict[str, Any]:
    """One round of the state machine."""
    return dict(world.invoke("poll", {"task_id": task.id, "reads": reads, "wait": 0, "done": False}))


def answering(*answers: httpx.Response) -> Provider:
    """A provider that answers reads in turn, and with the last for ever."""
    left = list(answers)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


def test_poller_is_started_under_the_tasks_name_before_anything_is_bought(
    world: World, dialect: Dialect, polling: Polling
) -> None:
    started: list[str] = []

    def accept(_: httpx.Request) -> httpx.Response:
        started.extend(world.pollers())
        return httpx.Response(200, json=dialect.accepted())

    world.upstream.answer = accept
    task = world.accepted(provider=dialect.name)

    assert started == [task.id]
    assert world.pollers()[task.id] == {"task_id": task.id, "reads": 0, "wait": polling.first, "done": False}


def test_nothing_is_bought_that_nobody_would_look_after(world: World, dialect: Dialect) -> None:
    with world.refusing("StartExecution"):
        assert world.submit(a_body(provider=dialect.name)).status == 503

    assert world.upstream.requests == []


def test_poller_that_runs_already_is_no_failure(world: World, dialect: Dialect) -> None:
    with world.refusing("StartExecution", trouble=service_error("ExecutionAlreadyExists", 400)):
        assert world.submit(a_body(provider=dialect.name)).status == 202


@pytest.mark.parametrize("state", ["pending", "processing", "unknown"])
def test_task_that_goes_on_is_asked_for_again_later(world: World, task: Task, dialect: Dialect, state: State) -> None:
    world.upstream.answer = lambda _: httpx.Response(200, json=dialect.status(state))

    turn = poll(world, task)

    assert (turn["task_id"], turn["reads"], turn["done"]) == (task.id, 1, False)
    assert turn["wait"] >= 1
    assert world.is_quiet()


def test_end_that_was_read_is_that_of_a_callback(world: World, task: Task, dialect: Dialect) -> None:
    content = a_picture()
    url = world.image_hosts.serve(IMAGE_URL, content)
    world.upstream.answer = lambda _: httpx.Response(200, json=dialect.status("success", url))

    assert poll(world, task)["done"]

    assert world.finish_all() == []
    assert world.task(task.id).status is Status.COMPLETED
    assert [content for content, _ in world.stored().values()] == [content]
    assert len(world.events()) == 1


def test_failure_that_was_read_ends_the_task(world: World, task: Task, dialect: Dialect) -> None:
    world.upstream.answer = lambda _: httpx.Response(200, json=dialect.status("failed"))

    assert poll(world, task)["done"]

    assert world.finish_all() == []
    assert world.task(task.id).status is Status.FAILED


UNREAD = {
    "not known yet": httpx.Response(404, json={}),
    "our key": httpx.Response(401, json={}),
    "too many": httpx.Response(429),
    "down": httpx.Response(503, html="<h1>Down</h1>"),
    "garbage": httpx.Response(200, text="\x00"),
    "another document": httpx.Response(200, json=[]),
}


@pytest.mark.parametrize("answer", UNREAD.values(), ids=UNREAD)
def test_read_that_fails_is_no_failed_task(world: World, task: Task, dialect: Dialect, answer: httpx.Response) -> None:
    url = world.image_hosts.serve(IMAGE_URL, a_picture())
    world.upstream.answer = answering(answer, httpx.Response(200, json=dialect.status("success", url)))

    assert not poll(world, task)["done"]
    assert world.is_quiet()
    assert poll(world, task, reads=1)["done"]
    assert not world.is_quiet()


def test_broken_connection_is_no_failed_task(world: World, task: Task) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("nothing came", request=request)

    world.upstream.answer = fail
    assert not poll(world, task)["done"]


def test_wish_to_wait_is_heeded(world: World, task: Task) -> None:
    world.upstream.answer = lambda _: httpx.Response(429, headers={"Retry-After": "77"})
    assert poll(world, task)["wait"] == 77


@pytest.mark.parametrize("answer", ["processing", 404])
def test_task_that_never_ends_is_given_up_at_its_limit(
    world: World, task: Task, dialect: Dialect, polling: Polling, answer: Any
) -> None:
    is_status = isinstance(answer, int)
    world.upstream.answer = lambda _: (
        httpx.Response(answer) if is_status else httpx.Response(200, json=dialect.status(answer))
    )
    world.time_passes(beyond=timedelta(seconds=polling.give_up - 5))
    assert not poll(world, task)["done"]
    world.time_passes(beyond=timedelta(seconds=5))
    assert poll(world, task)["done"]

    assert world.finish_all() == []
    failure = world.task(task.id).failure
    assert failure is not None
    assert failure.code is ErrorCode.TIMEOUT


def test_result_that_comes_at_the_last_read_is_taken(
    world: World, task: Task, dialect: Dialect, polling: Polling
) -> None:
    url = world.image_hosts.serve(IMAGE_URL, a_picture())
    world.upstream.answer = lambda _: httpx.Response(200, json=dialect.status("success", url))
    world.time_passes(beyond=timedelta(seconds=2 * polling.give_up))

    assert poll(world, task)["done"]
    assert world.finish_all() == []
    assert world.task(task.id).status is Status.COMPLETED


def test_submit_whose_answer_was_lost_ends_by_the_poller(world: World, dialect: Dialect, polling: Polling) -> None:
    world.upstream.answer = lambda _: httpx.Response(504)
    answer = world.submit(a_body(provider=dialect.name))
    assert (answer.status, answer.document["status"]) == (202, "queued")
    [task] = world.tasks()

    assert not poll(world, task)["done"]
    world.time_passes(beyond=timedelta(seconds=polling.give_up))
    assert poll(world, task)["done"]

    assert len(world.upstream.requests) == 1
    assert world.finish_all() == []
    assert world.task(task.id).status is Status.FAILED


def test_task_that_has_ended_is_not_asked_for(world: World, dialect: Dialect) -> None:
    world.upstream.answer = lambda _: httpx.Response(400, json=dialect.refused(400))
    world.submit(a_body(provider=dialect.name))
    world.finish_all()
    [task] = world.tasks()

    assert poll(world, task)["done"]
    assert len(world.upstream.requests) == 1


def test_task_that_is_gone_is_not_asked_for(world: World) -> None:
    turn = {"task_id": "tsk_gone", "reads": 3, "wait": 0, "done": False}
    assert world.invoke("poll", turn)["done"]


@pytest.mark.parametrize("operation", ["GetItem", "SendMessage"])
def test_our_own_trouble_has_the_turn_taken_again(world: World, task: Task, dialect: Dialect, operation: str) -> None:
    world.upstream.answer = lambda _: httpx.Response(200, json=dialect.status("failed"))
    with world.refusing(operation), pytest.raises(StoreUnavailable):
        poll(world, task)
    assert poll(world, task)["done"]


def test_nobody_who_calls_back_is_polled(world: World) -> None:
    for name in dialects(Callback.PER_REQUEST) | dialects(Callback.PER_ACCOUNT):
        world.accepted(provider=name)
    assert world.pollers() == {}


SCHEDULE = Polling(first=10, interval=4, longest=20, give_up=900)


def test_waits_grow_to_the_longest() -> None:
    assert [wait_after(reads, SCHEDULE, 0.5) for reads in (1, 2, 3, 4, 5, 6, 10_000)] == [4, 6, 9, 14, 20, 20, 20]


def test_waits_are_spread() -> None:
    assert (wait_after(9, SCHEDULE, 0), wait_after(9, SCHEDULE, 1)) == (16, 24)
    assert wait_after(1, Polling(first=1, interval=1, longest=1, give_up=9), 0) == 1
