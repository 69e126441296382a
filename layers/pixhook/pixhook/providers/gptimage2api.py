"""gptimage2api.org: bare documents, a task's state as a number; no callbacks, so its tasks are read.

Two of its pages show the status read with different field names; both are read (`docs/providers/gptimage2api.md`).
"""

from typing import ClassVar
from urllib.parse import quote

from pydantic import BaseModel

from pixhook.catalogue import Offer
from pixhook.model import ErrorCode, HttpRequest, ImageRequest, Json, Outcome, OutcomeState
from pixhook.providers.base import (
    Callback,
    Capabilities,
    Polling,
    Provider,
    SubmitReply,
    Text,
    json_post,
    read_as,
    with_options,
)


class _Answer(BaseModel):
    taskId: Text = None  # noqa: N815 - the provider's names, here and below
    error: Text = None
    details: Json = None


class _Task(BaseModel):
    """In pairs: the name on the page of the endpoint, then the quickstart's."""

    taskId: Text = None  # noqa: N815
    id: Text = None
    imageUrls: list[str] | None = None  # noqa: N815
    outputImageUrls: list[str] | None = None  # noqa: N815
    status: Text = None
    errorCode: Text = None  # noqa: N815
    errorMessage: Text = None  # noqa: N815
    creditsUsed: Text = None  # noqa: N815


class Gptimage2api(Provider):
    """https://gptimage2api.org/docs"""

    name = "gptimage2api"
    docs_url = "https://gptimage2api.org/docs"
    base_url = "https://gptimage2api.org"
    capabilities = Capabilities(callback=Callback.NONE, several_images=True)

    # gptimage2api.org/docs/guides/polling: every 2 s, or backing off from 2 s to 15 s. Its sample gives up after
    # 180 s; we wait longer, because what is paid for is worth it.
    polling = Polling(first=2, interval=2, longest=15, give_up=900)

    # gptimage2api.org/de/docs/api-reference/tasks; integers there, compared as text
    states: ClassVar = {
        "0": OutcomeState.RUNNING,
        "1": OutcomeState.SUCCEEDED,
        "2": OutcomeState.FAILED,
    }

    # gptimage2api.org/de/docs/guides/errors-and-refunds: its own failure codes; others are its upstream's. A refused
    # submit has a sentence and no identifier.
    refusals: ClassVar = {
        "EMPTY_RESULT": ErrorCode.NO_IMAGE,
        "STORAGE_ERROR": ErrorCode.PROVIDER_UNAVAILABLE,
    }

    def build_submit(self, request: ImageRequest, offer: Offer, callback_url: str) -> HttpRequest:
        """POST /api/ai/image/generate, the same for all models; nobody can be called back."""
        del callback_url
        values: dict[str, Json] = {
            "prompt": request.prompt,
            "model": offer.native_model,
            "aspectRatio": offer.fill(request).aspect_ratio,
            "inputImageUrls": list(request.images) or None,
            "providerInput": None,
        }
        # The provider does not check what is in here, and it overrides: none of our own names may.
        overrides = with_options(dict.fromkeys(values), request.provider_options)
        values["providerInput"] = dict(overrides) or None
        return json_post(f"{self.base_url}/api/ai/image/generate", with_options(values, {}))

    def build_status_read(self, native_model: str, ref: str) -> HttpRequest:
        """GET /api/ai/tasks/{id}, the same for all models."""
        del native_model
        return HttpRequest(method="GET", url=f"{self.base_url}/api/ai/tasks/{quote(ref, safe='')}")

    def read_submit(self, document: Json) -> SubmitReply:
        """There is no envelope: the HTTP status says yes or no, and a yes has a `taskId`."""
        answer = read_as(_Answer, document)
        return SubmitReply(is_accepted=True, ref=answer.taskId, message=_field_fault(answer.details) or answer.error)

    def observe(self, document: Json) -> Outcome:
        """`status` decides; a sample on the provider's page has images and an error while it is still 0."""
        task = read_as(_Task, document)
        ref = task.taskId or task.id
        state = self.states.get(task.status or "", OutcomeState.UNKNOWN)
        if state is OutcomeState.FAILED:
            return self.failed(ref, task.errorCode, task.errorMessage, task.creditsUsed)
        if state is OutcomeState.SUCCEEDED:
            images = tuple(task.imageUrls or task.outputImageUrls or ())
            return self.succeeded(ref, images, task.creditsUsed, remark=task.errorMessage)
        return Outcome(state=state, ref=ref)


def _field_fault(details: Json) -> str | None:
    """The first field's message in the details of a 400, with the field's name."""
    match details:
        case {"fieldErrors": dict(faults)}:
            for field, messages in faults.items():
                match messages:
                    case [str(message), *_]:
                        return f"{field}: {message}"
    return None
