"""POST /images/{id}/cancel: the client's word is one end among others, and the first one holds."""

import httpx
import pytest

from pixhook.callbacks import ACCOUNT, callback_url
from pixhook.flows import cancel
from pixhook.model import Outcome, OutcomeState, Status, Task
from tests.conftest import SETTINGS
from tests.flow.dialects import EVERYONE
from tests.flow.invariants import assert_every_end_was_told, assert_money_is_exact
from tests.flow.test_submit import assert_problem
from tests.flow.world import CALLBACK_KEY, Answer, World
from tests.support.builders import ACCOUNT_ID, a_body


@pytest.fixture
def task(world: World) -> Task:
    """A task that the provider has accepted; `finish` does its work while a client waits."""
    world.while_it_waits = world.finish_all
    return world.accepted(metadata={"order": 7})


def canceled(world: World, task: Task) -> Answer:
    """The answer to the client's word."""
    return world.request("POST", f"/images/{task.id}/cancel")


def balance(world: World) -> int:
    return int(world.get("/account").document["balance"])


def assert_canceled(world: World, task: Task) -> None:
    """It is, once, with one event, and its price has come back."""
    shown = world.get(f"/images/{task.id}").document
    assert (shown["status"], shown["error"]["code"], shown["files"]) == ("canceled", "canceled", [])
    assert shown["credits_refunded"] == shown["credits"] > 0
    assert_every_end_was_told(world)
    assert_money_is_exact(world, ACCOUNT_ID)
    [event] = {event["detail"]["id"]: event for event in world.events()}.values()
    assert (event["detail-type"], event["detail"]["status"]) == ("images.failed", "canceled")
    assert event["detail"]["metadata"] == {"order": 7}


def test_task_that_the_provider_has_is_canceled(world: World, task: Task) -> None:
    before = balance(world)

    answer = canceled(world, task)

    assert (answer.status, answer.document["status"]) == (200, "canceled")
    assert balance(world) - before == task.credits
    assert_canceled(world, task)


def test_task_that_nobody_may_have_is_canceled(world: World, task: Task) -> None:
    world.complete(task)
    world.upstream.answer = lambda _: httpx.Response(502)
    unclear = world.task(world.submit(a_body()).document["id"])

    assert canceled(world, unclear).status == 200
    assert world.task(unclear.id).status is Status.CANCELED
    assert_money_is_exact(world, ACCOUNT_ID)


def test_second_word_changes_nothing(world: World, task: Task) -> None:
    first, second = canceled(world, task), canceled(world, task)
    assert (second.status, second.document) == (200, first.document)
    assert_canceled(world, task)


def test_what_comes_too_late_is_said_to(world: World, task: Task) -> None:
    world.table.move(task, Status.STORING, task.created_at)
    assert_problem(canceled(world, task), 409, "too_late")

    world.complete(task)
    assert_problem(canceled(world, task), 409, "too_late")
    failed = world.accepted()
    world.fail(failed)
    assert_problem(canceled(world, failed), 409, "too_late")
    assert world.task(task.id).status is Status.COMPLETED
    assert_money_is_exact(world, ACCOUNT_ID)


def test_provider_that_was_faster_has_the_end(world: World, task: Task) -> None:
    world.put_outcome(task, world.a_success(task))

    assert_problem(canceled(world, task), 409, "too_late")

    assert world.task(task.id).status is Status.COMPLETED
    assert_every_end_was_told(world)
    assert_money_is_exact(world, ACCOUNT_ID)


def test_success_that_comes_later_is_not_delivered_but_its_charge_is_seen(world: World, task: Task) -> None:
    canceled(world, task)
    done = world.a_success(task)
    world.put_outcome(
        task, Outcome(state=OutcomeState.SUCCEEDED, ref=task.ref, images=done.images, native_charge="0.5")
    )
    world.put_outcome(task, Outcome(state=OutcomeState.SUCCEEDED, ref="another", images=(), native_charge="99"))

    assert world.finish_all() == []

    assert world.stored() == {}
    assert world.get(f"/images/{task.id}").document["native_charge"] == "0.5"
    assert_canceled(world, task)


def test_word_that_takes_longer_is_answered_before_it_is_done(
    world: World, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cancel, "ANSWER_SECONDS", 0)

    answer = canceled(world, task)

    assert (answer.status, answer.document["status"]) == (202, "processing")
    world.finish_all()
    assert_canceled(world, task)


def test_word_may_come_while_the_provider_is_being_asked(world: World, task: Task) -> None:
    world.complete(task)

    def cancel_meanwhile(_: httpx.Request) -> httpx.Response:
        [asked] = [task for task in world.tasks() if task.status is Status.QUEUED]
        assert canceled(world, asked).status == 200
        return httpx.Response(200, json=EVERYONE["apixo"].accepted())

    world.upstream.answer = cancel_meanwhile
    answer = world.submit(a_body())

    assert (answer.status, answer.document["status"]) == (202, "canceled")
    late = world.task(answer.document["id"])
    world.put_outcome(late, world.a_success(late))
    world.finish_all()
    assert world.task(late.id).status is Status.CANCELED
    assert_money_is_exact(world, ACCOUNT_ID)


def test_hint_for_what_was_canceled_while_the_provider_was_asked_is_nobodys_trouble(world: World, task: Task) -> None:
    world.complete(task)
    hinting = EVERYONE["gempix2ai"]

    def cancel_meanwhile(_: httpx.Request) -> httpx.Response:
        [asked] = [task for task in world.tasks() if task.status is Status.QUEUED]
        canceled(world, asked)
        return httpx.Response(200, json=hinting.accepted())

    world.upstream.answer = cancel_meanwhile
    world.submit(a_body(provider=hinting.name))
    url = callback_url(SETTINGS["PUBLIC_BASE_URL"], hinting.name, ACCOUNT, [CALLBACK_KEY])
    world.callback(url, hinting.succeeded("https://images.example/a.png"))

    assert world.finish_all() == []
    assert world.is_quiet()


def test_nobody_else_is_asked_for_what_was_canceled(world: World, task: Task) -> None:
    world.complete(task)

    def cancel_and_refuse(_: httpx.Request) -> httpx.Response:
        [asked] = [task for task in world.tasks() if task.status is Status.QUEUED]
        canceled(world, asked)
        return httpx.Response(503)

    world.upstream.requests.clear()
    world.upstream.answer = cancel_and_refuse
    world.submit(a_body())
    world.finish_all()

    assert len(world.upstream.requests) == 1
    assert sorted(task.status for task in world.tasks()) == ["canceled", "completed"]
    assert_every_end_was_told(world)
    assert_money_is_exact(world, ACCOUNT_ID)


def test_another_accounts_task_does_not_exist(world: World, task: Task) -> None:
    other = world.open_account(id="acc_2")
    for task_id in (task.id, "tsk_2"):
        answer = world.request("POST", f"/images/{task_id}/cancel", caller=other)
        assert_problem(answer, 404, "not_found")
    assert world.task(task.id).status is Status.PROCESSING


@pytest.mark.parametrize("operation", ["SendMessage", "GetItem"])
def test_word_that_cannot_be_passed_on_may_be_said_again(world: World, task: Task, operation: str) -> None:
    with world.refusing(operation):
        answer = canceled(world, task)

    assert_problem(answer, 503, "service_unavailable")
    assert answer.document["retryable"]
    assert canceled(world, task).status == 200
