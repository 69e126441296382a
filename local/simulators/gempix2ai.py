"""gempix2ai.site, as its document describes it: https://gempix2ai.site/docs/api-reference.

Where it is silent, this is assumed: the HTTP status of each error code, the failure's text in `error`, and an
unknown uuid as a wrong parameter. The upload endpoint is left out.
"""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Literal, override

from pydantic import Field, ValidationError

from local.simulators.fields import PublicUrl, Strict
from local.simulators.provider import Document, Failure, Order, Provider, Refused, State, Task


class _Body(Strict):
    generationType: Literal["text_to_image", "image_to_image"]  # noqa: N815 - the provider's names, here and below
    prompt: Annotated[str, Field(min_length=1)]
    aspectRatio: Literal["auto", "16:9", "9:16", "1:1"] = "auto"  # noqa: N815
    imageUrl: PublicUrl | None = None  # noqa: N815
    imageKey: str | None = None  # noqa: N815


_STATES: Mapping[State, str] = {
    "pending": "pending",
    "processing": "processing",
    "success": "completed",
    "failed": "failed",
    "unknown": "unknown",
}

# There is no event for a task that goes on; a delivery that claims one has the word of its status.
_EVENTS: Mapping[State, str] = {**_STATES, "success": "images.completed", "failed": "images.failed"}

_PROGRESS: Mapping[State, tuple[int, int]] = {
    "pending": (0, 60),
    "processing": (50, 30),
    "success": (100, 0),
    "failed": (100, 0),
    "unknown": (50, 30),
}
"""In percent, and the seconds that are left."""

_INVALID, _NO_CREDITS, _NO_KEY, _TOO_MANY, _BROKEN = 1000, 1001, 1002, 1003, 5000

_CODES: Mapping[int, int] = {401: _NO_KEY, 402: _NO_CREDITS, 403: _NO_KEY, 429: _TOO_MANY}

_MESSAGES: Mapping[int, str] = {
    _INVALID: "Invalid parameters",
    _NO_CREDITS: "Insufficient credits",
    _NO_KEY: "Authentication failed",
    _TOO_MANY: "Rate limit exceeded",
    _BROKEN: "Server error",
}

# The tier "Pro".
_REQUESTS_AN_HOUR = 500
_HOUR_S = 3600


class Gempix2ai(Provider):
    name = "gempix2ai"
    api_key = "gempix2ai-simulator-key"
    base_path = "/api"
    submit_paths = ("/generate-image",)
    status_path = "/image-status/{uuid}"
    task_field = "uuid"
    prompt_at = ("prompt",)
    account_callback = True
    unreadable_reference = Failure("", "the reference image could not be read")
    sensitive_content = Failure("", "the content was flagged as sensitive")

    @override
    def new_task_id(self) -> str:
        return f"image-{uuid.uuid4()}"

    @override
    def read_submit(self, path: str, params: Mapping[str, str], body: Document) -> Order:
        try:
            submit = _Body.model_validate(body)
        except ValidationError as error:
            raise self.fault(error) from error
        if submit.generationType == "image_to_image" and submit.imageUrl is None:
            raise self.missing("imageUrl")
        if submit.generationType == "text_to_image" and (submit.imageUrl is not None or submit.imageKey is not None):
            raise Refused(400, "generationType: text_to_image takes no image")
        return Order(
            model="nano-banana-2",
            prompt=submit.prompt,
            ratio=_pair(submit.aspectRatio),
            references=() if submit.imageUrl is None else (submit.imageUrl,),
        )

    @override
    def accepted(self, task: Task) -> Document:
        order = task.order
        return _enveloped(
            {
                "uuid": task.id,
                "status": _STATES["pending"],
                "generationType": "image_to_image" if order.references else "text_to_image",
                "prompt": order.prompt,
                "aspectRatio": "auto" if order.ratio is None else "{}:{}".format(*order.ratio),
                "createdAt": _time(task.created_ms),
            }
        )

    @override
    def status(self, task: Task) -> Document:
        progress, seconds_left = _PROGRESS[task.state]
        ahead = {"progress": progress, "estimatedTime": seconds_left}
        return _enveloped({"uuid": task.id, "status": _STATES[task.state]} | _end(task) | ahead)

    @override
    def callback(self, task: Task) -> Document:
        return {"event": _EVENTS[task.state], "uuid": task.id} | _end(task) | {"timestamp": _time(task.completed_ms)}

    @override
    def refusal(self, refused: Refused, *, reading: bool) -> Document:
        code = _CODES.get(refused.status, _INVALID if refused.status < 500 else _BROKEN)
        asked = refused.code or ""
        document: Document = {
            "code": int(asked) if asked.isdecimal() else asked or code,
            "msg": refused.message or _MESSAGES[code],
        }
        return document | ({"data": {"required": 2, "current": 0}} if document["code"] == _NO_CREDITS else {})

    @override
    def missing(self, field: str) -> Refused:
        return Refused(400, f"{field} is required")

    @override
    def headers(self, status: int, at: float) -> Mapping[str, str]:
        """The rate limit. None is kept here: each request finds its hour unspent, unless told otherwise."""
        return {
            "X-RateLimit-Limit": str(_REQUESTS_AN_HOUR),
            "X-RateLimit-Remaining": str(0 if status == 429 else _REQUESTS_AN_HOUR - 1),
            "X-RateLimit-Reset": str((int(at) // _HOUR_S + 1) * _HOUR_S),
        }


def _enveloped(data: Document) -> Document:
    return {"code": 0, "msg": "Success", "data": data}


def _end(task: Task) -> Document:
    """What is said of a task's end: there is one image and no more."""
    if task.state == "success" and task.images:
        return {"imageUrl": task.images[0]}
    return {"error": task.failure.message} if task.state == "failed" else {}


def _time(unix_ms: int) -> str:
    return datetime.fromtimestamp(unix_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _pair(words: str) -> tuple[int, int] | None:
    if words == "auto":
        return None
    width, height = words.split(":")
    return int(width), int(height)
