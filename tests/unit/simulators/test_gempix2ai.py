"""The gempix2ai.site simulator speaks gempix2ai's dialect, refuses what it refuses, and calls back per account."""

import json
import re
from collections.abc import Iterator
from time import time
from typing import Any

import httpx
import pytest

from tests.unit.simulators.support import Receiver, Simulators, eventually, opened

pytestmark = pytest.mark.enable_socket

HTTPS = "https://127.0.0.1:1/a.png"
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
NO_CREDITS = {"code": 1001, "msg": "Insufficient credits", "data": {"required": 2, "current": 0}}


def submit(simulators: Simulators, **given: Any) -> httpx.Response:
    """Submit a valid request, changed as given; a field given as None is left out."""
    body = {"generationType": "text_to_image", "prompt": "a fox"} | given
    body = {name: value for name, value in body.items() if value is not None}
    return simulators.post("gempix2ai", "/generate-image", body)


def accepted(simulators: Simulators, **given: Any) -> str:
    """The id of the image that was asked for."""
    task_id: str = submit(simulators, **given).json()["data"]["uuid"]
    return task_id


def ended(simulators: Simulators, task_id: str) -> dict[str, Any]:
    """The status document once the task has ended."""
    return eventually(
        lambda: simulators.get("gempix2ai", f"/image-status/{task_id}").json(),
        lambda document: document["data"]["status"] in {"completed", "failed"},
    )


def set_callback(simulators: Simulators, body: object, provider: str = "gempix2ai") -> httpx.Response:
    return simulators.http.put(f"{simulators.url}/_control/account_callbacks/{provider}", json=body)


@pytest.fixture
def account(simulators: Simulators, receiver: Receiver) -> Iterator[Receiver]:
    """The receiver, where the account's callbacks go."""
    assert set_callback(simulators, {"url": receiver.url}).status_code == 204
    yield receiver
    assert set_callback(simulators, {"url": None}).status_code == 204


def test_submit_is_answered_with_what_was_asked(simulators: Simulators) -> None:
    document = submit(simulators, aspectRatio="16:9").json()

    data = document.pop("data")
    assert document == {"code": 0, "msg": "Success"}
    assert MOMENT.fullmatch(data.pop("createdAt"))
    assert data == {
        "uuid": data["uuid"],
        "status": "pending",
        "generationType": "text_to_image",
        "prompt": "a fox",
        "aspectRatio": "16:9",
    }


def test_accepted_task_ends_in_the_documented_status(simulators: Simulators) -> None:
    task_id = accepted(simulators)

    document = ended(simulators, task_id)

    url = document["data"]["imageUrl"]
    assert document == {
        "code": 0,
        "msg": "Success",
        "data": {"uuid": task_id, "status": "completed", "imageUrl": url, "progress": 100, "estimatedTime": 0},
    }
    assert opened(simulators.http.get(url).content).size == (512, 512)


@pytest.mark.parametrize(
    ("ratio", "size"), [("auto", (512, 512)), ("1:1", (512, 512)), ("16:9", (512, 288)), ("9:16", (288, 512))]
)
def test_image_is_as_asked(simulators: Simulators, ratio: str, size: tuple[int, int]) -> None:
    url = ended(simulators, accepted(simulators, aspectRatio=ratio))["data"]["imageUrl"]
    assert opened(simulators.http.get(url).content).size == size


def test_reference_makes_it_image_to_image(simulators: Simulators) -> None:
    asked = {
        "generationType": "image_to_image",
        "imageUrl": f"{simulators.url}/references/cat.png",
        "imageKey": "r2-key-123",
    }
    data = submit(simulators, **asked).json()["data"]
    assert data["generationType"] == "image_to_image"
    assert ended(simulators, data["uuid"])["data"]["status"] == "completed"


def test_unreadable_reference_fails_the_task(simulators: Simulators) -> None:
    task_id = accepted(simulators, generationType="image_to_image", imageUrl=HTTPS)
    data = ended(simulators, task_id)["data"]
    assert (data["status"], data.get("imageUrl")) == ("failed", None)
    assert HTTPS in data["error"]


