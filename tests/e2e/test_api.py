"""Who gets in, and what is refused before it costs anything."""

from typing import Any

import pytest

from tests.e2e.conftest import Gateway

GOOD = {"model": "nano-banana-2", "prompt": "a fox"}

BAD_BODIES: dict[str, tuple[dict[str, Any], str]] = {
    "missing prompt": ({"model": "nano-banana-2"}, "prompt"),
    "blank prompt": ({**GOOD, "prompt": "  "}, "prompt"),
    "too long prompt": ({**GOOD, "prompt": "x" * 20_001}, "prompt"),
    "missing model": ({"prompt": "a fox"}, "model"),
    "unknown model": ({**GOOD, "model": "no-such-model"}, "model"),
    "unknown provider": ({**GOOD, "provider": "nobody"}, "provider"),
    "option the model does not take": ({"model": "nano-banana", "prompt": "a", "resolution": "4k"}, "resolution"),
    "ratio the model does not take": ({**GOOD, "aspect_ratio": "7:3"}, "aspect_ratio"),
    "format the model does not take": ({**GOOD, "output_format": "gif"}, "output_format"),
    "too many references": ({**GOOD, "images": ["https://example.com/a.png"] * 15}, "images"),
    "not a URL": ({**GOOD, "images": ["cat.png"]}, "images.0"),
    "not https": ({**GOOD, "images": ["https://example.com/a.png", "ftp://example.com/b.png"]}, "images.1"),
    "unknown field": ({**GOOD, "colour": "red"}, "colour"),
    "wrong type": ({**GOOD, "prompt": 7}, "prompt"),
    "options without a provider": ({**GOOD, "provider_options": {"seed": 1}}, "provider"),
    "options of ours": (
        {**GOOD, "provider": "defapi", "provider_options": {"callback_url": "https://example.com"}},
        "provider_options.callback_url",
    ),
    "too much metadata": ({**GOOD, "metadata": {"note": "x" * 17_000}}, "metadata"),
}


@pytest.mark.parametrize(("body", "field"), BAD_BODIES.values(), ids=BAD_BODIES.keys())
def test_a_bad_request_names_the_field_and_costs_nothing(gateway: Gateway, body: dict[str, Any], field: str) -> None:
    sent_before = len(gateway.submits(""))

    answer = gateway.api.post("/images", json=body)

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["field"] == field
    assert len(gateway.submits("")) == sent_before


@pytest.mark.parametrize(
    ("content", "content_type", "status", "code"),
    [
        ("{not json", "application/json", 422, "invalid_request"),
        ("[]", "application/json", 422, "invalid_request"),
        ('{"model": "nano-banana-2", "prompt": "a fox"}', "text/plain", 415, "unsupported_media_type"),
        (f'{{"prompt": "{"x" * 300_000}"}}', "application/json", 413, "payload_too_large"),
    ],
)
def test_a_body_that_is_no_request_is_refused(
    gateway: Gateway, content: str, content_type: str, status: int, code: str
) -> None:
    answer = gateway.api.post("/images", content=content, headers={"content-type": content_type})

    assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer nobody", "Basic dTpw", f"Bearer pxk_{'x' * 43}"])
@pytest.mark.parametrize("path", ["/images/tsk_1", "/images/tsk_1/files/0"])
def test_nobody_gets_in_without_a_key(gateway: Gateway, authorization: str | None, path: str) -> None:
    with gateway.api_with("") as api:
        del api.headers["authorization"]
        answer = api.get(path, headers={} if authorization is None else {"authorization": authorization})

    assert answer.status_code == 401
    assert answer.json() == {
        "type": "urn:pixhook:problem:unauthorized",
        "title": "Unauthorized",
        "status": 401,
        "detail": "The Authorization header must be Bearer and a valid API key.",
        "code": "unauthorized",
        "retryable": False,
    }


def test_a_revoked_key_does_not_work(gateway: Gateway) -> None:
    made = gateway.info.invoke_admin(action="create_key", account_id=gateway.info.account_id)
    gateway.info.invoke_admin(action="revoke_key", account_id=gateway.info.account_id, key_id=made["key_id"])

    with gateway.api_with(made["key"]) as api:
        assert api.get("/images/tsk_1").status_code == 401


def test_another_accounts_task_does_not_exist(gateway: Gateway, prompt: str) -> None:
    task = gateway.submit(model="nano-banana-2", prompt=prompt)
    account_id = gateway.info.invoke_admin(action="create_account", name="another")["account_id"]
    key = gateway.info.invoke_admin(action="create_key", account_id=account_id)["key"]
    gateway.ended(task["id"])

    with gateway.api_with(key) as api:
        answers = [api.get(f"/images/{task['id']}{tail}") for tail in ("", "/files/0")]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert gateway.api.get("/images/tsk_unknown").json()["code"] == answers[0].json()["code"] == "not_found"


def test_tasks_are_listed_page_by_page_as_they_come_alone(gateway: Gateway, prompt: str) -> None:
    made = [gateway.submit(model="nano-banana-2", prompt=prompt, metadata={"of": prompt})["id"] for _ in range(5)]
    for task_id in made:
        gateway.ended(task_id)

    found: list[dict[str, Any]] = []
    parameters = {"limit": "2", "metadata.of": prompt, "status": "completed"}
    while True:
        page = gateway.api.get("/images", params=parameters).raise_for_status().json()
        found += page["images"]
        if page["next_cursor"] is None:
            break
        parameters |= {"cursor": page["next_cursor"]}

    assert [task["id"] for task in found] == made[::-1]
    assert found[0] == gateway.task(made[-1])


def test_who_waits_has_the_end(gateway: Gateway, prompt: str) -> None:
    task = gateway.submit(model="nano-banana-2", prompt=prompt)
    assert gateway.api.get(f"/images/{task['id']}", params={"wait": 25}).json()["status"] == "completed"


@pytest.mark.parametrize(("method", "path"), [("GET", "/nothing"), ("DELETE", "/images"), ("PUT", "/images/tsk_1")])
def test_what_does_not_exist_is_a_problem_document(gateway: Gateway, method: str, path: str) -> None:
    answer = gateway.api.request(method, path)

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert answer.headers["content-type"] == "application/problem+json"


def test_files_come_when_the_task_is_completed(gateway: Gateway, prompt: str) -> None:
    gateway.misbehave(prompt, callback={"omit": True})
    task = gateway.submit(model="nano-banana-2", prompt=prompt)

    answer = gateway.api.get(f"/images/{task['id']}/files/0")

    assert (answer.status_code, answer.json()["code"]) == (409, "not_ready")
