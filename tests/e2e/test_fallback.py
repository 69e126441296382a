"""Providers that do not call back per request: asked by the state machine, or believed after one read."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from local.offers import models_of
from local.waiting import wait_until
from pixhook.providers import PROVIDERS as ADAPTERS
from pixhook.providers.base import Callback
from tests.e2e.conftest import PATIENCE_SECONDS, Gateway, providers

each_polled = pytest.mark.parametrize("polled", providers(Callback.NONE))
each_hinting = pytest.mark.parametrize("hinting", providers(Callback.PER_ACCOUNT))


def submitted(gateway: Gateway, provider: str, prompt: str) -> dict[str, Any]:
    return gateway.submit(model=models_of(provider)[0], provider=provider, prompt=prompt)


NO_END: dict[str, list[int | str]] = {
    "refused": [404, 500, 503],
    "running": ["running"] * 3,
    "a word that nobody knows": ["unknown"] * 2,
}


@pytest.mark.parametrize("first", NO_END.values(), ids=NO_END)
@each_polled
def test_read_that_tells_no_end_is_not_the_last(
    gateway: Gateway, polled: str, prompt: str, first: list[int | str]
) -> None:
    gateway.misbehave(prompt, status={"first": first})
    task = submitted(gateway, polled, prompt)

    assert gateway.ended(task["id"])["status"] == "completed"
    (submit,) = gateway.submits(prompt)
    assert gateway.reads(submit["task_id"]) == len(first) + 1
    assert [event["detail-type"] for event in gateway.events(task["id"])] == ["images.completed"]


@each_polled
def test_failed_task_that_was_read_fails(gateway: Gateway, polled: str, prompt: str) -> None:
    gateway.misbehave(prompt, result={"fail": {"code": "", "message": "Not this one"}})
    task = submitted(gateway, polled, prompt)

    ended = gateway.ended(task["id"])

    assert (ended["status"], ended["error"]["native_message"]) == ("failed", "Not this one")
    assert [event["detail-type"] for event in gateway.events(task["id"])] == ["images.failed"]


def let_the_limit_pass(gateway: Gateway, task: dict[str, Any]) -> None:
    """Makes the task as old as its poller waits."""
    polling = ADAPTERS[task["provider"]].polling
    assert polling is not None
    gateway.make_older(task, polling.give_up)


def assert_given_up(gateway: Gateway, task_id: str) -> None:
    """That the task ends by the poller, and the poller with it."""
    ended = gateway.ended(task_id)
    assert (ended["status"], ended["error"]["code"]) == ("failed", "timeout")
    assert [event["detail-type"] for event in gateway.events(task_id)] == ["images.failed"]
    assert wait_until(lambda: gateway.poller(task_id) == "SUCCEEDED", seconds=PATIENCE_SECONDS)


@each_polled
def test_task_that_never_ends_is_given_up(gateway: Gateway, polled: str, prompt: str) -> None:
    gateway.misbehave(prompt, result={"never": True})
    task = submitted(gateway, polled, prompt)
    (submit,) = gateway.submits(prompt)
    assert wait_until(lambda: gateway.reads(submit["task_id"]) > 0, seconds=PATIENCE_SECONDS)
    assert (gateway.task(task["id"])["status"], gateway.poller(task["id"])) == ("processing", "RUNNING")

    let_the_limit_pass(gateway, task)

    assert_given_up(gateway, task["id"])
    assert len(gateway.submits(prompt)) == 1


@each_polled
def test_task_that_nobody_knows_the_id_of_is_given_up(gateway: Gateway, polled: str, prompt: str) -> None:
    gateway.misbehave(prompt, submit={"break": "reset_after"})
    task = submitted(gateway, polled, prompt)
    assert (gateway.task(task["id"])["status"], gateway.poller(task["id"])) == ("queued", "RUNNING")

    let_the_limit_pass(gateway, task)

    assert_given_up(gateway, task["id"])
    (submit,) = gateway.submits(prompt)
    assert gateway.reads(submit["task_id"]) == 0


@each_hinting
def test_hint_costs_one_read(gateway: Gateway, hinting: str, prompt: str) -> None:
    gateway.misbehave(prompt, callback={"deliveries": [{"delay_s": 0.1}, {"delay_s": 1}]})
    task = submitted(gateway, hinting, prompt)
    (submit,) = gateway.submits(prompt)
    assert wait_until(lambda: len(gateway.callbacks(submit["task_id"])) == 2, seconds=30)

    assert gateway.ended(task["id"])["status"] == "completed"
    assert gateway.reads(submit["task_id"]) == 1
    assert len(gateway.events(task["id"])) == 1


@each_hinting
def test_hint_that_claims_another_end_is_not_believed(gateway: Gateway, hinting: str, prompt: str) -> None:
    gateway.misbehave(prompt, callback={"deliveries": [{"outcome": "failed", "delay_s": 0.1}]})
    task = submitted(gateway, hinting, prompt)

    assert gateway.ended(task["id"])["status"] == "completed"


@each_hinting
def test_hint_may_come_before_the_answer(gateway: Gateway, hinting: str, prompt: str) -> None:
    gateway.misbehave(prompt, submit={"delay_s": 0.5}, callback={"before_answer": True})
    task = submitted(gateway, hinting, prompt)

    assert gateway.ended(task["id"])["status"] == "completed"
    assert len(gateway.events(task["id"])) == 1


CALLING = providers(Callback.PER_REQUEST) + providers(Callback.PER_ACCOUNT)


@pytest.mark.parametrize("calling", CALLING)
def test_many_tasks_are_bought_once_each_and_read_no_more_than_need_be(
    gateway: Gateway, calling: str, prompt: str
) -> None:
    with ThreadPoolExecutor(4) as pool:
        tasks = list(pool.map(lambda number: submitted(gateway, calling, f"{prompt} {number}"), range(50)))

    def all_have_ended() -> bool:
        return all(gateway.task(task["id"])["status"] == "completed" for task in tasks)

    assert wait_until(all_have_ended, seconds=120, every=1)
    submits = gateway.submits(prompt)
    assert len([submit for submit in submits if submit["accepted"]]) == len(submits) == len(tasks)
    expected = 1 if calling in providers(Callback.PER_ACCOUNT) else 0
    read = gateway.simulators.get("/_control/status_reads").raise_for_status().json()["task_ids"]
    assert {submit["task_id"]: read.count(submit["task_id"]) for submit in submits} == {
        submit["task_id"]: expected for submit in submits
    }
