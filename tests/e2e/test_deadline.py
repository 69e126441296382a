"""Whatever a provider keeps to itself, a task ends at its deadline."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from local.offers import models_of
from local.waiting import wait_until
from pixhook.flows.expire import EXTENDED_SECONDS, deadline
from pixhook.providers.base import Callback
from tests.e2e.conftest import PATIENCE_SECONDS, Gateway, providers

CALLING = providers(Callback.PER_REQUEST) + providers(Callback.PER_ACCOUNT)


def submitted(gateway: Gateway, provider: str, prompt: str) -> dict[str, Any]:
    return gateway.submit(model=models_of(provider)[0], provider=provider, prompt=prompt)


def reach_the_deadline(gateway: Gateway, task: dict[str, Any], seconds: float | None = None) -> None:
    """Makes the task as old as its deadline, and has the message come that would have come then."""
    gateway.make_older(task, seconds or deadline(task["provider"]))
    message = json.dumps({"task_id": task["id"]})
    gateway.info.client("sqs").send_message(QueueUrl=gateway.info.deadline_queue_url, MessageBody=message)


@pytest.mark.parametrize("calling", CALLING)
def test_when_no_callback_comes_each_task_is_read_once_and_ends(gateway: Gateway, calling: str, prompt: str) -> None:
    gateway.misbehave(prompt, callback={"deliveries": [{"url": "forged"}]})  # which gets nowhere
    with ThreadPoolExecutor(4) as pool:
        tasks = list(pool.map(lambda number: submitted(gateway, calling, f"{prompt} {number}"), range(10)))
    ids = {submit["task_id"] for submit in gateway.submits(prompt)}
    assert wait_until(lambda: all(gateway.callbacks(ref) for ref in ids), seconds=PATIENCE_SECONDS)
    assert {callback["status"] for ref in ids for callback in gateway.callbacks(ref)} == {401}

    for task in tasks:
        reach_the_deadline(gateway, task)

    for task in tasks:
        assert gateway.ended(task["id"])["status"] == "completed"
        assert [event["detail-type"] for event in gateway.events(task["id"])] == ["images.completed"]
    assert Counter(gateway.reads(ref) for ref in ids) == {1: len(tasks)}


@pytest.mark.parametrize("calling", CALLING)
def test_task_that_never_ends_fails_and_its_price_comes_back(gateway: Gateway, calling: str, prompt: str) -> None:
    gateway.misbehave(prompt, result={"never": True})
    task = submitted(gateway, calling, prompt)

    reach_the_deadline(gateway, task)
    (submit,) = gateway.submits(prompt)
    assert wait_until(lambda: gateway.reads(submit["task_id"]) == 1, seconds=PATIENCE_SECONDS)
    assert gateway.task(task["id"])["status"] == "processing"
    reach_the_deadline(gateway, task, EXTENDED_SECONDS)

    ended = gateway.ended(task["id"])
    assert (ended["status"], ended["error"]["code"]) == ("failed", "timeout")
    assert ended["credits_refunded"] == ended["credits"] > 0
    assert [event["detail-type"] for event in gateway.events(task["id"])] == ["images.failed"]


@pytest.mark.parametrize("calling", CALLING)
def test_task_that_nobody_may_have_bought_fails(gateway: Gateway, calling: str, prompt: str) -> None:
    gateway.misbehave(prompt, submit={"break": "reset_before"})
    task = submitted(gateway, calling, prompt)
    assert task["status"] == "queued"

    reach_the_deadline(gateway, task)

    assert gateway.ended(task["id"])["error"]["code"] == "timeout"
    assert len(gateway.submits(prompt)) == 1
    gateway.submit(model=models_of(calling)[0], provider=calling, prompt="a good one")  # so that no circuit opens
