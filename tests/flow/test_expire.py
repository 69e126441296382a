"""The deadline: whatever else is lost, a task ends, and what it did not yield is given back."""

import json
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from pixhook.documents import moment_text
from pixhook.flows.expire import (
    DEADLINE_SECONDS,
    EXTENDED_SECONDS,
    LOOK_AGAIN_SECONDS,
    POLLER_GRACE_SECONDS,
    deadline,
)
from pixhook.lifecycle import is_terminal
from pixhook.model import ErrorCode, Status, Task
from pixhook.providers import PROVIDERS
from tests.flow.cloud import sqs_event
from tests.flow.dialects import EVERYONE, Dialect
from tests.flow.outside import Provider
from tests.flow.test_submit import AWS_TROUBLES, assert_problem
from tests.flow.trouble import Trouble
from tests.flow.world import World
from tests.support.builders import a_body, a_picture

IMAGE_URL = "https://images.example/a.png"


@pytest.fixture(params=EVERYONE)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    """Each provider in turn, however it calls back."""
    return EVERYONE[request.param]


@pytest.fixture
def task(world: World, dialect: Dialect) -> Task:
    """A task that the provider has accepted, and says nothing of."""
    task = world.accepted(provider=dialect.name)
    world.upstream.requests.clear()
    return task


def balance(world: World) -> int:
    return int(world.get("/account").document["balance"])


def when_due(world: World, dialect: Dialect, seconds: float = 0) -> None:
    """What `expire` does at the task's deadline, or so many seconds later."""
    world.time_passes(beyond=timedelta(seconds=deadline(dialect.name) + seconds))
    world.deadlines_come()
    assert world.finish_all() == []


def saying(dialect: Dialect, state: Any, *images: str) -> Provider:
    """A provider that says this when it is asked."""
    return lambda _: httpx.Response(200, json=dialect.status(state, *images))


# A task that the provider knows


def test_end_that_nobody_told_is_read(world: World, dialect: Dialect, task: Task) -> None:
    world.upstream.answer = saying(dialect, "success", world.image_hosts.serve(IMAGE_URL, a_picture()))

    when_due(world, dialect)

    assert world.task(task.id).status is Status.COMPLETED
    assert [request.method for request in world.upstream.requests] == ["GET"]
    assert len(world.events()) == 1


def test_failure_that_nobody_told_is_read(world: World, dialect: Dialect, task: Task) -> None:
    world.upstream.answer = saying(dialect, "failed")
    before = balance(world)

    when_due(world, dialect)

    assert world.task(task.id).status is Status.FAILED
    assert balance(world) - before == task.credits


@pytest.mark.parametrize("state", ["processing", "unknown"])
def test_task_that_still_runs_is_looked_at_again_until_it_has_had_enough_time(
    world: World, dialect: Dialect, task: Task, state: str
) -> None:
    world.upstream.answer = saying(dialect, state)
    before = balance(world)

    when_due(world, dialect)
    assert world.deadlines()[-1] == LOOK_AGAIN_SECONDS
    when_due(world, dialect, EXTENDED_SECONDS - 2 * deadline(dialect.name) - 30)
    assert world.task(task.id).status is Status.PROCESSING
    world.time_passes(beyond=timedelta(seconds=30))
    world.deadlines_come()
    world.finish_all()

    ended = world.task(task.id)
    assert (ended.status, ended.failure and ended.failure.code) == (Status.FAILED, ErrorCode.TIMEOUT)
    assert balance(world) - before == task.credits
    assert len(world.upstream.requests) == 3


def test_how_far_a_task_is_can_be_seen_where_its_provider_says_so(world: World) -> None:
    task = world.accepted(provider="gempix2ai")
    world.upstream.answer = saying(EVERYONE["gempix2ai"], "processing")

    when_due(world, EVERYONE["gempix2ai"])

    document = world.get(f"/images/{task.id}").document
    read_at = datetime.fromisoformat(document["updated_at"])
    assert (document["progress"], document["estimated_end_at"]) == (50, moment_text(read_at + timedelta(seconds=30)))
    world.complete(task)
    document = world.get(f"/images/{task.id}").document
    assert (document["status"], document["progress"], document["estimated_end_at"]) == ("completed", None, None)