def test_success_may_come_without_an_image(simulators: Simulators) -> None:
    simulators.misbehave(provider="gempix2ai", result={"empty": True})
    data = ended(simulators, accepted(simulators))["data"]
    assert (data["status"], data.get("imageUrl")) == ("completed", None)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"prompt": None}, "prompt is required"),
        ({"prompt": ""}, "prompt: "),
        ({"generationType": None}, "generationType is required"),
        ({"generationType": "text-to-image"}, "generationType: "),
        ({"aspectRatio": "4:3"}, "aspectRatio: "),
        ({"generationType": "image_to_image"}, "imageUrl is required"),
        ({"generationType": "image_to_image", "imageKey": "r2-key-123"}, "imageUrl is required"),
        ({"generationType": "image_to_image", "imageUrl": "cat.png"}, "imageUrl: must be a public HTTPS URL"),
        ({"generationType": "image_to_image", "imageUrl": [HTTPS]}, "imageUrl: "),
        ({"imageUrl": HTTPS}, "generationType: text_to_image takes no image"),
        ({"imageKey": "r2-key-123"}, "generationType: text_to_image takes no image"),
        ({"model": "nano-banana-2"}, "model: unknown parameter"),
        ({"callback_url": HTTPS}, "callback_url: unknown parameter"),
    ],
)
def test_wrong_body_is_refused_by_name(simulators: Simulators, change: dict[str, Any], reason: str) -> None:
    response = submit(simulators, **change)
    assert (response.status_code, response.json()["code"]) == (400, 1000)
    assert response.json()["msg"].startswith(reason)


def test_wrong_key_is_refused(simulators: Simulators) -> None:
    denied = {"code": 1002, "msg": "Authentication failed"}
    asked = simulators.post("gempix2ai", "/generate-image", {}, headers={"Authorization": ""})
    assert (asked.status_code, asked.json()) == (401, denied)
    read = simulators.http.get(f"{simulators.url}/gempix2ai/api/image-status/image-1")
    assert (read.status_code, read.json()) == (401, denied)


def test_unknown_image_and_path_are_not_found(simulators: Simulators) -> None:
    defapi_id = simulators.defapi().json()["data"]["task_id"]
    paths = ("/image-status/image-0", f"/image-status/{defapi_id}", "/image-status/", "/images-status/image-0")
    for path in (*paths, "/generate-image"):
        response = simulators.get("gempix2ai", path)
        assert (response.status_code, response.json()["code"]) == (404, 1000)


@pytest.mark.parametrize(
    ("refuse", "document"),
    [
        ({"refuse": 400}, {"code": 1000, "msg": "Invalid parameters"}),
        ({"refuse": 402}, NO_CREDITS),
        ({"refuse": 403}, {"code": 1002, "msg": "Authentication failed"}),
        ({"refuse": 429}, {"code": 1003, "msg": "Rate limit exceeded"}),
        ({"refuse": 503}, {"code": 5000, "msg": "Server error"}),
        ({"refuse": 400, "code": "1001", "message": "Insufficient credits"}, NO_CREDITS),
        ({"refuse": 400, "code": "SomeWord", "message": "not that"}, {"code": "SomeWord", "msg": "not that"}),
    ],
)
def test_refusal_is_in_the_providers_words(
    simulators: Simulators, refuse: dict[str, Any], document: dict[str, Any]
) -> None:
    simulators.misbehave(provider="gempix2ai", submit=refuse)
    response = submit(simulators)
    assert (response.status_code, response.json()) == (refuse["refuse"], document)


def test_every_response_tells_the_rate_limit(simulators: Simulators) -> None:
    read = simulators.get("gempix2ai", f"/image-status/{accepted(simulators)}")
    lost = simulators.get("gempix2ai", "/image-status/image-0")
    elsewhere = simulators.get("gempix2ai", "/nowhere")
    simulators.misbehave(provider="gempix2ai", times=1, submit={"refuse": 429})
    refused, passed = submit(simulators), submit(simulators)

    responses = (read, lost, elsewhere, refused, passed)
    assert {response.headers["X-RateLimit-Limit"] for response in responses} == {"500"}
    remaining = [response.headers["X-RateLimit-Remaining"] for response in responses]
    assert remaining == ["499", "499", "499", "0", "499"]
    assert all(0 < int(response.headers["X-RateLimit-Reset"]) - time() <= 3600 for response in responses)
    assert "X-RateLimit-Limit" not in simulators.defapi().headers


# The callback URL of the account


def test_callback_is_the_flat_event(simulators: Simulators, account: Receiver) -> None:
    task_id = accepted(simulators)

    (callback,) = simulators.callbacks(task_id, 1)

    body = json.loads(callback["body"])
    assert MOMENT.fullmatch(body.pop("timestamp"))
    assert body == {"event": "images.completed", "uuid": task_id, "imageUrl": body["imageUrl"]}
    assert body["imageUrl"] == ended(simulators, task_id)["data"]["imageUrl"]
    assert (callback["url"], callback["status"]) == (account.url, 200)
    assert [json.loads(sent)["uuid"] for sent in account.bodies] == [task_id]


