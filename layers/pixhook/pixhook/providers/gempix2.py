"""gempix2.top: one model without a name, one image as a URL; it never calls back and has to be asked.

Its documentation is one page, which shows neither a running nor a failed task; `docs/providers/gempix2.md` says
what is accepted in their place.
"""

from typing import ClassVar
from urllib.parse import quote

from pydantic import BaseModel

from pixhook.catalogue import Offer
from pixhook.errors import UnexpectedPayload
from pixhook.model import ErrorCode, HttpRequest, ImageRequest, Json, Outcome, OutcomeState
from pixhook.providers.base import (
    Callback,
    Capabilities,
    Polling,
    Provider,
    Seconds,
    SubmitReply,
    Text,
    json_post,
    read_as,
    with_options,
)


class _Error(BaseModel):
    code: Text = None
    message: Text = None


class _Document(BaseModel):
    success: Json = None
    error: Json = None

    def read_error(self) -> _Error:
        """Documented is an object; whatever else there is counts as its message."""
        return read_as(_Error, self.error) if isinstance(self.error, dict) else _Error(message=self.error)


class _Answer(_Document):
    taskId: Text = None  # noqa: N815 - the provider's names, here and below
    estimatedTime: Seconds = None  # noqa: N815


class _Report(_Document):
    status: Text = None
    imageUrl: str | None = None  # noqa: N815


_NOT_OF_THE_TASK = frozenset({ErrorCode.PROVIDER_ACCOUNT, ErrorCode.RATE_LIMITED})
"""What an error may say of us, who ask; the task may be well all the same."""


class Gempix2(Provider):
    """https://gempix2.top/docs/api-reference"""

    name = "gempix2"
    docs_url = "https://gempix2.top/docs/api-reference"
    # Documented is https://gempix2.top/api, but the paths begin with /api too, and the examples have it once.
    base_url = "https://gempix2.top"
    capabilities = Capabilities(callback=Callback.NONE)
    # Not documented. The one hint is `estimatedTime: 30` in the answer to a submit, without a unit and taken for
    # seconds: the first read comes well before that, and a task that takes thirty times as long is given up.
    polling = Polling(first=10, interval=5, longest=30, give_up=900)

    # gempix2.top/docs/api-reference: Generate Image, Check Status
    states: ClassVar = {
        "processing": OutcomeState.RUNNING,
        "completed": OutcomeState.SUCCEEDED,
        # No page shows a failed task: these two words are not documented, but accepted.
        "failed": OutcomeState.FAILED,
        "error": OutcomeState.FAILED,
    }

    # gempix2.top/docs/api-reference: Error Handling
    refusals: ClassVar = {
        "INVALID_API_KEY": ErrorCode.PROVIDER_ACCOUNT,
        "INSUFFICIENT_CREDITS": ErrorCode.PROVIDER_ACCOUNT,
        "INVALID_PROMPT": ErrorCode.INVALID_PROMPT,
        "INVALID_IMAGE_URL": ErrorCode.INVALID_IMAGE,
        "RATE_LIMIT_EXCEEDED": ErrorCode.RATE_LIMITED,
    }

    def build_submit(self, request: ImageRequest, offer: Offer, callback_url: str) -> HttpRequest:
        """POST /api/generate-image; it takes neither a model nor a callback URL."""
        del callback_url
        native = offer.fill(request)
        values: dict[str, Json] = {
            "prompt": request.prompt,
            "mode": "image_to_image" if request.images else "text_to_image",
            "referenceImages": list(request.images) or None,
            "imageSize": native.aspect_ratio,
            "outputFormat": native.output_format,
        }
        return json_post(f"{self.base_url}/api/generate-image", with_options(values, request.provider_options))

    def build_status_read(self, native_model: str, ref: str) -> HttpRequest:
        """GET /api/task-status/{taskId}."""
        del native_model
        return HttpRequest(method="GET", url=f"{self.base_url}/api/task-status/{quote(ref, safe='')}")

    def read_submit(self, document: Json) -> SubmitReply:
        """`success: false` is a refusal; no page says which HTTP status it comes with."""
        answer = read_as(_Answer, document)
        error = answer.read_error()
        return SubmitReply(
            is_accepted=answer.success is not False,
            ref=answer.taskId,
            native_code=error.code,
            message=error.message or error.code,
            estimated_seconds=answer.estimatedTime,
        )

    def observe(self, document: Json) -> Outcome:
        """The word of state decides; an error without one fails the task unless it is about us. No id is in it."""
        report = read_as(_Report, document)
        state = self.states.get(report.status or "", OutcomeState.UNKNOWN)
        error = report.read_error()
        if state is OutcomeState.UNKNOWN and report.success is False and error.code:
            state = OutcomeState.FAILED
        if state is OutcomeState.FAILED:
            if self.refusals.get(error.code or "") in _NOT_OF_THE_TASK:
                raise UnexpectedPayload("an error about the key, the credits or the rate, not about the task")
            return self.failed(None, error.code, error.message)
        if state is OutcomeState.SUCCEEDED:
            return self.succeeded(None, (report.imageUrl or "",))
        return Outcome(state=state)
