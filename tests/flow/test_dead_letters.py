"""Dead letters: an operator looks at them, has them handled anew, or drops them; by task or all."""

import json
from contextlib import suppress
from typing import Any

import pytest

from pixhook.errors import StoreUnavailable
from pixhook.model import Status
from tests.conftest import SETTINGS
from tests.flow.cloud import aws, bury
from tests.flow.trouble import Trouble
from tests.flow.world import Died, World

QUEUES = ["finish", "deadlines", "webhooks", "attempts"]
SOURCES = {
    "finish": "FINISH_QUEUE_URL",
    "deadlines": "DEADLINE_QUEUE_URL",
    "webhooks": "WEBHOOK_QUEUE_URL",
    "attempts": "ATTEMPT_QUEUE_URL",
}
each_queue = pytest.mark.parametrize("queue", QUEUES)


def admin(world: World, action: str, queue: str, **more: Any) -> dict[str, Any]:
    return dict(world.invoke("admin", {"action": f"{action}_dead_letters", "queue": queue, **more}))


def letters(world: World, queue: str, **more: Any) -> list[str | None]:
    return sorted(letter["task_id"] for letter in admin(world, "list", queue, **more)["dead_letters"])


@each_queue
def test_what_is_there_can_be_looked_at_and_stays(world: World, queue: str) -> None:
    bury(queue, "tsk_1", provider="apixo")
    bury(queue, "tsk_2")
    for _ in range(2):
        assert letters(world, queue) == ["tsk_1", "tsk_2"]
    [letter] = admin(world, "list", queue, task_id="tsk_1")["dead_letters"]
    assert json.loads(letter["body"]) == {"task_id": "tsk_1", "provider": "apixo"}
    assert letter["sent_at"].endswith("Z")


@each_queue
def test_one_tasks_letters_are_redriven_and_the_others_stay(world: World, queue: str) -> None:
    for task_id in ("tsk_1", "tsk_2", "tsk_3"):
        bury(queue, task_id)

    assert admin(world, "redrive", queue, task_id="tsk_2") == {"redriven": 1}

    assert letters(world, queue) == ["tsk_1", "tsk_3"]
    assert world.waiting(SOURCES[queue]) == 1
    assert admin(world, "redrive", queue) == {"redriven": 2}
    assert letters(world, queue) == []
    assert world.waiting(SOURCES[queue]) == 3


@each_queue
def test_what_is_dropped_is_gone(world: World, queue: str) -> None:
    for number in range(15):
        bury(queue, f"tsk_{number}")
    assert admin(world, "drop", queue, task_id="tsk_7") == {"dropped": 1}
    assert len(letters(world, queue)) == 14
    assert admin(world, "drop", queue) == {"dropped": 14}
    assert letters(world, queue) == []
    assert world.waiting(SOURCES[queue]) == 0


def test_letter_that_tells_of_no_task_is_seen_too(world: World) -> None:
    url = SETTINGS["WEBHOOK_DEAD_LETTERS_URL"]
    for body in ("no JSON", "[]", '{"redeliver": {"subject": "tsk_1", "delivery_id": "dlv_1"}}'):
        aws("sqs").send_message(QueueUrl=url, MessageBody=body)
    found = admin(world, "list", "webhooks")["dead_letters"]
    assert sorted(str(letter["task_id"]) for letter in found) == ["None", "None", "tsk_1"]


def test_it_is_done_once_for_its_request_and_audited(world: World) -> None:
    bury("finish", "tsk_1")
    for _ in range(2):
        assert admin(world, "drop", "finish", request_id="r-1") == {"dropped": 1}
        bury("finish", "tsk_2")
    assert len(letters(world, "finish")) == 2
    log = world.invoke("admin", {"action": "audit_log", "month": f"{world.now():%Y-%m}"})
    assert [entry["id"] for entry in log["requests"] if entry["action"] == "drop_dead_letters"] == ["r-1"]


def test_outcome_that_was_buried_ends_its_task(world: World) -> None:
    task = world.accepted()
    world.put_outcome(task, world.a_success(task))
    [message] = world.messages()
    aws("sqs").purge_queue(QueueUrl=SETTINGS["FINISH_QUEUE_URL"])
    bury("finish", task.id, **{name: value for name, value in json.loads(message["Body"]).items() if name != "task_id"})

    admin(world, "redrive", "finish", task_id=task.id)

    assert world.finish_all() == []
    assert world.task(task.id).status is Status.COMPLETED


@each_queue
@pytest.mark.parametrize("trouble", ["dying_before", "dying_after", "unheard"])
@pytest.mark.parametrize("step", range(10))
def test_whatever_happens_on_the_way_no_letter_is_lost(
    world: World, monkeypatch: pytest.MonkeyPatch, queue: str, trouble: str, step: int
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    for task_id in ("tsk_1", "tsk_2"):
        bury(queue, task_id)
    with getattr(Trouble(world, step), trouble)(), suppress(Died, StoreUnavailable):
        admin(world, "redrive", queue, task_id="tsk_1")
    world.let_be_seen_again(f"dead-{SETTINGS[SOURCES[queue]].rpartition('/')[2]}")

    admin(world, "redrive", queue, task_id="tsk_1")

    assert letters(world, queue) == ["tsk_2"]
    assert world.waiting(SOURCES[queue]) >= 1