def test_task_whose_progress_could_not_be_noted_is_looked_at_again_all_the_same(world: World) -> None:
    task = world.accepted(provider="gempix2ai")
    world.upstream.requests.clear()
    world.upstream.answer = saying(EVERYONE["gempix2ai"], "processing")

    with world.refusing("UpdateItem"):
        when_due(world, EVERYONE["gempix2ai"])

    assert world.get(f"/images/{task.id}").document["progress"] is None
    assert world.deadlines()[-1] == LOOK_AGAIN_SECONDS
    assert world.deadlines_left() == 1
    assert len(world.upstream.requests) == 1


def test_what_is_said_of_a_task_that_has_just_ended_leaves_it_ended(world: World) -> None:
    task = world.accepted(provider="gempix2ai")
    world.upstream.answer = saying(EVERYONE["gempix2ai"], "processing")

    def end(operation: str) -> None:
        if operation == "UpdateItem":
            world.table.end(task, Status.CANCELED, task.created_at)

    with world.disturbed(end):
        when_due(world, EVERYONE["gempix2ai"])

    assert world.task(task.id).status is Status.CANCELED
    assert world.get(f"/images/{task.id}").document["progress"] is None


def test_task_that_cannot_be_read_now_is_looked_at_again(world: World, dialect: Dialect, task: Task) -> None:
    world.upstream.answer = lambda _: httpx.Response(503, headers={"retry-after": "700"})

    when_due(world, dialect)

    assert world.task(task.id).status is Status.PROCESSING
    assert world.deadlines()[-1] == 700
    world.upstream.answer = saying(dialect, "success", world.image_hosts.serve(IMAGE_URL, a_picture()))
    world.deadlines_come()
    assert world.finish_all() == []
    assert world.task(task.id).status is Status.COMPLETED


def test_nobody_is_asked_where_the_operator_does_not_want_it(
    world: World, dialect: Dialect, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world._functions["expire"], "read", None)

    when_due(world, dialect)

    assert world.upstream.requests == []
    ended = world.task(task.id)
    assert (ended.status, ended.failure and ended.failure.code) == (Status.FAILED, ErrorCode.TIMEOUT)


def test_word_that_comes_after_the_deadline_changes_nothing(world: World, dialect: Dialect, task: Task) -> None:
    world.time_passes(beyond=timedelta(seconds=EXTENDED_SECONDS))
    world.upstream.answer = saying(dialect, "processing")
    world.deadlines_come()
    world.finish_all()

    world.complete(task)

    assert world.task(task.id).status is Status.FAILED
    assert [event["detail-type"] for event in world.events()] == ["images.failed"]


# A task that the provider may know


def test_task_of_an_unclear_submit_fails_at_its_deadline(world: World, dialect: Dialect) -> None:
    world.upstream.answer = lambda _: httpx.Response(502)
    before = balance(world)
    task_id = world.submit(a_body(provider=dialect.name)).document["id"]
    world.upstream.requests.clear()

    when_due(world, dialect)

    ended = world.task(task_id)
    assert (ended.status, ended.failure and ended.failure.code) == (Status.FAILED, ErrorCode.TIMEOUT)
    assert world.upstream.requests == []
    assert balance(world) == before


STEPS = range(12)
"""More than a submit makes calls."""


@pytest.mark.parametrize("kind", [Trouble.dying_before, Trouble.dying_after])
@pytest.mark.parametrize("step", STEPS)
def test_submit_that_died_half_way_is_settled(world: World, dialect: Dialect, step: int, kind: Any) -> None:
    before = balance(world)
    with kind(Trouble(world, step)):
        world.submit(a_body(provider=dialect.name))
    bought = bool(world.upstream.requests)
    world.upstream.answer = saying(dialect, "success", world.image_hosts.serve(IMAGE_URL, a_picture()))

    when_due(world, dialect)

    tasks = world.tasks()
    assert len(tasks) <= 1
    for task in tasks:
        assert is_terminal(task.status)
        assert task.status is Status.FAILED or bought
        assert balance(world) == before - (task.credits if task.status is Status.COMPLETED else 0)
    if not tasks:
        assert not bought
        assert balance(world) == before
    assert world.get("/account").document["usage"]["tasks_in_flight"] == 0


