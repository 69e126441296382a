"""gptimage2api.org, as its documents describe it: https://gptimage2api.org/docs.

A status read is in the words of its API reference, not of its quickstart, which differ.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, override

from pydantic import Field, ValidationError

from local.simulators.fields import PublicUrl, Strict, first_fault
from local.simulators.provider import LONG_SIDES, Document, Failure, Order, Provider, Refused, State, Task


@dataclass(frozen=True, slots=True)
class _Model:
    """The most reference images and characters that a model takes, and its cheapest resolution and what that costs."""

    references: int
    prompt: int
    credits: int
    resolution: str = "1k"


# The table on the page of the endpoint. How a resolution is asked for is not documented.
_MODELS: Mapping[str, _Model] = {
    "gpt-image-2": _Model(references=4, prompt=20_000, credits=3),
    "nano-banana-2": _Model(references=14, prompt=20_000, credits=4),
    "nano-banana-pro": _Model(references=8, prompt=10_000, credits=12, resolution="2k"),
    "google/nano-banana": _Model(references=10, prompt=5_000, credits=3),
}

_STATES: Mapping[State, int] = {"pending": 0, "processing": 0, "success": 1, "failed": 2, "unknown": 3}

# https://gptimage2api.org/de/docs/guides/errors-and-refunds; the words of a 500, and all of the others, are not shown.
_ERRORS: Mapping[int, str] = {
    400: "Invalid request",
    401: "Unauthorized",
    402: "Insufficient credits",
    404: "Task not found",
    429: "Too many requests",
    500: "Internal server error",
}


class _Body(Strict):
    prompt: Annotated[str, Field(min_length=1)]
    # Every example has it; whether there is a default is not documented.
    model: Literal["gpt-image-2", "nano-banana-2", "nano-banana-pro", "google/nano-banana"]
    # The list of gpt-image-2; those of the other models are not documented.
    aspectRatio: Literal["auto", "1:1", "16:9", "9:16", "4:3", "3:4", "3:2", "2:3", "4:5", "5:4", "21:9"] = "auto"  # noqa: N815
    inputImageUrls: Annotated[tuple[PublicUrl, ...], Field(strict=False)] = ()  # noqa: N815
    # Passed on without a look.
    providerInput: Annotated[dict[str, Any], Field(default_factory=dict)]  # noqa: N815


class _Invalid(Refused):
    """A body that is refused for one of its fields."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(400, reason)
        self.field = field
        self.reason = reason


class Gptimage2api(Provider):
    name = "gptimage2api"
    api_key = "sk_live_simulator"
    submit_paths = ("/api/ai/image/generate",)
    status_path = "/api/ai/tasks/{id}"
    task_field = "id"
    prompt_at = ("prompt",)
    # No failure of either kind is documented: this is the general one, an upstream that gave no image.
    unreadable_reference = Failure("EMPTY_RESULT", "A reference image could not be read")
    sensitive_content = Failure("EMPTY_RESULT", "The content was flagged as sensitive")

    @override
    def new_task_id(self) -> str:
        return f"tsk_{secrets.token_hex(13).upper()}"

    @override
    def read_submit(self, path: str, params: Mapping[str, str], body: Document) -> Order:
        try:
            given = _Body.model_validate(body)
        except ValidationError as error:
            fault = first_fault(error)
            if fault.kind == "missing":
                raise self.missing(fault.field) from error
            # The details know top-level fields only.
            field = fault.field.partition("[")[0]
            raise _Invalid(field, "Unknown field" if fault.kind == "unknown" else fault.reason) from error
        model = _MODELS[given.model]
        if len(given.prompt) > model.prompt:
            raise _Invalid("prompt", f"At most {model.prompt} characters")
        if len(given.inputImageUrls) > model.references:
            raise _Invalid("inputImageUrls", f"At most {model.references} reference images")
        return Order(
            model=given.model,
            prompt=given.prompt,
            ratio=_pair(given.aspectRatio),
            long_side=LONG_SIDES[model.resolution],
            references=given.inputImageUrls,
        )

    @override
    def accepted(self, task: Task) -> Document:
        return {"taskId": task.id, "status": 0, "creditsUsed": _credits(task)}

    @override
    def status(self, task: Task) -> Document:
        succeeded, failed = task.state == "success", task.state == "failed"
        return {
            "taskId": task.id,
            "type": "image",
            "status": _STATES[task.state],
            "model": task.order.model,
            "prompt": task.order.prompt,
            "imageUrls": list(task.images) if succeeded else [],
            "videoUrl": None,
            "errorCode": task.failure.code if failed else None,
            "errorMessage": task.failure.message if failed else None,
            "creditsUsed": _credits(task),
            "creditsRefunded": failed,
            "createdAt": _written(task.created_ms),
            "updatedAt": _written(task.completed_ms or task.created_ms),
        }

    @override
    def callback(self, task: Task) -> Document:
        """Never sent: no order has a callback URL."""
        return self.status(task)

    @override
    def refusal(self, refused: Refused, *, reading: bool) -> Document:
        if isinstance(refused, _Invalid):
            faults = {refused.field: [refused.reason]}
            return {"error": _ERRORS[400], "details": {"formErrors": [], "fieldErrors": faults}}
        document: Document = {"error": refused.message or _ERRORS.get(refused.status, "Request failed")}
        match refused.status:
            case 400:
                document["details"] = {}
            case 402:
                document["required"] = 12
        return document

    @override
    def missing(self, field: str) -> Refused:
        return _Invalid(field, f"{field[:1].upper()}{field[1:]} is required")


def _credits(task: Task) -> int:
    model = _MODELS.get(task.order.model)
    return model.credits if model else 0


def _written(ms: int) -> str:
    """2026-04-22T09:00:32.000Z"""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _pair(words: str) -> tuple[int, int] | None:
    if words == "auto":
        return None
    width, height = words.split(":")
    return int(width), int(height)
