"""Each file in events/ does what its name says: <function>.<case>.json."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from moto.events.models import EventPattern

from local.stack import ROOT
from pixhook.documents import event_detail, event_type
from pixhook.model import ErrorCode, Failure, Image, Status
from tests.conftest import SETTINGS
from tests.flow.cloud import FUNCTIONS
from tests.flow.world import World
from tests.support.builders import ACCOUNT_ID, NOW, TASK_ID, a_picture, a_request, a_task

FOLDER = ROOT / "events"
KEY_ID = "key_01JNEZ2W3GQK4T5V6X7Y8Z9ABC"
IMAGE = Image(
    bucket=SETTINGS["IMAGES_BUCKET"],
    key=f"images/{TASK_ID}/0.png",
    sha256="0" * 64,
    size=1,
    content_type="image/png",
    width=64,
    height=48,
)


def answers(status: int) -> Callable[[World, Any], bool]:
    return lambda _, answer: bool(answer["statusCode"] == status)


def is_queued(world: World, answer: Any) -> bool:
    groups = [message["Attributes"]["MessageGroupId"] for message in world.messages()]
    return answers(200)(world, answer) and groups == [TASK_ID]


def is_completed(world: World, _: Any) -> bool:
    return world.task(TASK_ID).status is Status.COMPLETED


def is_allowed(_: World, answer: Any) -> bool:
    return bool(answer["context"]["account_id"] == ACCOUNT_ID)


def has(*names: str) -> Callable[[World, Any], bool]:
    return lambda _, answer: answer.keys() == set(names)


CASES: Mapping[str, Callable[[World, Any], bool]] = {
    "submit.accepted": answers(202),
    "submit.invalid": answers(422),
    "receive.apixo.succeeded": is_queued,
    "receive.defapi.succeeded": is_queued,
    "receive.apixo.forged": answers(401),
    "finish.succeeded": is_completed,
    "expire.early": lambda _, answer: answer == {"batchItemFailures": []},
    "deliver.completed": lambda world, _: world.waiting("ATTEMPT_QUEUE_URL") == 1,
    "docs.openapi": answers(200),
    "webhooks.create": answers(201),
    "poll.running": has("task_id", "reads", "wait", "done"),
    "query.image": answers(200),
    "query.file": answers(302),
    "query.models": answers(200),
    "query.account": answers(200),
    "authorize.bearer": is_allowed,
    "admin.create_account": has("account_id"),
    "admin.create_key": has("key", "key_id"),
    "admin.revoke_key": has("key_id"),
    "admin.grant_credits": has("account_id"),
}


def test_every_function_has_a_file_and_every_file_is_tried() -> None:
    assert {file.stem for file in FOLDER.glob("*.json")} == CASES.keys()
    assert {case.partition(".")[0] for case in CASES} == set(FUNCTIONS)


@pytest.mark.parametrize("case", CASES)
def test_event_file_does_what_its_name_says(world: World, case: str) -> None:
    event = json.loads((FOLDER / f"{case}.json").read_bytes())
    function = case.partition(".")[0]
    prepare(world, has_ended=function in {"query", "deliver"})

    assert CASES[case](world, world.invoke(function, event))


def prepare(world: World, *, has_ended: bool) -> None:
    """The key and the task that the files speak of."""
    world.put_key("pxk_" + "0" * 43, id=KEY_ID)
    task = a_task(status=Status.QUEUED, request=a_request(callback_url="https://shop.example/hooks"))
    world.put_task(task)
    world.table.move(task, Status.PROCESSING, NOW, ref=task.ref)
    if has_ended:
        world.table.move(task, Status.STORING, NOW)
        world.table.end(task, Status.COMPLETED, NOW, images=(IMAGE,))
    world.image_hosts.serve("https://images.example/fox.png", a_picture())


PATTERNS: Mapping[str, set[str]] = {
    "all": {"completed", "failed", "failed for good"},
    "completed": {"completed"},
    "completed-orders": {"completed"},
    "failed": {"failed", "failed for good"},
    "failed-retryable": {"failed"},
    "of-one-account": {"completed", "failed", "failed for good"},
}
"""Which of the events below each pattern is for."""


def ended(status: Status, **changes: Any) -> dict[str, Any]:
    """An ended task's event, as the bus has it."""
    account_id = "acc_01JNEYZH0M5R7D2S8T4W6X9QBK"
    task = a_task(status=status, ended_at=NOW, account_id=account_id, **changes)
    return {"source": "pixhook", "detail-type": event_type(task), "detail": json.loads(json.dumps(event_detail(task)))}


def failed(code: ErrorCode) -> dict[str, Any]:
    return ended(Status.FAILED, failure=Failure(code=code, message="No."))


@pytest.mark.parametrize("pattern", sorted(file.stem for file in (FOLDER / "patterns").iterdir()))
def test_pattern_finds_what_its_name_says(pattern: str) -> None:
    events = {
        "completed": ended(Status.COMPLETED, images=(IMAGE,), request=a_request(metadata={"order": 7})),
        "failed": failed(ErrorCode.TIMEOUT),
        "failed for good": failed(ErrorCode.CONTENT_POLICY),
    }
    events["another's"] = {**events["completed"], "source": "somebody"}
    rule: Any = EventPattern.load((FOLDER / "patterns" / f"{pattern}.json").read_text())
    assert {name for name, event in events.items() if rule.matches_event(event)} == PATTERNS[pattern]
