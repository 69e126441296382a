"""apixo.ai, as its documents describe it: https://apixo.ai/docs."""

import json
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, override

from pydantic import ValidationError

from local.simulators.fields import PublicUrl, Strict, first_fault, public_url
from local.simulators.provider import (
    LONG_SIDES,
    Document,
    Failure,
    ImageFormat,
    Order,
    Provider,
    Refused,
    Task,
)


@dataclass(frozen=True, slots=True)
class _Model:
    """What a model's `input` takes: the allowed values by field, beside `prompt` and `image_urls`.

    `prompt` is the most characters, 0 where it takes none; `references` the most images.
    """

    prompt: int
    references: int
    choices: Mapping[str, Collection[object]]
    required: tuple[str, ...] = ("mode", "prompt", "aspect_ratio")


_MODES = ("text-to-image", "image-to-image")
_SWITCH = (False, True)

_MODELS: Mapping[str, _Model] = {
    # https://apixo.ai/docs/models/image/nano-banana-2
    "nano-banana-2": _Model(
        prompt=20_000,
        references=14,
        choices={
            "mode": _MODES,
            "aspect_ratio": (
                *("auto", "1:1", "1:4", "4:1", "1:8", "3:2", "2:3", "3:4"),
                *("4:3", "4:5", "5:4", "8:1", "9:16", "16:9", "21:9"),
            ),
            "resolution": ("1k", "2k", "4k"),
            "output_format": ("png", "jpeg", "jpg"),
            "google_search": _SWITCH,
        },
        required=("mode", "prompt", "aspect_ratio", "resolution"),
    ),
    # https://apixo.ai/docs/models/image/nano-banana
    "nano-banana": _Model(
        prompt=5_000,
        references=5,
        choices={
            "mode": _MODES,
            "aspect_ratio": (
                *("auto", "1:1", "4:3", "3:4", "3:2", "2:3"),
                *("4:5", "5:4", "9:16", "16:9", "21:9"),
            ),
            "output_format": ("png", "jpeg"),
        },
    ),
    # https://apixo.ai/docs/models/image/gpt-image-2
    "gpt-image-2": _Model(
        prompt=20_000,
        references=16,
        choices={
            "mode": _MODES,
            "aspect_ratio": ("auto", "1:1", "4:3", "3:4", "16:9", "9:16"),
            "resolution": ("1k", "2k", "4k"),
        },
        required=("mode", "prompt"),
    ),
    # https://apixo.ai/es/docs/models/image/gpt-image-1
    "gpt-image-1": _Model(
        prompt=10_000,
        references=5,
        choices={
            "mode": ("gpt-image-1",),
            "aspect_ratio": ("1:1", "2:3", "3:2"),
            "num_images": (1, 2, 4),
        },
    ),
    # https://apixo.ai/docs/ru/models/image/seedream-5-0
    "seedream-5-0": _Model(
        prompt=5_000,
        references=14,
        choices={
            "mode": _MODES,
            "aspect_ratio": ("1:1", "2:3", "3:2", "4:3", "3:4", "9:16", "16:9", "21:9"),
            "resolution": ("2k", "3k"),
            "output_format": ("jpeg", "png"),
            "max_images": range(1, 11),
            "sequential_image_generation": ("disabled", "auto"),
            "web_search": _SWITCH,
        },
    ),
    # https://apixo.ai/docs/models/image/ImageUpscaler
    "image-upscaler": _Model(
        prompt=0,
        references=1,
        choices={
            "mode": ("image-to-image",),
            "resolution": ("2k", "4k", "8k"),
            "output_format": ("jpg", "png", "webp"),
        },
        required=("mode",),
    ),
}

_FORMATS: Mapping[str, ImageFormat] = {"png": "png", "jpeg": "jpeg", "jpg": "jpeg", "webp": "webp"}

# https://apixo.ai/docs/models/image/nano-banana-2 (HTTP errors); 404 and 503: .../api-reference/errors
_MESSAGES: Mapping[int, str] = {
    401: "Invalid or missing API key",
    402: "Insufficient balance or quota",
    403: "Key or route cannot access the model",
    404: "Model or task not found",
    429: "Rate limit or concurrency limit reached",
    500: "Server or unmapped upstream error",
    502: "Upstream service error",
    503: "Service unavailable",
    504: "Upstream timeout",
}


class _Body(Strict):
    request_type: Literal["async", "callback"]
    input: dict[str, Any]
    callback_url: PublicUrl | None = None
    # Only older pages know it: https://apixo.ai/docs/api-reference/parameters
    provider: Literal["auto", "value", "official"] = "auto"


