"""POST /images: checked, written down, and sent upstream once.

Rule 1: nothing is sent before the task is written, so that whatever the provider calls back about exists.
Rule 2: after the one POST nobody posts again. A definite refusal ends the task; anything unclear leaves it to
the callback.
Rule 3: once the provider may have accepted, the client is not told to try again, whatever else fails.
"""

import json
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from reprlib import repr as shortened
from typing import Protocol

from pydantic import TypeAdapter, ValidationError
from ulid import ULID

from pixhook import catalogue
from pixhook.addresses import AddressGuard
from pixhook.callbacks import callback_url
from pixhook.errors import (
    ImageRejected,
    InvalidRequest,
    NoAnswer,
    NotSent,
    PayloadTooLarge,
    ProviderRefused,
    ProviderUnclear,
    StoreUnavailable,
    UnsupportedMediaType,
)
from pixhook.flows.poll import first_turn
from pixhook.model import (
    Credential,
    ErrorCode,
    Failure,
    HttpRequest,
    HttpResponse,
    ImageRequest,
    Json,
    Outcome,
    OutcomeMessage,
    OutcomeState,
    Status,
    Task,
)
from pixhook.providers import PROVIDERS

MAX_BODY_BYTES = 256 * 1024
"""A task with its request fits a DynamoDB item of 400 KB."""

MAX_FREE_FORM_BYTES = 16 * 1024
"""Of metadata and of provider options, as JSON; the metadata also travels in the event."""

SEND_SECONDS = 20.0
"""All of a provider's time for one answer. API Gateway gives up on us after 29."""

_LAST_STEPS_SECONDS = 4.0
"""What is left for noting what came of it."""

_LEAST_SECONDS = 5.0
"""With less than this nobody is asked: an answer that is not waited for is a purchase that nobody knows of."""

_request = TypeAdapter(ImageRequest)
_log = logging.getLogger(__name__)


class Tasks(Protocol):
    """What submitting asks of the task store."""

    def add(self, task: Task) -> None: ...
    def get(self, task_id: str) -> Task | None: ...
    def move(self, task: Task, to: Status, now: datetime, *, ref: str | None = None) -> Task | None: ...


class Pollers(Protocol):
    """What submitting asks of the pollers."""

    def start(self, task_id: str, turn: Mapping[str, Json]) -> None: ...


class Outcomes(Protocol):
    """What submitting asks of the outcome queue."""

    def send(self, message: OutcomeMessage) -> None: ...


def new_task_id(now: datetime) -> str:
    """The id of a task that begins `now`."""
    return f"tsk_{ULID.from_datetime(now)}"


def read_request(content_type: str, body: bytes, guard: AddressGuard) -> ImageRequest:
    """The request in a body, as far as it can be judged without knowing the model.

    Raises:
        InvalidRequest: with the field at fault.
    """
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise UnsupportedMediaType("The content type must be application/json.")
    if len(body) > MAX_BODY_BYTES:
        raise PayloadTooLarge(f"The body has {len(body)} bytes; at most {MAX_BODY_BYTES} are taken.")
    try:
        request = _request.validate_json(body)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, fault["loc"])) or None
        raise InvalidRequest(_said(fault["type"], fault["msg"], field), field=field) from None
    for name in ("metadata", "provider_options"):
        _check_free_form(name, getattr(request, name))
    for number, url in enumerate(request.images):
        try:
            guard.parse(url)
        except ImageRejected as error:
            raise InvalidRequest(str(error), field=f"images.{number}") from None
    return request


