"""DELETE /images/{id}: nothing is left but that there was a task."""

import json

import httpx
import pytest

from pixhook.model import Status, Task
from tests.conftest import SETTINGS
from tests.flow.cloud import aws
from tests.flow.invariants import assert_money_is_exact
from tests.flow.trouble import Trouble
from tests.flow.world import Answer, Died, World
from tests.support.builders import ACCOUNT_ID, a_body

SECRET = "a fox that nobody must know of"


def erase(world: World, task: Task) -> Answer:
    return world.request("DELETE", f"/images/{task.id}")


def completed(world: World) -> Task:
    task = world.accepted(prompt=SECRET, metadata={"customer": SECRET}, callback_url="https://shop.example/")
    world.callback(world.upstream.callback_url, f"kept, for it is not understood: {SECRET}")
    world.complete(task)
    return world.task(task.id)


def is_anywhere(world: World, words: str) -> bool:
    tables = json.dumps([world.items(name) for name in ("TASKS_TABLE", "WEBHOOKS_TABLE")], default=str)
    objects = b"".join(content for content, _ in world.stored().values())
    return words in tables or words.encode() in objects


def test_images_and_request_are_gone_and_the_task_says_so(world: World) -> None:
    task = completed(world)
    assert is_anywhere(world, SECRET)

    answer = erase(world, task)

    assert answer.status == 200
    document = answer.document
    [listed] = world.get("/images").document["images"]
    assert document == listed
    assert document["deleted_at"] is not None
    assert (document["status"], document["files"], document["metadata"]) == ("completed", [], {})
    assert "prompt" not in document or not document["prompt"]
    assert not is_anywhere(world, SECRET)
    assert world.stored() == {}
    for path in (f"/images/{task.id}", f"/images/{task.id}/files/0"):
        gone = world.get(path)
        assert (gone.status, gone.document["code"]) == (410, "deleted")
    assert_money_is_exact(world, ACCOUNT_ID)
    assert len(world.events()) == 1


def test_what_a_provider_said_of_the_request_is_gone_too(world: World) -> None:
    world.upstream.answer = lambda _: httpx.Response(400, json={"code": 400, "message": f"no: {SECRET}"})
    refused = world.submit(a_body(prompt=SECRET, provider="apixo"))
    world.finish_all()
    task = world.task(refused.document["task_id"])
    assert SECRET in json.dumps(world.get(f"/images/{task.id}").document)

    error = erase(world, task).document["error"]

    assert error["code"] == refused.document["code"]
    assert not is_anywhere(world, SECRET)


def test_a_second_time_changes_nothing(world: World) -> None:
    task = completed(world)
    assert erase(world, task).document == erase(world, task).document


def test_other_tasks_keep_theirs(world: World) -> None:
    one, other = completed(world), completed(world)
    erase(world, one)
    assert list(world.stored()) != []
    assert world.get(f"/images/{other.id}/files/0").status == 302


@pytest.mark.parametrize("status", [Status.QUEUED, Status.PROCESSING])
def test_what_goes_on_is_not_deleted(world: World, status: Status) -> None:
    task = world.accepted()
    answer = erase(world, task)
    assert (answer.status, answer.document["code"], answer.document["retryable"]) == (409, "not_ready", True)
    assert world.task(task.id).deleted_at is None


def test_anothers_task_is_not_there(world: World) -> None:
    task = completed(world)
    other = world.open_account(id="acc_other")
    assert world.request("DELETE", f"/images/{task.id}", caller=other).status == 404
    assert world.stored() != {}


def test_webhook_that_waits_is_not_sent_any_more(world: World) -> None:
    task = completed(world)
    erase(world, task)
    world.deliver_all()
    assert world.receivers.requests == []


def test_key_of_the_request_still_buys_nothing_more(world: World) -> None:
    answer = world.submit(a_body(), key="k")
    task = world.task(answer.document["id"])
    world.complete(task)
    erase(world, task)
    for body in (a_body(), a_body(prompt="another")):
        again = world.submit(body, key="k")
        assert (again.status, again.document["code"]) == (410, "deleted")
    assert len(world.upstream.requests) == 1


@pytest.mark.parametrize("trouble", ["dying_before", "dying_after", "refusal", "unheard"])
@pytest.mark.parametrize("step", range(8))
def test_whatever_happens_on_the_way_the_second_try_erases_all(
    world: World, monkeypatch: pytest.MonkeyPatch, trouble: str, step: int
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    task = completed(world)
    with getattr(Trouble(world, step), trouble)():
        try:
            answer = erase(world, task)
        except Died:
            answer = None
    assert answer is None or answer.status in {200, 500, 503}

    assert erase(world, task).status == 200

    assert not is_anywhere(world, SECRET)
    assert world.stored() == {}
    assert aws("s3").list_objects_v2(Bucket=SETTINGS["IMAGES_BUCKET"])["KeyCount"] == 0