class Apixo(Provider):
    name = "apixo"
    api_key = "apixo-simulator-key"
    max_reference_bytes = 10_000_000  # https://apixo.ai/docs/api-reference/parameters
    base_path = "/api/v1"
    submit_paths = ("/generateTask/{model}",)
    status_path = "/statusTask/{model}"
    task_field = "taskId"
    prompt_at = ("input", "prompt")
    # https://apixo.ai/docs/guides/polling-vs-webhooks
    retries_s = (30, 120, 600)
    unreadable_reference = Failure("ImageFormatIncorrect", "A reference image could not be accepted")
    sensitive_content = Failure("SensitiveContent", "The prompt or the image violates the safety policy")

    @override
    def new_task_id(self) -> str:
        return f"task_{secrets.token_hex(8)}"

    @override
    def read_submit(self, path: str, params: Mapping[str, str], body: Document) -> Order:
        name = params["model"]
        if name not in _MODELS:
            raise Refused(404, f"Model not found: {name}")
        try:
            submit = _Body.model_validate(body)
        except ValidationError as error:
            raise self.fault(error) from error
        by_callback = submit.request_type == "callback"
        if by_callback and submit.callback_url is None:
            raise self.missing("callback_url")
        given = self._checked(_MODELS[name], submit.input)
        return Order(
            model=name,
            prompt=given.get("prompt", ""),
            ratio=_ratio(given.get("aspect_ratio", "auto")),
            long_side=LONG_SIDES[given.get("resolution", "1k")],
            format=_FORMATS[given.get("output_format", "png")],
            count=given.get("num_images") or given.get("max_images") or 1,
            references=tuple(given.get("image_urls", ())),
            callback_url=submit.callback_url if by_callback else None,
        )

    @override
    def accepted(self, task: Task) -> Document:
        return _enveloped({"taskId": task.id})

    @override
    def status(self, task: Task) -> Document:
        data: Document = {"taskId": task.id, "state": task.state}
        times: Document = {"createTime": task.created_ms}
        if task.state == "success":
            data["resultJson"] = json.dumps({"resultUrls": task.images}, separators=(",", ":"))
            times |= {"completeTime": task.completed_ms, "costTime": task.completed_ms - task.created_ms}
        elif task.state == "failed":
            data |= {"failCode": task.failure.code, "failMsg": task.failure.message}
            times["completeTime"] = task.completed_ms
        return _enveloped(data | times)

    @override
    def callback(self, task: Task) -> Document:
        """The status document: https://apixo.ai/docs/api-reference/webhooks."""
        return self.status(task)

    @override
    def refusal(self, refused: Refused, *, reading: bool) -> Document:
        """As https://apixo.ai/docs/api-reference/error-codes shows it; a failure code goes into `data.error`."""
        if refused.status == 400 and refused.code is None:
            error = refused.message or "Invalid request body"
            return {"code": 400, "message": "Invalid request", "data": {"error": error}}
        message = refused.message or _MESSAGES.get(refused.status, "Invalid request")
        document: Document = {"code": refused.status, "message": message}
        return document if refused.code is None else document | {"data": {"error": refused.code}}

    @override
    def missing(self, field: str) -> Refused:
        return Refused(400, f"Missing required field: {field}")

    @override
    def fault(self, error: ValidationError) -> Refused:
        fault = first_fault(error)
        if fault.kind == "missing":
            return self.missing(fault.field)
        return _unknown(fault.field) if fault.kind == "unknown" else _invalid(fault.field, fault.reason)

    def _checked(self, model: _Model, given: Document) -> Document:
        """The input, in which each field is one that the model takes, with a value that it takes."""
        given = dict(given)
        if isinstance(resolution := given.get("resolution"), str):
            # "Case-insensitive": https://apixo.ai/docs/zh/models/image/nano-banana-2
            given["resolution"] = resolution.lower()
        for field in given:
            if field not in {"image_urls", *model.choices, *(["prompt"] if model.prompt else [])}:
                raise _unknown(f"input.{field}")
        for field in model.required:
            if field not in given:
                raise self.missing(f"input.{field}")
        for field, allowed in model.choices.items():
            if field in given and not _is_one_of(given[field], allowed):
                raise _invalid(f"input.{field}", f"must be one of {', '.join(map(str, allowed))}")
        prompt = given.get("prompt", "")
        if not isinstance(prompt, str) or not min(1, model.prompt) <= len(prompt) <= model.prompt:
            raise _invalid("input.prompt", f"must have 1 to {model.prompt} characters")
        self._check_references(model, given)
        return given

    def _check_references(self, model: _Model, given: Document) -> None:
        mode, urls = given["mode"], given.get("image_urls", [])
        if not isinstance(urls, list) or len(urls) > model.references:
            raise _invalid("input.image_urls", f"must be a list of at most {model.references} URLs")
        for index, url in enumerate(urls):
            try:
                public_url(url if isinstance(url, str) else "")
            except ValueError as error:
                raise _invalid(f"input.image_urls[{index}]", str(error)) from error
        if mode == "image-to-image" and not urls:
            raise self.missing("input.image_urls")
        if mode == "text-to-image" and urls:
            raise _invalid("input.image_urls", "only for image-to-image")


def _enveloped(data: Document) -> Document:
    return {"code": 200, "message": "success", "data": data}


def _unknown(field: str) -> Refused:
    return Refused(400, f"Unknown field: {field}")


def _invalid(field: str, reason: str) -> Refused:
    return Refused(400, f"Invalid value for {field}: {reason}")


def _is_one_of(value: object, allowed: Collection[object]) -> bool:
    # JSON's true is no 1, though Python's True is.
    return any(type(value) is type(one) and value == one for one in allowed)


def _ratio(words: str) -> tuple[int, int] | None:
    if words == "auto":
        return None
    width, height = words.split(":")
    return int(width), int(height)
