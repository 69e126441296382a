"""defapi.org: one bare task object for callback and status; images as URLs or data URIs; calls back per request.

Its documentation is short; `docs/providers/defapi.md` says what was taken from observed clients.
"""

from typing import ClassVar
from urllib.parse import urlencode

from pydantic import BaseModel

from pixhook.catalogue import Offer
from pixhook.errors import UnexpectedPayload
from pixhook.model import HttpRequest, ImageRequest, Json, Outcome, OutcomeState
from pixhook.providers.base import Callback, Capabilities, Provider, SubmitReply, Text, json_post, read_as, with_options


class _Task(BaseModel):
    task_id: Text = None
    status: Text = None
    result: Json = None
    consumed: Text = None
    status_reason: Json = None


class _Accepted(BaseModel):
    task_id: Text = None


class _Envelope(BaseModel):
    code: int
    message: Text = None
    detail: Text = None


class _SubmitEnvelope(_Envelope):
    data: _Accepted | None = None


class _StatusEnvelope(BaseModel):
    data: _Task


class Defapi(Provider):
    """https://defapi.org"""

    name = "defapi"
    docs_url = "https://defapi.org"
    base_url = "https://api.defapi.org"
    capabilities = Capabilities(callback=Callback.PER_REQUEST, several_images=True, inline_images=True)

    # Task Status Values
    states: ClassVar = {
        "pending": OutcomeState.RUNNING,
        "submitted": OutcomeState.RUNNING,
        "in_progress": OutcomeState.RUNNING,
        "success": OutcomeState.SUCCEEDED,
        "failed": OutcomeState.FAILED,
    }

    # It gives no error identifiers, only text for people.
    refusals: ClassVar = {}

    def build_submit(self, request: ImageRequest, offer: Offer, callback_url: str) -> HttpRequest:
        """POST /api/image/gen, or /api/gpt-image/gen for OpenAI's models, which call the ratio `size`."""
        native = offer.fill(request)
        is_gpt = offer.native_model.startswith("openai/")
        values: dict[str, Json] = {
            "model": offer.native_model,
            "prompt": request.prompt,
            "images": list(request.images) or None,
            "callback_url": callback_url,
            "size" if is_gpt else "aspect_ratio": native.aspect_ratio,
            "image_size": native.resolution,
            "output_format": native.output_format,
        }
        path = "/api/gpt-image/gen" if is_gpt else "/api/image/gen"
        return json_post(f"{self.base_url}{path}", with_options(values, request.provider_options))

    def build_status_read(self, native_model: str, ref: str) -> HttpRequest:
        """GET /api/task/query, the same for all models."""
        del native_model
        return HttpRequest(method="GET", url=f"{self.base_url}/api/task/query?{urlencode({'task_id': ref})}")

    def read_submit(self, document: Json) -> SubmitReply:
        """`code` 0 is success; other numbers are not consistent between endpoints and mean only "not 0"."""
        envelope = read_as(_SubmitEnvelope, document)
        return SubmitReply(
            is_accepted=envelope.code == 0,
            ref=envelope.data.task_id if envelope.data else None,
            message=envelope.detail or envelope.message or f"code {envelope.code}",
        )

    def observe(self, document: Json) -> Outcome:
        """A callback is the bare task; a status read wraps it in `data`."""
        if isinstance(document, dict) and not document.keys().isdisjoint({"code", "data"}):
            task = read_as(_StatusEnvelope, document).data
        else:
            task = read_as(_Task, document)
        state = self.states.get(task.status or "", OutcomeState.UNKNOWN)
        reason = _reason(task.status_reason)
        if state is OutcomeState.FAILED:
            return self.failed(task.task_id, None, reason, task.consumed)
        if state is OutcomeState.SUCCEEDED:
            images, texts = _read_result(task.result)
            return self.succeeded(task.task_id, images, task.consumed, remark=reason or " ".join(texts) or None)
        return Outcome(state=state, ref=task.task_id)


def _reason(status_reason: Json) -> str | None:
    """Documented is an object with `message`."""
    said = status_reason.get("message") if isinstance(status_reason, dict) else status_reason
    return None if said is None else str(said)


def _read_result(result: Json) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The images in a result, and the words that a model may give in place of one.

    Documented is a list of objects with `image`. Clients have seen one object without the list, `big_image_url`
    for `image`, and bare URLs. Where there is no image but something else, it is not said that there is none: it
    raises `UnexpectedPayload`, which leaves the task, paid for as it may be, to be looked at again.
    """
    images: list[str] = []
    texts: list[str] = []
    is_understood = True
    for entry in result if isinstance(result, list) else [result]:
        match entry:
            case {"image": str(image)} | {"big_image_url": str(image)} if image:
                images.append(image)
            case {"text": str(text)}:
                texts.append(text)
            case str(text):
                (images if text.startswith(("http", "data:")) else texts).append(text)
            case None | {"image": None | ""}:
                continue
            case _:
                is_understood = False
    if not images and not is_understood:
        raise UnexpectedPayload("not as documented: result")
    return tuple(images), tuple(texts)
