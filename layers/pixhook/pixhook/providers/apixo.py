"""apixo.ai: a task envelope with the result as JSON inside a string; calls back per request.

Its documentation exists in several generations that disagree; what all of them say is accepted
(`docs/providers/apixo.md`).
"""

from typing import Any, ClassVar
from urllib.parse import urlencode

from pydantic import BaseModel

from pixhook.catalogue import Offer
from pixhook.model import ErrorCode, HttpRequest, ImageRequest, Json, Outcome, OutcomeState
from pixhook.providers.base import (
    Callback,
    Capabilities,
    Provider,
    SubmitReply,
    Text,
    json_post,
    parse_json,
    read_as,
    with_options,
)


class _Data(BaseModel):
    taskId: Text = None  # noqa: N815 - the provider's names, here and below
    state: Text = None
    resultJson: str | dict[str, Any] | None = None  # noqa: N815
    failCode: Text = None  # noqa: N815
    failMsg: Text = None  # noqa: N815
    error: Text = None


class _Envelope(BaseModel):
    message: Text = None
    data: _Data | None = None


class _SubmitEnvelope(_Envelope):
    code: int


class _Result(BaseModel):
    resultUrls: list[str] | None = None  # noqa: N815


class Apixo(Provider):
    """https://apixo.ai/docs"""

    name = "apixo"
    docs_url = "https://apixo.ai/docs"
    base_url = "https://api.apixo.ai/api/v1"
    capabilities = Capabilities(callback=Callback.PER_REQUEST, several_images=True)

    # apixo.ai/docs: status-task
    states: ClassVar = {
        "pending": OutcomeState.RUNNING,
        "processing": OutcomeState.RUNNING,
        "success": OutcomeState.SUCCEEDED,
        "failed": OutcomeState.FAILED,
    }

    # apixo.ai/docs/api-reference/errors (first block) and .../error-codes (the older words). A failure code
    # may also be the identifier of an immediate error; the last row is an older page's message for code 400.
    refusals: ClassVar = {
        "SensitiveContent": ErrorCode.CONTENT_POLICY,
        "SensitiveContentDetected": ErrorCode.CONTENT_POLICY,
        "InputImageSensitiveContentDetected": ErrorCode.CONTENT_POLICY,
        "InputOutputSensitiveContentDetected": ErrorCode.CONTENT_POLICY,
        "NSFW": ErrorCode.CONTENT_POLICY,
        "ProhibitedContentDetected": ErrorCode.CONTENT_POLICY,
        "PromptInvalid": ErrorCode.INVALID_PROMPT,
        "PromptLengthExceeded": ErrorCode.INVALID_PROMPT,
        "ImageFormatIncorrect": ErrorCode.INVALID_IMAGE,
        "MissingParameter": ErrorCode.INVALID_REQUEST,
        "RateLimited": ErrorCode.RATE_LIMITED,
        "Timeout": ErrorCode.TIMEOUT,
        "Unknown error": ErrorCode.UNKNOWN,
        "CONTENT_VIOLATION": ErrorCode.CONTENT_POLICY,
        "NSFW_DETECTED": ErrorCode.CONTENT_POLICY,
        "PROMPT_TOO_LONG": ErrorCode.INVALID_PROMPT,
        "INVALID_PROMPT": ErrorCode.INVALID_PROMPT,
        "INVALID_IMAGE_URL": ErrorCode.INVALID_IMAGE,
        "IMAGE_TOO_LARGE": ErrorCode.INVALID_IMAGE,
        "UNSUPPORTED_FORMAT": ErrorCode.INVALID_IMAGE,
        "IMAGE_DOWNLOAD_FAILED": ErrorCode.INVALID_IMAGE,
        "PROCESSING_TIMEOUT": ErrorCode.TIMEOUT,
        "MODEL_UNAVAILABLE": ErrorCode.PROVIDER_UNAVAILABLE,
        "INSUFFICIENT_CREDITS": ErrorCode.PROVIDER_ACCOUNT,
        "GENERATION_FAILED": ErrorCode.UNKNOWN,
        "Insufficient credits": ErrorCode.PROVIDER_ACCOUNT,
    }

    def build_submit(self, request: ImageRequest, offer: Offer, callback_url: str) -> HttpRequest:
        """POST /generateTask/{model}, in callback mode."""
        native = offer.fill(request)
        values: dict[str, Json] = {
            "mode": _mode(offer.native_model, has_images=bool(request.images)),
            "prompt": request.prompt or None,
            "image_urls": list(request.images) or None,
            "aspect_ratio": native.aspect_ratio,
            "resolution": native.resolution,
            "output_format": native.output_format,
            _web_search_field(offer.native_model): native.web_search,
        }
        document = {
            "request_type": "callback",
            "callback_url": callback_url,
            "input": with_options(values, request.provider_options),
        }
        return json_post(f"{self.base_url}/generateTask/{offer.native_model}", document)

    def build_status_read(self, native_model: str, ref: str) -> HttpRequest:
        """GET /statusTask/{model}; the model is part of the path."""
        return HttpRequest(method="GET", url=f"{self.base_url}/statusTask/{native_model}?{urlencode({'taskId': ref})}")

    def read_submit(self, document: Json) -> SubmitReply:
        """`code` is the HTTP status once more; 200 with a `taskId` is acceptance."""
        envelope = read_as(_SubmitEnvelope, document)
        data = envelope.data or _Data()
        return SubmitReply(
            is_accepted=envelope.code == 200,
            ref=data.taskId,
            status=envelope.code,
            native_code=data.failCode,
            words=tuple(word for word in (data.error, envelope.message) if word),
            message=data.failMsg or data.error or envelope.message,
        )

    def observe(self, document: Json) -> Outcome:
        """`data.state` decides: the outer code is 200 for a failed task too."""
        data = read_as(_Envelope, document).data or _Data()
        state = self.states.get(data.state or "", OutcomeState.UNKNOWN)
        if state is OutcomeState.FAILED:
            return self.failed(data.taskId, data.failCode, data.failMsg)
        if state is OutcomeState.SUCCEEDED:
            return self.succeeded(data.taskId, _result_urls(data.resultJson))
        return Outcome(state=state, ref=data.taskId)


def _mode(native_model: str, *, has_images: bool) -> str:
    if native_model == "gpt-image-1":  # one mode, named after the model
        return native_model
    return "image-to-image" if has_images else "text-to-image"


def _web_search_field(native_model: str) -> str:
    return "web_search" if native_model == "seedream-5-0" else "google_search"


def _result_urls(result: str | dict[str, Any] | None) -> tuple[str, ...]:
    document = parse_json(result) if isinstance(result, str) and result else result
    return tuple(read_as(_Result, document or {}).resultUrls or ())
