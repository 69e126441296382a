"""gempix2ai.site: an envelope with numeric codes around one image; calls back at one URL for the whole account.

A callback is a flat event, and a status read an envelope; `docs/providers/gempix2ai.md` says what neither documents.
"""

from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import ClassVar, override
from urllib.parse import quote

from pydantic import BaseModel

from pixhook.catalogue import Offer
from pixhook.errors import UnexpectedPayload
from pixhook.model import ErrorCode, HttpRequest, HttpResponse, ImageRequest, Json, Outcome, OutcomeState
from pixhook.providers.base import (
    Callback,
    Capabilities,
    Percent,
    Provider,
    Seconds,
    SubmitReply,
    Text,
    json_post,
    read_as,
    seconds_in,
    with_options,
)


class _Image(BaseModel):
    uuid: Text = None
    imageUrl: str | None = None  # noqa: N815 - the provider's names, here and below

    # Why an image failed: that there is a message is documented, and where it stands is not.
    error: Text = None
    message: Text = None
    errorMessage: Text = None  # noqa: N815
    failReason: Text = None  # noqa: N815
    reason: Text = None

    @property
    def why(self) -> str | None:
        return self.error or self.message or self.errorMessage or self.failReason or self.reason or None


class _Event(_Image):
    event: Text = None


class _Read(_Image):
    status: Text = None
    progress: Percent = None
    estimatedTime: Seconds = None  # noqa: N815


class _StatusEnvelope(BaseModel):
    code: Text = None
    msg: Text = None
    data: _Read


class _Accepted(BaseModel):
    uuid: Text = None


class _SubmitEnvelope(BaseModel):
    code: int
    msg: Text = None
    data: _Accepted | None = None


class Gempix2ai(Provider):
    """https://gempix2ai.site/docs/api-reference"""

    name = "gempix2ai"
    docs_url = "https://gempix2ai.site/docs/api-reference"
    base_url = "https://gempix2ai.site/api"
    capabilities = Capabilities(callback=Callback.PER_ACCOUNT)

    # Status Values, and the Event Types of callbacks
    states: ClassVar = {
        "pending": OutcomeState.RUNNING,
        "processing": OutcomeState.RUNNING,
        "completed": OutcomeState.SUCCEEDED,
        "failed": OutcomeState.FAILED,
        "images.completed": OutcomeState.SUCCEEDED,
        "images.failed": OutcomeState.FAILED,
    }

    # Error Codes
    refusals: ClassVar = {
        "1000": ErrorCode.INVALID_REQUEST,
        "1001": ErrorCode.PROVIDER_ACCOUNT,
        "1002": ErrorCode.PROVIDER_ACCOUNT,
        "1003": ErrorCode.RATE_LIMITED,
        "5000": ErrorCode.PROVIDER_UNAVAILABLE,
    }

    def build_submit(self, request: ImageRequest, offer: Offer, callback_url: str) -> HttpRequest:
        """POST /generate-image, which knows neither a model nor a callback URL."""
        del callback_url
        values: dict[str, Json] = {
            "generationType": "image_to_image" if request.images else "text_to_image",
            "prompt": request.prompt,
            "aspectRatio": offer.fill(request).aspect_ratio,
            "imageUrl": request.images[0] if request.images else None,
        }
        return json_post(f"{self.base_url}/generate-image", with_options(values, request.provider_options))

    def build_status_read(self, native_model: str, ref: str) -> HttpRequest:
        """GET /image-status/{uuid}."""
        del native_model
        return HttpRequest(method="GET", url=f"{self.base_url}/image-status/{quote(ref, safe='')}")

    def read_submit(self, document: Json) -> SubmitReply:
        """`code` 0 is success; which HTTP status goes with the others is not documented."""
        envelope = read_as(_SubmitEnvelope, document)
        return SubmitReply(
            is_accepted=envelope.code == 0,
            ref=envelope.data.uuid if envelope.data else None,
            native_code=str(envelope.code),
            message=envelope.msg,
        )

    @override
    def parse_callback(self, body: bytes) -> Outcome:
        """What a callback says. Its URL is the account's, so that without an id it tells of no task."""
        outcome = super().parse_callback(body)
        if outcome.ref is None:
            raise UnexpectedPayload("not as documented: uuid")
        return outcome

    @override
    def retry_after(self, response: HttpResponse) -> int | None:
        """Where nothing is left, until `X-RateLimit-Reset`: a moment, whose distance the answer's own `Date` tells."""
        headers = response.headers
        if (named := super().retry_after(response)) is not None or headers.get("x-ratelimit-remaining") != "0":
            return named
        try:
            answered = parsedate_to_datetime(headers["date"]).timestamp()
            return seconds_in(str(max(0, int(headers["x-ratelimit-reset"]) - int(answered))))
        except (KeyError, ValueError, OverflowError):
            return None

    def observe(self, document: Json) -> Outcome:
        """A callback is a flat event; a status read has an envelope, whose `data` has `status` for `event`."""
        if isinstance(document, dict) and not document.keys().isdisjoint({"event", "uuid"}):
            event = read_as(_Event, document)
            return self._outcome(event.event, event, event.why)
        envelope = read_as(_StatusEnvelope, document)
        read, said = envelope.data, envelope.msg
        # The text beside a `code` of 0 is usually no reason for anything.
        remark = None if (said or "").casefold() == "success" else said
        outcome = self._outcome(read.status, read, read.why or remark)
        # Another `code` is about our key, the rate or the server, and says nothing of the task; but an image that is
        # there is not lost over it.
        if envelope.code != "0" and outcome.state is not OutcomeState.SUCCEEDED:
            raise UnexpectedPayload("an answer that does not speak of the task: code")
        if outcome.state is OutcomeState.RUNNING:
            return replace(outcome, progress=read.progress, estimated_seconds=read.estimatedTime)
        return outcome

    def _outcome(self, word: str | None, image: _Image, why: str | None) -> Outcome:
        state = self.states.get(word or "", OutcomeState.UNKNOWN)
        ref = image.uuid or None
        if state is OutcomeState.FAILED:
            return self.failed(ref, None, why)
        if state is OutcomeState.SUCCEEDED:
            return self.succeeded(ref, (image.imageUrl or "",), remark=why)
        return Outcome(state=state, ref=ref)