def submit(
    request: ImageRequest,
    *,
    account_id: str,
    base_url: str,
    task_id: str,
    credentials: Mapping[str, Credential],
    callback_keys: Sequence[str],
    tasks: Tasks,
    outcomes: Outcomes,
    pollers: Pollers,
    send: Callable[[HttpRequest, float], HttpResponse],
    time_left: Callable[[], float],
    clock: Callable[[], datetime],
) -> Task:
    """The task, written and sent upstream. `time_left` says in how many seconds this process will be stopped.

    Raises:
        InvalidRequest: no provider can express it; nothing was written or sent.
        ProviderRefused: the provider said no; the task will end as failed.
        StoreUnavailable: the task was not written, or nobody would look after it; nothing was sent.
    """
    offer = catalogue.choose(request, _configured(credentials))
    provider = PROVIDERS[offer.provider]
    upstream = provider.build_submit(request, offer, callback_url(base_url, provider.name, task_id, callback_keys))
    now = clock()
    task = Task(
        id=task_id,
        account_id=account_id,
        status=Status.QUEUED,
        request=request,
        provider=provider.name,
        native_model=offer.native_model,
        created_at=now,
        updated_at=now,
    )
    tasks.add(task)
    if provider.polling:
        # Before the purchase: whatever happens from here on, the poller ends the task, if only by giving up.
        pollers.start(task.id, first_turn(task.id, provider.polling))
    seconds = min(SEND_SECONDS, time_left() - _LAST_STEPS_SECONDS)
    try:
        ref = provider.parse_submit(_ask(provider.authorize(upstream, credentials[provider.name]), seconds, send))
    except NotSent as error:
        refusal = ProviderRefused(_unreachable(provider.name))
        _log.warning("provider not reached", extra={"provider": provider.name, "reason": str(error)})
        raise _refused(task, refusal, outcomes) from error
    except ProviderRefused as refusal:
        raise _refused(task, refusal, outcomes) from None
    except (NoAnswer, ProviderUnclear) as error:
        _log.warning("submit unclear", extra={"provider": provider.name, "reason": str(error)})
        return task
    return _accepted(task, ref, tasks, clock)


def _ask(request: HttpRequest, seconds: float, send: Callable[[HttpRequest, float], HttpResponse]) -> HttpResponse:
    if seconds < _LEAST_SECONDS:
        raise NotSent("no time was left")
    return send(request, seconds)


def _check_free_form(name: str, value: Json) -> None:
    """Whether it can be passed on as it came. Raises `InvalidRequest`."""
    try:
        text = json.dumps(value, allow_nan=False)
    except ValueError:  # a number such as 1e999, for which JSON has no way back
        raise InvalidRequest(f"{name} holds a number that is not finite.", field=name) from None
    if len(text) > MAX_FREE_FORM_BYTES:
        raise InvalidRequest(f"{name} takes at most {MAX_FREE_FORM_BYTES} bytes of JSON.", field=name)


def _configured(credentials: Mapping[str, Credential]) -> Collection[str]:
    return PROVIDERS.keys() & credentials.keys()


def _accepted(task: Task, ref: str, tasks: Tasks, clock: Callable[[], datetime]) -> Task:
    """The task as accepted, or further if its callback was faster than the provider's answer."""
    accepted = replace(task, status=Status.PROCESSING, ref=ref)
    try:
        return tasks.move(task, Status.PROCESSING, clock(), ref=ref) or tasks.get(task.id) or accepted
    except StoreUnavailable:
        _log.exception("accepted upstream, but not noted; the callback will find the task", extra={"ref": ref})
        return accepted


def _refused(task: Task, refusal: ProviderRefused, outcomes: Outcomes) -> ProviderRefused:
    """The refusal for the client, once the task's end is on its way."""
    failure = refusal.failure
    _log.info(
        "provider refused",
        extra={
            "provider": task.provider,
            "code": failure.code,
            "native_code": failure.native_code,
            "native_message": failure.native_message,
        },
    )
    outcome = Outcome(state=OutcomeState.FAILED, failure=failure)
    try:
        outcomes.send(OutcomeMessage(task_id=task.id, provider=task.provider, outcome=outcome))
    except StoreUnavailable:
        _log.exception("refused upstream, but the task's end could not be queued")
    return ProviderRefused(failure, refusal.retry_after, task_id=task.id)


def _unreachable(provider: str) -> Failure:
    return Failure(code=ErrorCode.PROVIDER_UNAVAILABLE, message=f"{provider} could not be reached.")


def _said(kind: str, message: str, field: str | None) -> str:
    match kind:
        case "json_invalid":
            return f"The body is not JSON: {message.removeprefix('Invalid JSON: ')}."
        case "missing":
            return f"{field} is required."
        case "unexpected_keyword_argument":
            return f"There is no field {shortened(field)}."
        case _ if field is None:
            return "The body must be a JSON object."
        case _:
            return f"{field}: {message}."