def test_failure_has_an_event_of_its_own(simulators: Simulators, account: Receiver) -> None:
    simulators.misbehave(provider="gempix2ai", result={"fail": {"code": "", "message": "not that"}})
    task_id = accepted(simulators)
    body = json.loads(simulators.callbacks(task_id, 1)[0]["body"])
    assert MOMENT.fullmatch(body.pop("timestamp"))
    assert body == {"event": "images.failed", "uuid": task_id, "error": "not that"}
    assert ended(simulators, task_id)["data"]["error"] == "not that"


def test_nothing_is_called_back_where_no_url_is_set(simulators: Simulators, account: Receiver) -> None:
    set_callback(simulators, {"url": None})
    silent = accepted(simulators)
    ended(simulators, silent)
    set_callback(simulators, {"url": account.url})
    simulators.callbacks(accepted(simulators), 1)
    assert simulators.control("callbacks", task_id=silent)["callbacks"] == []


def test_url_of_the_account_is_not_forgotten(simulators: Simulators, account: Receiver) -> None:
    simulators.forget()
    assert simulators.callbacks(accepted(simulators), 1)[0]["url"] == account.url


def test_url_of_the_account_is_only_for_its_provider(simulators: Simulators, account: Receiver) -> None:
    other = simulators.defapi().json()["data"]["task_id"]
    simulators.defapi_ended(other)
    simulators.callbacks(accepted(simulators), 1)
    assert len(account.bodies) == 1


def test_callback_is_never_repeated(simulators: Simulators, account: Receiver) -> None:
    # The second delivery comes after any repeat of the first would have.
    account.statuses = [500]
    simulators.misbehave(callback={"deliveries": [{}, {"delay_s": 0.2}]})
    assert [sent["status"] for sent in simulators.callbacks(accepted(simulators), 2)] == [500, 200]


def test_callback_may_be_omitted(simulators: Simulators, account: Receiver) -> None:
    simulators.misbehave(times=1, callback={"omit": True, "before_answer": True})
    silent = accepted(simulators)
    simulators.callbacks(accepted(simulators), 1)
    assert simulators.control("callbacks", task_id=silent)["callbacks"] == []


def test_callback_may_come_before_the_answer(simulators: Simulators, account: Receiver) -> None:
    simulators.misbehave(callback={"before_answer": True})
    task_id = accepted(simulators)
    assert len(simulators.control("callbacks", task_id=task_id)["callbacks"]) == 1


def test_deliveries_may_repeat_contradict_and_be_damaged(simulators: Simulators, account: Receiver) -> None:
    other = accepted(simulators)
    simulators.callbacks(other, 1)
    damages: list[dict[str, Any]] = [
        {"outcome": "running"},
        {"outcome": "failed"},
        {"body": "truncated"},
        {"body": "garbage"},
        {"body": "foreign"},
        {"url": "forged"},
        {},
        {},
    ]
    simulators.misbehave(callback={"deliveries": damages})

    task_id = accepted(simulators)
    running, failed, truncated, garbage, foreign, forged, *truths = simulators.callbacks(task_id, len(damages))

    truth = json.loads(truths[0]["body"])
    assert [json.loads(sent["body"]) for sent in truths] == [truth, truth]
    assert (truth["event"], truth["uuid"]) == ("images.completed", task_id)
    assert json.loads(running["body"]) == {"event": "processing", "uuid": task_id, "timestamp": truth["timestamp"]}
    assert json.loads(failed["body"])["event"] == "images.failed"
    assert truths[0]["body"].startswith(truncated["body"])
    assert garbage["body"].startswith("<!doctype html>")
    assert json.loads(foreign["body"]) == truth | {"uuid": other}
    assert (forged["body"], forged["url"] == account.url) == (truths[0]["body"], False)
    assert {sent["url"] for sent in truths} == {account.url}


@pytest.mark.parametrize("provider", ["defapi", "nobody"])
def test_only_a_provider_that_has_one_takes_a_url_of_the_account(simulators: Simulators, provider: str) -> None:
    response = set_callback(simulators, {"url": HTTPS}, provider)
    assert response.status_code == 404
    assert response.json() == {"error": f"{provider}: no provider with one callback URL for the whole account"}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, "url: Field required"),
        ({"url": 7}, "url: Input should be a valid string"),
        ({"url": ""}, "url: must be a public HTTPS URL"),
        ({"url": "http://example.com/hook"}, "url: must be a public HTTPS URL"),
        ({"url": HTTPS, "events": []}, "events: Extra inputs are not permitted"),
        ([], "Input should be an object"),
    ],
)
def test_wrong_url_of_the_account_is_refused_by_name(simulators: Simulators, body: object, error: str) -> None:
    response = set_callback(simulators, body)
    assert response.status_code == 400
    assert response.json()["error"].startswith(error)
