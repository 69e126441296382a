"""What the outside sees of a task: everything that lasts, and nothing that expires or is not its own."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from pixhook.documents import event_detail, event_type, task_document
from pixhook.model import ErrorCode, Failure, Image, Json, Status, Task
from tests.support.builders import ACCOUNT_ID, NOW, TASK_ID, a_request, a_task

IMAGE = Image(
    bucket="images",
    key=f"images/{TASK_ID}/0.png",
    sha256="0" * 64,
    size=12_345,
    content_type="image/png",
    width=1024,
    height=768,
)
FAILURE = Failure(
    code=ErrorCode.CONTENT_POLICY,
    message="apixo failed the task: not that",
    native_code="NSFW",
    native_message="not that",
)
ERROR = {
    "code": "content_policy",
    "message": "apixo failed the task: not that",
    "native_code": "NSFW",
    "native_message": "not that",
    "retryable": False,
}


def _completed(**changes: Any) -> Task:
    return a_task(**{"status": Status.COMPLETED, "ended_at": NOW, "images": (IMAGE,), **changes})


def _failed(**changes: Any) -> Task:
    return a_task(**{"status": Status.FAILED, "ended_at": NOW, "failure": FAILURE, **changes})


def _sent(document: Mapping[str, Json]) -> Any:
    """The document as it arrives."""
    return json.loads(json.dumps(document))


def test_a_task_shows_its_request_and_where_it_stands() -> None:
    request = a_request(aspect_ratio="16:9", web_search=False, images=("https://cdn.example/a.png",))

    assert _sent(task_document(a_task(request=request))) == {
        "id": TASK_ID,
        "status": "processing",
        "model": "nano-banana-2",
        "prompt": "a fox in the snow",
        "images": ["https://cdn.example/a.png"],
        "aspect_ratio": "16:9",
        "web_search": False,
        "metadata": {},
        "provider": "apixo",
        "credits": 5,
        "credits_refunded": 0,
        "progress": None,
        "estimated_end_at": None,
        "created_at": "2026-03-01T12:00:00.000Z",
        "updated_at": "2026-03-01T12:00:00.000Z",
        "ended_at": None,
        "processing_at": None,
        "storing_at": None,
        "deleted_at": None,
        "files": [],
        "error": None,
        "attempts": [],
        "native_charge": None,
    }


def test_a_completed_task_names_its_files() -> None:
    document = _sent(task_document(_completed(images=(IMAGE, IMAGE), native_charge="0.5")))

    assert [file["path"] for file in document["files"]] == [f"/images/{TASK_ID}/files/{number}" for number in (0, 1)]
    assert document["files"][0] == {
        "path": f"/images/{TASK_ID}/files/0",
        "content_type": "image/png",
        "size": 12_345,
        "sha256": "0" * 64,
        "width": 1024,
        "height": 768,
    }
    assert document["native_charge"] == "0.5"


def test_an_event_tells_what_became_of_the_task() -> None:
    task = _completed(request=a_request(metadata={"order": 7}), native_charge="0.5")

    assert _sent(event_detail(task)) == {
        "version": "1",
        "id": f"evt_{TASK_ID.removeprefix('tsk_')}",
        "type": "images.completed",
        "task_id": TASK_ID,
        "account_id": ACCOUNT_ID,
        "status": "completed",
        "model": "nano-banana-2",
        "provider": "apixo",
        "created_at": "2026-03-01T12:00:00.000Z",
        "ended_at": "2026-03-01T12:00:00.000Z",
        "metadata": {"order": 7},
        "images": [
            {
                "bucket": "images",
                "key": f"images/{TASK_ID}/0.png",
                "sha256": "0" * 64,
                "size": 12_345,
                "content_type": "image/png",
                "width": 1024,
                "height": 768,
                "path": f"/images/{TASK_ID}/files/0",
            }
        ],
        "error": None,
        "native_charge": "0.5",
    }


@pytest.mark.parametrize("describe", [task_document, event_detail])
def test_a_failure_is_told_with_the_providers_words_and_whether_to_try_again(describe: Any) -> None:
    assert _sent(describe(_failed()))["error"] == ERROR


@pytest.mark.parametrize("describe", [task_document, event_detail])
def test_the_operators_account_at_the_provider_is_nobodys_business(describe: Any) -> None:
    failure = Failure(
        code=ErrorCode.PROVIDER_ACCOUNT,
        message="apixo refused the request.",
        native_code="INSUFFICIENT_CREDITS",
        native_message="balance 0.03 USD",
    )
    text = json.dumps(describe(_failed(failure=failure)))
    assert "INSUFFICIENT_CREDITS" not in text
    assert "0.03" not in text


def test_an_event_does_not_hold_what_was_asked_for() -> None:
    request = a_request(
        prompt="a secret fox", images=("https://cdn.example/secret.png",), provider_options={"style": "secret"}
    )
    assert "secret" not in json.dumps(event_detail(_completed(request=request)))


@pytest.mark.parametrize("describe", [task_document, event_detail])
def test_no_document_holds_a_url_that_expires(describe: Any) -> None:
    assert "://" not in json.dumps(describe(_completed()))


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (datetime(2026, 3, 1, 12, 0, 0, 123_456, tzinfo=UTC), "2026-03-01T12:00:00.123Z"),
        (datetime(2026, 3, 1, 1, 30, tzinfo=timezone(timedelta(hours=2))), "2026-02-28T23:30:00.000Z"),
    ],
)
def test_times_are_utc_to_the_millisecond(moment: datetime, expected: str) -> None:
    task = _completed(created_at=moment, updated_at=moment, ended_at=moment)
    document, event = task_document(task), event_detail(task)
    assert {document["created_at"], document["updated_at"], document["ended_at"]} == {expected}
    assert {event["created_at"], event["ended_at"]} == {expected}


@pytest.mark.parametrize(("status", "kind"), [(Status.COMPLETED, "images.completed"), (Status.FAILED, "images.failed")])
def test_an_event_is_named_by_how_the_task_ended(status: Status, kind: str) -> None:
    task = a_task(status=status)
    assert event_type(task) == event_detail(task)["type"] == kind


def test_an_event_published_twice_is_the_same_event() -> None:
    task = _completed()
    assert event_detail(task) == event_detail(_completed(published_at=NOW, updated_at=NOW + timedelta(hours=1)))
    assert event_detail(task)["id"] != event_detail(_completed(id="tsk_another"))["id"]
