"""/webhooks: an account's endpoints and what their webhooks are signed with."""

import base64
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from pixhook import runtime
from pixhook.flows.webhooks import MOST_ENDPOINTS, OVERLAP
from pixhook.model import Scope, SigningSecrets
from tests.flow.cloud import service_error
from tests.flow.trouble import Trouble
from tests.flow.world import CALLER, Answer, World
from tests.support.builders import a_body

URL = "https://shop.example/hooks"


def create(world: World, **body: Any) -> Answer:
    return world.request("POST", "/webhooks", {"url": URL, **body})


def secret(world: World) -> dict[str, Any]:
    return world.get("/webhooks/secret").document


def deliver_one(world: World) -> tuple[bytes, dict[str, str]]:
    """A webhook as its receiver gets it."""
    task = world.accepted(callback_url=URL)
    world.complete(task)
    assert world.deliver_all() == []
    request = world.receivers.requests[-1]
    return request.content, dict(request.headers)


def test_an_endpoints_life(world: World) -> None:
    created = create(world)
    assert created.status == 201
    endpoint = created.document
    assert endpoint == {
        "id": endpoint["id"],
        "url": URL,
        "events": ["images.completed", "images.failed"],
        "enabled": True,
        "created_at": endpoint["created_at"],
        "disabled_at": None,
    }
    path = f"/webhooks/{endpoint['id']}"
    assert world.get(path).document == endpoint

    changed = world.request("PATCH", path, {"events": ["images.failed"], "enabled": False}).document
    assert (changed["events"], changed["enabled"], changed["url"]) == (["images.failed"], False, URL)
    assert world.request("PATCH", path, {"enabled": True, "url": f"{URL}/2"}).document["enabled"] is True
    assert world.get("/webhooks").document == {"webhooks": [world.get(path).document]}

    for _ in range(2):
        deleted = world.request("DELETE", path)
        assert (deleted.status, deleted.body) == (204, "")
    assert world.get(path).status == 404
    assert world.get("/webhooks").document == {"webhooks": []}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"url": ...}, "url"),
        ({"url": 1}, "url"),
        ({"url": "http://shop.example/"}, "url"),
        ({"url": "https://user:word@shop.example/"}, "url"),
        ({"url": "shop"}, "url"),
        ({"events": []}, "events"),
        ({"events": ["images.completed", "webhook.test"]}, "events.1"),
        ({"events": "images.completed"}, "events"),
        ({"secret": "mine"}, "secret"),
    ],
)
def test_endpoint_that_cannot_be_is_refused_by_the_field(world: World, body: dict[str, Any], field: str) -> None:
    sent = {name: value for name, value in {"url": URL, **body}.items() if value is not ...}
    answer = world.request("POST", "/webhooks", sent)
    assert (answer.status, answer.document["field"]) == (422, field)
    if "url" in sent:
        path = f"/webhooks/{create(world).document['id']}"
        changed = world.request("PATCH", path, body)
        assert (changed.status, changed.document["field"]) == (422, field)


@pytest.mark.parametrize(
    "url", ["http://shop.example/", "ftp://shop.example/", "/hooks", "https://", 7, ["https://a/"]]
)
def test_callback_url_that_cannot_be_is_refused_before_anything_is_bought(world: World, url: Any) -> None:
    answer = world.submit(a_body(callback_url=url))
    assert (answer.status, answer.document["field"]) == (422, "callback_url")
    assert world.upstream.requests == []


def test_callback_url_comes_back_with_the_task(world: World) -> None:
    answer = world.submit(a_body(callback_url=URL))
    assert answer.document["callback_url"] == URL
    assert URL not in world.upstream.requests[-1].content.decode()


def test_an_account_has_so_many_endpoints_and_no_more(world: World) -> None:
    for _ in range(MOST_ENDPOINTS):
        assert create(world).status == 201
    answer = create(world)
    assert (answer.status, answer.document["code"]) == (409, "too_many_webhooks")


@pytest.mark.parametrize("method", ["GET", "PATCH", "POST"])
def test_another_accounts_endpoint_is_not_there(world: World, method: str) -> None:
    endpoint = create(world).document
    other = world.open_account(id="acc_other")
    path = f"/webhooks/{endpoint['id']}{'/test' if method == 'POST' else ''}"
    body = {"enabled": False} if method == "PATCH" else None
    assert world.request(method, path, body, caller=other).status == 404
    world.request("DELETE", f"/webhooks/{endpoint['id']}", caller=other)
    assert world.get(f"/webhooks/{endpoint['id']}").document == endpoint
    assert world.get("/webhooks", account_id="acc_other").document == {"webhooks": []}


@pytest.mark.parametrize("path", ["/webhooks", "/webhooks/secret", "/webhooks/whk_1"])
def test_key_that_reads_and_makes_images_sees_neither_endpoints_nor_secrets(world: World, path: str) -> None:
    caller = replace(CALLER, scopes=frozenset({Scope.READ, Scope.WRITE}))
    answer = world.request("GET", path, caller=caller)
    assert (answer.status, answer.document["code"]) == (403, "scope_missing")
    assert world.request("GET", "/images", caller=caller).status == 200