@pytest.mark.parametrize("trouble", AWS_TROUBLES)
def test_nothing_is_written_that_has_no_deadline(world: World, dialect: Dialect, trouble: Any) -> None:
    with world.refusing("SendMessage", trouble=trouble):
        answer = world.submit(a_body(provider=dialect.name))

    assert_problem(answer, 503, "service_unavailable")
    assert world.tasks() == []
    assert world.upstream.requests == []


# When


def test_deadline_gives_callbacks_and_pollers_the_time_they_take(dialect: Dialect) -> None:
    polling = PROVIDERS[dialect.name].polling
    assert deadline(dialect.name) == (polling.give_up + POLLER_GRACE_SECONDS if polling else DEADLINE_SECONDS)


def test_message_that_comes_early_is_put_back(world: World, dialect: Dialect, task: Task) -> None:
    world.time_passes(beyond=timedelta(seconds=deadline(dialect.name) - 60))
    world.deadlines_come()

    assert 50 <= world.deadlines()[-1] <= 60
    assert world.task(task.id).status is Status.PROCESSING
    assert world.upstream.requests == []


def test_task_that_has_ended_is_left_alone(world: World, dialect: Dialect, task: Task) -> None:
    world.complete(task)
    set_before = len(world.deadlines())

    when_due(world, dialect)

    assert world.task(task.id).status is Status.COMPLETED
    assert len(world.deadlines()) == set_before
    assert world.upstream.requests == []
    assert len(world.events()) == 1


def test_task_that_is_being_stored_is_left_to_its_copying(world: World, dialect: Dialect, task: Task) -> None:
    world.table.move(task, Status.STORING, task.created_at)

    when_due(world, dialect, EXTENDED_SECONDS)

    assert world.task(task.id).status is Status.STORING


# Trouble


@pytest.mark.parametrize("operation", ["GetItem", "SendMessage"])
def test_deadline_that_could_not_be_kept_comes_again(
    world: World, dialect: Dialect, task: Task, operation: str
) -> None:
    world.upstream.answer = saying(dialect, "failed")
    world.time_passes(beyond=timedelta(seconds=deadline(dialect.name)))
    with world.refusing(operation):
        world.deadlines_come()
    assert world.task(task.id).status is Status.PROCESSING

    world.deadlines_come()
    world.finish_all()

    assert world.task(task.id).status is Status.FAILED


def test_one_tasks_trouble_is_no_other_tasks(world: World) -> None:
    first, second = world.accepted(), world.accepted(provider="defapi")
    world.store_secret("PROVIDERS_SECRET", {"defapi": {"api_key": "key"}})  # the first one's key is taken away
    world.upstream.answer = saying(EVERYONE["defapi"], "failed")
    world.time_passes(beyond=timedelta(seconds=DEADLINE_SECONDS))

    world.deadlines_come()
    world.finish_all()

    assert world.task(second.id).status is Status.FAILED
    assert world.task(first.id).status is Status.PROCESSING

    world.time_passes(beyond=timedelta(seconds=EXTENDED_SECONDS))  # it ends all the same, though nobody can be asked
    world.deadlines_come()
    world.finish_all()
    ended = world.task(first.id)
    assert (ended.status, ended.failure and ended.failure.code) == (Status.FAILED, ErrorCode.TIMEOUT)


def test_message_that_is_none_of_ours_keeps_no_other_from_its_deadline(world: World) -> None:
    task = world.accepted()
    world.upstream.answer = saying(EVERYONE["apixo"], "failed")
    world.time_passes(beyond=timedelta(seconds=DEADLINE_SECONDS))
    message = {"MessageId": "poison", "ReceiptHandle": "any", "Body": "{", "Attributes": {}, "MD5OfBody": ""}
    [poison] = sqs_event(message, "deadlines")["Records"]
    good = {**poison, "messageId": "good", "body": json.dumps({"task_id": task.id})}

    answer = world.invoke("expire", {"Records": [poison, good]})

    assert answer == {"batchItemFailures": [{"itemIdentifier": "poison"}]}
    assert world.finish_all() == []
    assert world.task(task.id).status is Status.FAILED


def test_answer_that_names_the_task_otherwise_is_believed(world: World, dialect: Dialect, task: Task) -> None:
    renamed = json.dumps(dialect.status("failed")).replace(dialect.ref, "another-name")
    world.upstream.answer = lambda _: httpx.Response(200, text=renamed)

    when_due(world, dialect)

    assert world.task(task.id).status is Status.FAILED
