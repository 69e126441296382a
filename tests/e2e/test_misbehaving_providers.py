"""Whatever a provider does, a task has one end and one event, and is bought once."""

from typing import Any

import httpx
import pytest

from local.offers import models_of
from local.waiting import wait_until
from tests.e2e.conftest import Gateway

TRUE = {"delay_s": 0.05}

DELIVERIES: dict[str, list[dict[str, Any]]] = {
    "twice": [TRUE] * 2,
    "thrice": [TRUE] * 3,
    "late": [{"delay_s": 3}],
    "running, then done": [{"outcome": "running"}, TRUE],
    "unknown, then done": [{"outcome": "unknown"}, TRUE],
    "forged, then true": [{"url": "forged"}, TRUE],
    "truncated, then true": [{"body": "truncated"}, TRUE],
    "garbage, then true": [{"body": "garbage"}, TRUE],
    "foreign, then true": [{"body": "foreign"}, {"delay_s": 1}],
}


@pytest.mark.parametrize("deliveries", DELIVERIES.values(), ids=DELIVERIES.keys())
def test_one_end_and_one_event(gateway: Gateway, caller: str, prompt: str, deliveries: list[dict[str, Any]]) -> None:
    gateway.misbehave(prompt, callback={"deliveries": deliveries})
    task = gateway.submit(model=models_of(caller)[0], provider=caller, prompt=prompt)

    _wait_for_callbacks(gateway, prompt, len(deliveries))

    assert gateway.ended(task["id"])["status"] == "completed"
    assert [event["detail-type"] for event in gateway.events(task["id"])] == ["images.completed"]
    assert len(gateway.submits(prompt)) == 1


@pytest.mark.parametrize("outcomes", [["success", "failed"], ["failed", "success"]], ids=" then ".join)
def test_a_contradiction_changes_nothing(gateway: Gateway, caller: str, prompt: str, outcomes: list[str]) -> None:
    gateway.misbehave(prompt, callback={"deliveries": [{"outcome": outcome, "delay_s": 0.2} for outcome in outcomes]})
    task = gateway.submit(model=models_of(caller)[0], provider=caller, prompt=prompt)

    _wait_for_callbacks(gateway, prompt, 2)

    ended = gateway.ended(task["id"])
    assert ended["status"] == {"success": "completed", "failed": "failed"}[outcomes[0]]
    assert [event["detail-type"] for event in gateway.events(task["id"])] == [f"images.{ended['status']}"]


def test_a_callback_may_come_before_the_answer(gateway: Gateway, caller: str, prompt: str) -> None:
    gateway.misbehave(prompt, submit={"delay_s": 0.5}, callback={"before_answer": True})
    task = gateway.submit(model=models_of(caller)[0], provider=caller, prompt=prompt)

    assert gateway.ended(task["id"])["status"] == "completed"
    assert len(gateway.events(task["id"])) == 1


@pytest.mark.parametrize("how", ["reset_after", "garbage_after"])
def test_an_unclear_answer_is_left_to_the_callback(gateway: Gateway, caller: str, prompt: str, how: str) -> None:
    gateway.misbehave(prompt, submit={"break": how})
    task = gateway.submit(model=models_of(caller)[0], provider=caller, prompt=prompt)

    assert gateway.ended(task["id"])["status"] == "completed"
    assert len(gateway.submits(prompt)) == 1


def test_an_unclear_answer_never_buys_twice(gateway: Gateway, caller: str, prompt: str) -> None:
    gateway.misbehave(prompt, submit={"break": "reset_before"})
    task = gateway.submit(model=models_of(caller)[0], provider=caller, prompt=prompt)

    assert gateway.task(task["id"])["status"] == "queued"
    assert len(gateway.submits(prompt)) == 1


