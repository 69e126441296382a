"""Providers that do not call back per request: asked by the state machine, or believed after one read."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from local.offers import models_of
from local.simulators import PROVIDERS
from local.waiting import wait_until
from pixhook.providers import PROVIDERS as ADAPTERS
from pixhook.providers.base import Callback
from tests.e2e.conftest import Gateway


def providers(callback: Callback) -> list[str]:
    """Those that call back in this way."""
    return [name for name in PROVIDERS if ADAPTERS[name].capabilities.callback is callback]


each_polled = pytest.mark.parametrize("polled", providers(Callback.NONE))
each_hinting = pytest.mark.parametrize("hinting", providers(Callback.PER_ACCOUNT))


def submitted(gateway: Gateway, provider: str, prompt: str) -> dict[str, Any]:
    return gateway.submit(model=models_of(provider)[0], provider=provider, prompt=prompt)


def reads(gateway: Gateway, upstream_id: str) -> int:
    """How often the simulator was asked for its task's status."""
    answer = gateway.simulators.get("/_control/status_reads")
    return list(answer.raise_for_status().json()["task_ids"]).count(upstream_id)


@each_polled
def test_status_endpoint_may_fail_for_a_while(gateway: Gateway, polled: str, prompt: str) -> None:
    gateway.misbehave(prompt, status={"first": [404, 500, 503]})
    task = submitted(gateway, polled, prompt)

    assert gateway.ended(task["id"])["status"] == "completed"
    (submit,) = gateway.submits(prompt)
    assert reads(gateway, submit["task_id"]) == 4
    assert [event["detail-type"] for event in gateway.events(task["id"])] == ["images.completed"]


@each_polled
def test_failed_task_that_was_read_fails(gateway: Gateway, polled: str, prompt: str) -> None:
    gateway.misbehave(prompt, result={"fail": {"code": "", "message": "Not this one"}})
    task = submitted(gateway, polled, prompt)

    ended = gateway.ended(task["id"])

    assert (ended["status"], ended["error"]["native_message"]) == ("failed", "Not this one")
    assert [event["detail-type"] for event in gateway.events(task["id"])] == ["images.failed"]


@each_hinting
def test_hint_costs_one_read(gateway: Gateway, hinting: str, prompt: str) -> None:
    gateway.misbehave(prompt, callback={"deliveries": [{"delay_s": 0.1}, {"delay_s": 1}]})
    task = submitted(gateway, hinting, prompt)
    (submit,) = gateway.submits(prompt)
    assert wait_until(lambda: len(gateway.callbacks(submit["task_id"])) == 2, seconds=30)

    assert gateway.ended(task["id"])["status"] == "completed"
    assert reads(gateway, submit["task_id"]) == 1
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