def test_endpoint_that_somebody_else_changes_meanwhile_is_not_overwritten(world: World) -> None:
    endpoint = create(world).document
    path = f"/webhooks/{endpoint['id']}"
    store = runtime.webhooks()
    before = store.endpoint(CALLER.account_id, endpoint["id"])
    assert before is not None
    world.request("PATCH", path, {"url": "https://new.example/"})
    assert not store.put_endpoint(replace(before, disabled_at=runtime.now()), instead_of=before)
    assert world.get(path).document["enabled"] is True


# Secrets


def test_webhook_is_verified_by_the_schemes_own_library(world: World) -> None:
    content, headers = deliver_one(world)
    found = secret(world)

    assert Webhook(found["secret"]).verify(content, headers) == json.loads(content)
    assert (found["previous_secret"], found["previous_valid_until"]) == (None, None)
    assert len(base64.b64decode(found["secret"].removeprefix("whsec_"))) == 32


@pytest.mark.parametrize("part", ["body", "webhook-id", "webhook-timestamp", "webhook-signature"])
def test_webhook_that_was_tampered_with_is_not_verified(world: World, part: str) -> None:
    content, headers = deliver_one(world)
    if part == "body":
        content = content.replace(b"completed", b"completeb")
    else:
        place = len(headers[part]) // 2
        headers[part] = (
            headers[part][:place] + ("0" if headers[part][place] != "0" else "1") + headers[part][place + 1 :]
        )
    with pytest.raises(WebhookVerificationError):
        Webhook(secret(world)["secret"]).verify(content, headers)


def test_during_a_rotation_both_secrets_verify_and_afterwards_only_the_new_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = secret(world)["secret"]
    rotated = world.request("POST", "/webhooks/secret/rotate").document
    assert (rotated["previous_secret"], rotated["secret"] != before) == (before, True)
    assert secret(world) == rotated

    content, headers = deliver_one(world)
    for key in (before, rotated["secret"]):
        Webhook(key).verify(content, headers)

    world.deliver_all(beyond=OVERLAP + timedelta(seconds=1))
    content, headers = deliver_one(world)
    assert len(headers["webhook-signature"].split()) == 1
    later = runtime.now() + OVERLAP + timedelta(seconds=1)
    monkeypatch.setattr(runtime, "now", lambda: later)
    assert secret(world)["previous_secret"] is None


def test_two_rotations_at_once_are_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    secret(world)
    first = world.request("POST", "/webhooks/secret/rotate").document
    store = runtime.webhooks()
    stale = SigningSecrets(current="whsec_c3RhbGU=")
    assert not store.put_secrets(CALLER.account_id, stale, instead_of=first["previous_secret"])
    assert secret(world) == first


def test_secret_that_two_make_at_once_is_one(world: World) -> None:
    store = runtime.webhooks()
    assert store.put_secrets(CALLER.account_id, SigningSecrets(current="whsec_YQ=="), instead_of=None)
    assert not store.put_secrets(CALLER.account_id, SigningSecrets(current="whsec_Yg=="), instead_of=None)
    assert secret(world)["secret"] == "whsec_YQ=="


def test_each_account_has_a_secret_of_its_own_and_none_is_logged(world: World) -> None:
    world.open_account(id="acc_other")
    other = world.get("/webhooks/secret", account_id="acc_other").document["secret"]
    mine = secret(world)["secret"]
    deliver_one(world)
    assert mine != other
    assert mine not in json.dumps(world.log())


# Test events


def test_a_test_event_is_delivered_like_any_other_and_has_a_log(world: World) -> None:
    endpoint = create(world).document
    path = f"/webhooks/{endpoint['id']}"
    world.request("PATCH", path, {"enabled": False})  # one may be tested before it is enabled

    answer = world.request("POST", f"{path}/test")

    assert (answer.status, answer.document["status"], answer.document["type"]) == (202, "pending", "webhook.test")
    assert world.deliver_all() == []
    [request] = world.receivers.requests
    detail = Webhook(secret(world)["secret"]).verify(request.content, dict(request.headers))
    assert (detail["type"], detail["webhook_id"]) == ("webhook.test", endpoint["id"])
    assert detail["id"] == request.headers["webhook-id"] == answer.document["event_id"]
    [entry] = world.get(f"{path}/deliveries").document["deliveries"]
    assert (entry["id"], entry["status"]) == (answer.document["id"], "succeeded")
    assert world.events() == []


def test_two_test_events_are_two(world: World) -> None:
    endpoint = create(world).document
    for _ in range(2):
        world.request("POST", f"/webhooks/{endpoint['id']}/test")
    world.deliver_all()
    first, second = world.receivers.requests
    assert first.headers["webhook-id"] != second.headers["webhook-id"]


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_what_could_not_be_written_is_not_promised(world: World, method: str) -> None:
    path = "/webhooks" if method == "POST" else f"/webhooks/{create(world).document['id']}"
    with world.refusing("PutItem", trouble=service_error("AccessDeniedException", 400)):
        answer = world.request(method, path, {"url": "https://new.example/"})
    assert (answer.status, answer.document["retryable"]) == (503, True)


@pytest.mark.parametrize("step", range(8))
def test_rotation_whose_answer_is_lost_within_is_one_rotation(
    world: World, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    before = secret(world)["secret"]
    with Trouble(world, step).unheard_by_the_sdk():
        rotated = world.request("POST", "/webhooks/secret/rotate")
    assert (rotated.status, rotated.document["previous_secret"]) == (200, before)
