"""Webhooks from the deployed stack, as their receivers get them."""

import json
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from local.stack import ROOT
from local.waiting import wait_until
from tests.e2e.conftest import PATIENCE_SECONDS, Gateway, Shop, opened

NODE = ROOT / ".local" / "venvs" / "node" / "bin" / "node"


@pytest.fixture
def shop() -> Iterator[Shop]:
    """Somebody who is sent webhooks."""
    with opened() as found:
        yield found


def has_received(shop: Shop, count: int) -> bool:
    return wait_until(lambda: len(shop.received) >= count, seconds=PATIENCE_SECONDS)


def deliveries(gateway: Gateway, task_id: str) -> list[dict[str, Any]]:
    return list(gateway.api.get(f"/images/{task_id}/deliveries").raise_for_status().json()["deliveries"])


def verified_in_javascript(secret: str, body: bytes, headers: dict[str, str]) -> Any:
    """What the scheme's own library for JavaScript makes of a webhook."""
    webhook = json.dumps({"secret": secret, "body": body.decode(), "headers": headers})
    done = subprocess.run(
        [NODE, ROOT / "tests" / "npm" / "verify.mjs"], input=webhook, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_webhook_is_verified_by_the_schemes_own_libraries_during_a_rotation_too(
    gateway: Gateway, prompt: str, shop: Shop
) -> None:
    before = gateway.api.get("/webhooks/secret").raise_for_status().json()["secret"]
    task = gateway.submit(model="nano-banana-2", prompt=prompt, callback_url=shop.url)
    assert has_received(shop, 1)
    after = gateway.api.post("/webhooks/secret/rotate").raise_for_status().json()["secret"]
    endpoint = gateway.api.post("/webhooks", json={"url": shop.url}).raise_for_status().json()
    gateway.api.post(f"/webhooks/{endpoint['id']}/test").raise_for_status()
    assert has_received(shop, 2)
    gateway.api.delete(f"/webhooks/{endpoint['id']}").raise_for_status()

    (first, second) = shop.received
    for secret, (body, headers) in ((before, first), (before, second), (after, second)):
        document = json.loads(body)
        assert Webhook(secret).verify(body, headers) == document
        assert verified_in_javascript(secret, body, headers) == document

    [event] = gateway.events(task["id"])
    assert json.loads(first[0]) == event["detail"]


def test_receiver_that_fails_nine_times_is_reached_at_the_tenth(gateway: Gateway, prompt: str, shop: Shop) -> None:
    shop.statuses = [500] * 9
    task = gateway.submit(model="nano-banana-2", prompt=prompt, callback_url=shop.url)

    assert has_received(shop, 10)

    assert wait_until(lambda: deliveries(gateway, task["id"])[0]["status"] == "succeeded", seconds=PATIENCE_SECONDS)
    [delivery] = deliveries(gateway, task["id"])
    assert [attempt["status"] for attempt in delivery["attempts"]] == [*[500] * 9, 204]
    assert len({headers["webhook-id"] for _, headers in shop.received}) == 1


def test_receiver_that_hangs_holds_up_nobody_else(gateway: Gateway, prompt: str, shop: Shop) -> None:
    """While webhooks wait for one receiver's answer, another's come through: measured by their own log."""
    with opened() as other:
        shop.is_free.clear()
        urls = [shop.url, other.url] * 8
        tasks = [gateway.submit(model="nano-banana-2", prompt=prompt, callback_url=url)["id"] for url in urls]
        assert has_received(other, 8)
        assert wait_until(lambda: bool(attempts(gateway, tasks[::2])), seconds=PATIENCE_SECONDS)

        [hung, *_] = attempts(gateway, tasks[::2])
        others = [moment(attempt) for attempt in attempts(gateway, tasks[1::2])]

    assert (hung["status"], hung["duration_ms"] > 14_000) == (None, True)
    began, ended = moment(hung), moment(hung) + timedelta(milliseconds=hung["duration_ms"])
    assert [at for at in others if began < at < ended]


def attempts(gateway: Gateway, task_ids: list[str]) -> list[dict[str, Any]]:
    """All that were made so far to tell of these tasks."""
    found = [delivery for task_id in task_ids for delivery in deliveries(gateway, task_id)]
    return [attempt for delivery in found for attempt in delivery["attempts"]]


def moment(attempt: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(attempt["at"])
