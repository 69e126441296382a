"""gempix2.top, as its one page describes it: https://gempix2.top/docs/api-reference.

The page gives five error codes, no HTTP status for any of them, and no body of a running or failed task or of an
unknown id. What stands here in their place is a choice, made of documented words only.
"""

import secrets
from collections.abc import Mapping
from typing import Annotated, Literal, override
from urllib.parse import urljoin

from pydantic import Field, ValidationError, ValidationInfo, field_validator

from local.simulators.fields import PublicUrl, Strict, first_fault
from local.simulators.provider import Document, Failure, Order, Provider, Refused, Task

# "etc." follows them on the page; what it stands for is not known.
_Ratio = Literal["1_1", "16_9", "9_16"]


class _Body(Strict):
    prompt: Annotated[str, Field(min_length=1, max_length=2_000)]
    mode: Literal["text_to_image", "image_to_image"]
    imageSize: _Ratio = "1_1"  # noqa: N815 - the provider's names, here and below
    outputFormat: Literal["png", "jpeg"] = "png"  # noqa: N815
    referenceImages: Annotated[tuple[PublicUrl, ...], Field(strict=False, validate_default=True)] = ()  # noqa: N815

    @field_validator("referenceImages")
    @classmethod
    def _as_the_mode_has_it(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if (info.data.get("mode") == "image_to_image") != bool(value):
            raise ValueError("required for image_to_image, and only for it")
        return value

    def order(self) -> Order:
        width, height = self.imageSize.split("_")
        return Order(
            model="nano-banana-2",
            prompt=self.prompt,
            ratio=(int(width), int(height)),
            format=self.outputFormat,
            references=self.referenceImages,
        )


# The codes are the page's, the statuses are HTTP's meaning of them.
_CODES: Mapping[int, str] = {401: "INVALID_API_KEY", 402: "INSUFFICIENT_CREDITS", 429: "RATE_LIMIT_EXCEEDED"}

# The fields that have a code of their own; for the others the page has none.
_CODES_OF_FIELDS: Mapping[str, str] = {"prompt": "INVALID_PROMPT", "referenceImages": "INVALID_IMAGE_URL"}

_MESSAGES: Mapping[int, str] = {
    401: "API key is invalid",
    402: "Not enough credits",
    404: "Not found",
    429: "Too many requests",
}


class Gempix2(Provider):
    name = "gempix2"
    api_key = "gempix2-simulator-key"
    submit_paths = ("/api/generate-image",)
    status_path = "/api/task-status/{taskId}"
    task_field = "taskId"
    prompt_at = ("prompt",)
    unreadable_reference = Failure("INVALID_IMAGE_URL", "A reference image could not be read")
    # No code is documented for it; this is the one about prompts.
    sensitive_content = Failure("INVALID_PROMPT", "The prompt was rejected")

    @override
    def new_task_id(self) -> str:
        return f"task_{secrets.token_hex(6)}"

    @override
    def read_submit(self, path: str, params: Mapping[str, str], body: Document) -> Order:
        try:
            return _Body.model_validate(body).order()
        except ValidationError as error:
            fault = first_fault(error)
            if fault.kind == "missing":
                raise self.missing(fault.field) from error
            raise _invalid(fault.field, "unknown parameter" if fault.kind == "unknown" else fault.reason) from error

    @override
    def accepted(self, task: Task) -> Document:
        return {"success": True, "taskId": task.id, "status": "processing", "estimatedTime": 30}

    @override
    def status(self, task: Task) -> Document:
        match task.state:
            case "success":
                return {"success": True, "status": "completed"} | _result(task)
            case "failed":
                return {"status": "failed"} | _error(task.failure.message, task.failure.code)
            case "unknown":
                return {"success": True, "status": "unknown"}
        return {"success": True, "status": "processing"}

    @override
    def callback(self, task: Task) -> Document:
        """Never sent: no order has a callback URL."""
        return self.status(task)

    @override
    def refusal(self, refused: Refused, *, reading: bool) -> Document:
        message = refused.message or _MESSAGES.get(refused.status, "The request failed")
        return _error(message, refused.code or _CODES.get(refused.status))

    @override
    def missing(self, field: str) -> Refused:
        return _invalid(field, "required")


def _invalid(field: str, reason: str) -> Refused:
    return Refused(400, f"{field}: {reason}", _CODES_OF_FIELDS.get(field.partition("[")[0]))


def _error(message: str, code: str | None) -> Document:
    return {"success": False, "error": {"code": code, "message": message} if code else {"message": message}}


def _result(task: Task) -> Document:
    """One image at most. `downloadUrl` leads nowhere: the page does not say what it takes to read it."""
    if not task.images:
        return {}
    image = task.images[0]
    return {"imageUrl": image, "downloadUrl": urljoin(image, f"/gempix2/api/download/{task.id}")}