@pytest.mark.parametrize(
    ("refusal", "status", "code"),
    [
        (400, 422, "invalid_request"),
        (401, 503, "provider_account"),
        (402, 503, "provider_account"),
        (403, 503, "provider_account"),
        (429, 503, "rate_limited"),
        (500, 503, "provider_unavailable"),
        (503, 503, "provider_unavailable"),
    ],
)
def test_a_refusal_is_answered_and_ends_the_task(
    gateway: Gateway, caller: str, prompt: str, refusal: int, status: int, code: str
) -> None:
    gateway.misbehave(prompt, submit={"refuse": refusal})

    answer = gateway.api.post("/images", json={"model": models_of(caller)[0], "provider": caller, "prompt": prompt})

    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    task_id = answer.json()["task_id"]
    assert gateway.ended(task_id)["error"]["code"] == code
    assert [event["detail-type"] for event in gateway.events(task_id)] == ["images.failed"]
    assert len(gateway.submits(prompt)) == 1


@pytest.mark.parametrize("refusal", [502, 504])
def test_a_gateways_refusal_is_unclear(gateway: Gateway, caller: str, prompt: str, refusal: int) -> None:
    gateway.misbehave(prompt, submit={"refuse": refusal})

    task = gateway.submit(model=models_of(caller)[0], provider=caller, prompt=prompt)

    assert task["status"] == "queued"
    assert len(gateway.submits(prompt)) == 1


@pytest.mark.parametrize(
    "host",
    [{"fail_first": 2}, {"page_first": 2}, {"delay_s": 1}, {"redirects": 2}, {"content_type": "text/html"}],
    ids=["fails at first", "answers with a page at first", "is slow", "redirects", "names another type"],
)
def test_an_image_host_may_be_difficult(gateway: Gateway, prompt: str, host: dict[str, Any]) -> None:
    gateway.misbehave(prompt, host=host)
    task = gateway.submit(model="nano-banana-2", prompt=prompt)

    assert gateway.ended(task["id"])["status"] == "completed"
    assert len(gateway.submits(prompt)) == 1


@pytest.mark.parametrize(
    "host",
    [{"redirect_to": "http://169.254.169.254/latest/meta-data/"}, {"redirects": 9}],
    ids=["leads to the metadata service", "leads in circles"],
)
def test_what_never_will_be_an_image_fails_the_task(gateway: Gateway, prompt: str, host: dict[str, Any]) -> None:
    gateway.misbehave(prompt, host=host)
    task = gateway.submit(model="nano-banana-2", prompt=prompt)

    ended = gateway.ended(task["id"])

    assert (ended["status"], ended["error"]["code"]) == ("failed", "storage_failed")
    assert [event["detail-type"] for event in gateway.events(task["id"])] == ["images.failed"]


def test_a_success_without_an_image_fails_the_task(gateway: Gateway, caller: str, prompt: str) -> None:
    gateway.misbehave(prompt, result={"empty": True})
    task = gateway.submit(model=models_of(caller)[0], provider=caller, prompt=prompt)

    assert gateway.ended(task["id"])["error"]["code"] == "no_image"


def test_a_stranger_is_turned_away(gateway: Gateway, prompt: str) -> None:
    gateway.misbehave(prompt, callback={"omit": True})
    task = gateway.submit(model="nano-banana", provider="apixo", prompt=prompt)
    (submit,) = gateway.submits(prompt)
    genuine = submit["callback_url"]
    base, _, path = genuine.rpartition("/callbacks/")
    name, _, rest = path.partition("/")
    body = {"code": 200, "message": "success", "data": {"taskId": submit["task_id"], "state": "failed"}}

    for forged in (
        genuine[:-1] + ("A" if genuine[-1] != "A" else "B"),
        genuine.rpartition("/")[0],
        f"{base}/callbacks/defapi/{rest}",
        f"{base}/callbacks/{name}",
        genuine.replace(task["id"], "tsk_01JNEZ2W3GQK4T5V6X7Y8Z9ABC"),
        genuine + "/more",
    ):
        assert httpx.post(forged, json=body, trust_env=False).status_code == 401, forged

    assert gateway.task(task["id"])["status"] == "processing"
    assert httpx.post(genuine, json=body, trust_env=False).status_code == 200
    assert gateway.ended(task["id"])["status"] == "failed"


def _wait_for_callbacks(gateway: Gateway, prompt: str, number: int) -> None:
    """Until the simulator has made as many callbacks as asked for."""
    (submit,) = gateway.submits(prompt)
    assert wait_until(lambda: len(gateway.callbacks(submit["task_id"])) >= number, seconds=30)
