"""defapi.org, as its documents (https://gempix2api.top/docs, a reseller's) and public clients describe it.

The documents know `model`, `prompt`, `images` and `callback_url`; the other fields, the GPT endpoint and the
body of a status read are as clients send and read them.
"""

import uuid
from abc import abstractmethod
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, override

from pydantic import AfterValidator, Field, ValidationError, ValidationInfo, field_validator

from local.simulators.fields import PublicUrl, Strict, public_url
from local.simulators.provider import (
    LONG_SIDES,
    Document,
    Failure,
    ImageFormat,
    Order,
    Provider,
    Refused,
    State,
    Task,
)
from local.simulators.references import DATA_URI

_Ratio = Literal["auto", "1:1", "16:9", "21:9", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16"]
_Pixels = Literal["1024x1024", "1536x1024", "1024x1536", "2048x2048", "3840x2160", "2160x3840"]

_SIZED_MODELS = frozenset({"google/nano-banana-pro", "google/nano-banana-2"})


def _reference(value: str) -> str:
    return value if value.startswith(DATA_URI) else public_url(value)


class _Body(Strict):
    prompt: Annotated[str, Field(min_length=1)]
    images: Annotated[tuple[Annotated[str, AfterValidator(_reference)], ...], Field(max_length=4, strict=False)] = ()
    callback_url: PublicUrl | None = None

    @abstractmethod
    def order(self) -> Order: ...


class _ImageGen(_Body):
    model: Literal[
        "google/gempix2",
        "google/gemini-2.5-flash-image",
        "google/gemini-3.1-flash-image-preview",
        "google/nano-banana",
        "google/nano-banana-2",
        "google/nano-banana-pro",
    ]
    aspect_ratio: _Ratio = "auto"
    image_size: Literal["1k", "2k", "4k"] | None = None

    @field_validator("image_size")
    @classmethod
    def _sized(cls, value: str | None, info: ValidationInfo) -> str | None:
        if info.data.get("model") not in _SIZED_MODELS:
            raise ValueError(f"only for {' and '.join(sorted(_SIZED_MODELS))}")
        return value

    @override
    def order(self) -> Order:
        return Order(
            model=self.model,
            prompt=self.prompt,
            ratio=_pair(self.aspect_ratio),
            long_side=LONG_SIDES[self.image_size or "1k"],
            references=self.images,
            callback_url=self.callback_url,
        )


class _GptImageGen(_Body):
    model: Literal["openai/gpt-image-1.5", "openai/gpt-image-2"]
    size: Literal[_Ratio, _Pixels] = "auto"
    quality: Literal["auto", "high", "medium", "low"] = "auto"
    background: Literal["auto", "opaque", "transparent"] = "auto"
    output_format: ImageFormat = "png"

    @override
    def order(self) -> Order:
        pair = _pair(self.size)
        return Order(
            model=self.model,
            prompt=self.prompt,
            ratio=pair,
            # Pixels are halved, as the resolutions of the other endpoint are.
            long_side=min(max(pair) // 2, LONG_SIDES["4k"]) if pair and "x" in self.size else LONG_SIDES["1k"],
            format=self.output_format,
            references=self.images,
            callback_url=self.callback_url,
        )


_BODIES: Mapping[str, type[_Body]] = {"/api/image/gen": _ImageGen, "/api/gpt-image/gen": _GptImageGen}

_STATES: Mapping[State, str] = {
    "pending": "pending",
    "processing": "in_progress",
    "success": "success",
    "failed": "failed",
    "unknown": "unknown",
}

# The documents show the bodies of 400, 401 and 404, and name 500; clients also meet the others.
_DETAILS: Mapping[int, str] = {
    400: "invalid request",
    402: "insufficient credits",
    403: "access denied",
    429: "too many requests",
    500: "internal server error",
    502: "bad gateway",
    503: "service unavailable",
    504: "gateway timeout",
}


class Defapi(Provider):
    name = "defapi"
    api_key = "dk-simulator"
    submit_paths = tuple(_BODIES)
    status_path = "/api/task/query"
    task_field = "task_id"
    prompt_at = ("prompt",)
    unreadable_reference = Failure("", "a reference image could not be read")
    sensitive_content = Failure("", "the content was flagged as sensitive")

    @override
    def new_task_id(self) -> str:
        return f"ta{uuid.uuid4()}"

    @override
    def read_submit(self, path: str, params: Mapping[str, str], body: Document) -> Order:
        try:
            return _BODIES[path].model_validate(body).order()
        except ValidationError as error:
            raise self.fault(error) from error

    @override
    def accepted(self, task: Task) -> Document:
        return _enveloped({"task_id": task.id})

    @override
    def status(self, task: Task) -> Document:
        created = datetime.fromtimestamp(task.created_ms / 1000, UTC).isoformat(timespec="milliseconds")
        return _enveloped(self.callback(task) | {"created_at": created})

    @override
    def callback(self, task: Task) -> Document:
        succeeded, failed = task.state == "success", task.state == "failed"
        return {
            "result": _result(task) if succeeded else None,
            "status": _STATES[task.state],
            "task_id": task.id,
            "consumed": "0.500000" if succeeded else "0.000000",
            "status_reason": {"message": task.failure.message if failed else None},
        }

    @override
    def refusal(self, refused: Refused, *, reading: bool) -> Document:
        match refused.status:
            case 401:
                # Submits and status reads are documented with different codes.
                code = 401 if reading else 1
                return {"code": refused.code or code, "message": refused.message or "Invalid API key"}
            case 404:
                return {"code": refused.code or 1, "message": refused.message or "task not found"}
        detail = refused.message or _DETAILS.get(refused.status, "request failed")
        return {"code": refused.code or 1, "message": "failed", "detail": detail}

    @override
    def missing(self, field: str) -> Refused:
        return Refused(400, f"{field} is required")


def _enveloped(data: Document) -> Document:
    return {"code": 0, "message": "ok", "data": data}


def _result(task: Task) -> Any:
    """An array of images, as documented; clients also meet a single object, and words instead of images."""
    match task.shape:
        case "array":
            return [{"image": image} for image in task.images]
        case "object":
            return {"image": task.images[0]} if task.images else None
        case "text":
            return [{"text": "I can describe this image, but I cannot draw it."}]


def _pair(words: str) -> tuple[int, int] | None:
    """Width and height from `16:9` or `1024x1024`; None from `auto`."""
    if words == "auto":
        return None
    width, height = words.replace("x", ":").split(":")
    return int(width), int(height)
