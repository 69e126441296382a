"""What the outside sees: the documents of the API, and the events. None of them holds a URL that expires."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Literal, NotRequired, TypedDict, cast

from pixhook.lifecycle import UNDER_WAY
from pixhook.model import (
    Account,
    AdminRequest,
    ApiKey,
    DeadLetter,
    Delivery,
    DeliveryStatus,
    Endpoint,
    ErrorCode,
    EventType,
    Failure,
    GivenUp,
    Json,
    Movement,
    MovementKind,
    SigningSecrets,
    Status,
    Task,
    Window,
)

EVENT_VERSION = "1"
"""Goes up when a subscriber of the old form could not read the new one."""


_REFUNDED = frozenset({Status.FAILED, Status.CANCELED})


type Moment = str
"""In UTC, to the millisecond (RFC 3339)."""


class ErrorDocument(TypedDict):
    """Why there is no image: our code, a sentence, and the provider's own words as they came."""

    code: ErrorCode
    message: str
    native_code: str | None
    native_message: str | None
    retryable: bool


class FileDocument(TypedDict):
    """One image. `path` goes behind the API's base URL, and leads to a URL that is good for a while."""

    path: str
    content_type: str
    size: int
    sha256: str
    width: int
    height: int


class AttemptDocument(TypedDict):
    """A provider that did not take the request."""

    provider: str
    error: ErrorDocument


class _Asked(TypedDict, total=False):
    prompt: str
    images: list[str]
    aspect_ratio: str
    resolution: str
    output_format: str
    web_search: bool
    provider_options: dict[str, Json]
    callback_url: str


class TaskDocument(_Asked):
    """An image on its way, or what became of it; of the request, what was asked for.

    `progress`, in percent, and `estimated_end_at` are what the provider has said last, null where it says none of it,
    and from `storing` on. An estimate may have passed, and leaves out the copying of the images.
    """

    id: str
    status: Status
    model: str
    metadata: dict[str, Json]
    provider: str
    credits: int
    credits_refunded: int
    progress: int | None
    estimated_end_at: Moment | None
    created_at: Moment
    updated_at: Moment
    processing_at: Moment | None
    storing_at: Moment | None
    ended_at: Moment | None
    deleted_at: Moment | None
    files: list[FileDocument]
    error: ErrorDocument | None
    attempts: list[AttemptDocument]
    native_charge: str | None


class TaskPage(TypedDict):
    """Some of the account's tasks; the rest is behind `next_cursor`."""

    images: list[TaskDocument]
    next_cursor: str | None


class LimitsDocument(TypedDict):
    """What the account may do."""

    requests: int
    window_seconds: int
    tasks_in_flight: int
    features: list[str]


class UsageDocument(TypedDict):
    """What the account does."""

    tasks_in_flight: int
    requests: NotRequired[int]


class AccountDocument(TypedDict):
    """Who pays."""

    id: str
    name: str
    plan: str
    status: Literal["active", "suspended", "deleted"]
    balance: int
    limits: LimitsDocument
    usage: UsageDocument
    created_at: Moment


class MovementDocument(TypedDict):
    """A line of the ledger. The balance is the sum of all `credits`."""

    kind: MovementKind
    credits: int
    task_id: str | None
    created_at: Moment


class MovementPage(TypedDict):
    """Some of the ledger; the rest is behind `next_cursor`."""

    movements: list[MovementDocument]
    next_cursor: str | None


class NativePriceDocument(TypedDict):
    """What the provider says it charges."""

    unit: str
    default: str | None
    by_resolution: dict[str, str]


class PromptDocument(TypedDict):
    """How many characters a prompt may have; so with reference images."""

    min: int
    max: int


class OfferDocument(TypedDict):
    """What one provider takes for a model."""

    provider: str
    available: bool
    native_model: str
    callback: str
    modes: list[Literal["text-to-image", "image-to-image"]]
    prompt: PromptDocument
    images: PromptDocument
    aspect_ratio: list[str]
    resolution: list[str]
    output_format: list[str]
    web_search: bool
    native_price: NativePriceDocument | None


class ModelDocument(TypedDict):
    """A model, what it costs, and who makes it."""

    id: str
    available: bool
    credits: int
    credits_by_resolution: dict[str, int]
    providers: list[OfferDocument]


class ModelList(TypedDict):
    """All models."""

    models: list[ModelDocument]


class UploadDocument(TypedDict):
    """A form: `fields`, and then the file as `file`, are to be posted to `url`. `upload` names it in `images`."""

    upload: str
    url: str
    fields: dict[str, str]
    max_bytes: int
    expires_at: Moment


class EndpointDocument(TypedDict):
    """Where the account wants to hear of its tasks."""

    id: str
    url: str
    events: list[EventType]
    enabled: bool
    created_at: Moment
    disabled_at: Moment | None


class EndpointList(TypedDict):
    """All the account's endpoints."""

    webhooks: list[EndpointDocument]


class SecretsDocument(TypedDict):
    """What the account's webhooks are signed with; while it is replaced, also the one before."""

    secret: str
    previous_secret: str | None
    previous_valid_until: Moment | None


class DeliveryAttemptDocument(TypedDict):
    """One try; `status` is HTTP's, and where there is none `error` says why."""

    at: Moment
    duration_ms: int
    status: int | None
    error: str | None


class DeliveryDocument(TypedDict):
    """One event on its way to one receiver; of the attempts, the latest."""

    id: str
    event_id: str
    type: EventType
    url: str
    webhook_id: str | None
    status: DeliveryStatus
    given_up: GivenUp | None
    attempts_made: int
    attempts: list[DeliveryAttemptDocument]
    next_attempt_at: Moment | None
    created_at: Moment


class DeliveryList(TypedDict):
    """What came of telling of something."""

    deliveries: list[DeliveryDocument]


def task_document(task: Task) -> TaskDocument:
    """The task as `POST /images` and `GET /images/{id}` answer it."""
    is_under_way = task.status in UNDER_WAY
    asked = {name: value for name, value in asdict(task.request).items() if value not in (None, "", {}, ())}
    return {
        "id": task.id,
        "status": task.status,
        **cast("_Asked", asked),
        "model": task.request.model,
        "metadata": task.request.metadata,
        "provider": task.provider,
        "credits": task.credits,
        "credits_refunded": task.credits if task.status in _REFUNDED else 0,
        "progress": task.progress if is_under_way else None,
        "estimated_end_at": _moment(task.estimated_end_at) if is_under_way else None,
        "created_at": moment_text(task.created_at),
        "updated_at": moment_text(task.updated_at),
        "processing_at": _moment(task.processing_at),
        "storing_at": _moment(task.storing_at),
        "ended_at": _moment(task.ended_at),
        "deleted_at": _moment(task.deleted_at),
        "files": [
            {
                "path": _file_path(task, number),
                "content_type": image.content_type,
                "size": image.size,
                "sha256": image.sha256,
                "width": image.width,
                "height": image.height,
            }
            for number, image in enumerate(task.images)
        ],
        "error": _error(task.failure) if task.failure else None,
        "attempts": [{"provider": attempt.provider, "error": _error(attempt.failure)} for attempt in task.attempts],
        "native_charge": task.native_charge,
    }


def account_document(account: Account, window: Window | None = None) -> AccountDocument:
    """The account as `GET /account` answers it; for an operator without the current `window`."""
    limits = account.limits
    usage: UsageDocument = {"tasks_in_flight": account.tasks_in_flight}
    if window is not None:
        usage["requests"] = window.used
    return {
        "id": account.id,
        "name": account.name,
        "plan": account.plan,
        "status": "deleted" if account.deleted_at else "suspended" if account.suspended_at else "active",
        "balance": account.balance,
        "limits": {
            "requests": limits.requests,
            "window_seconds": limits.window_seconds,
            "tasks_in_flight": limits.tasks_in_flight,
            "features": sorted(limits.features),
        },
        "usage": usage,
        "created_at": moment_text(account.created_at),
    }


def key_document(key: ApiKey) -> dict[str, Json]:
    """An API key as operators see it."""
    return {
        "id": key.id,
        "name": key.name,
        "prefix": key.prefix,
        "scopes": sorted(key.scopes),
        "created_at": _moment(key.created_at),
        "expires_at": _moment(key.expires_at),
        "revoked_at": _moment(key.revoked_at),
        "last_used_at": _moment(key.last_used_at),
    }


_SHOWN_BODY = 4_000
"""Characters of a dead letter: 500 of them fit into one answer."""


def dead_letter_document(letter: DeadLetter) -> dict[str, Json]:
    """A dead letter as operators see it."""
    sent_at = datetime.fromtimestamp(letter.sent_at / 1000, UTC)
    return {
        "id": letter.id,
        "task_id": letter.task_id,
        "sent_at": moment_text(sent_at),
        "body": letter.body[:_SHOWN_BODY],
    }


def request_document(request: AdminRequest) -> dict[str, Json]:
    """A line of the audit log."""
    return {"id": request.id, "at": _moment(request.at), **request.action, "result": dict(request.result)}


def movement_document(movement: Movement) -> MovementDocument:
    """A line of the ledger as `GET /account/movements` lists it."""
    is_of_a_task = movement.kind in {MovementKind.RESERVE, MovementKind.SETTLE, MovementKind.REFUND}
    return {
        "kind": movement.kind,
        "credits": movement.credits,
        "task_id": movement.source if is_of_a_task else None,
        "created_at": moment_text(movement.at),
    }


def endpoint_document(endpoint: Endpoint) -> EndpointDocument:
    """A webhook endpoint as `/webhooks` answers it."""
    return {
        "id": endpoint.id,
        "url": endpoint.url,
        "events": sorted(endpoint.events),
        "enabled": endpoint.disabled_at is None,
        "created_at": moment_text(endpoint.created_at),
        "disabled_at": _moment(endpoint.disabled_at),
    }


def secrets_document(secrets: SigningSecrets, now: datetime) -> SecretsDocument:
    """What an account's webhooks are signed with."""
    is_replaced = len(secrets.live(now)) > 1
    return {
        "secret": secrets.current,
        "previous_secret": secrets.previous if is_replaced else None,
        "previous_valid_until": _moment(secrets.previous_until) if is_replaced else None,
    }


def delivery_document(delivery: Delivery) -> DeliveryDocument:
    """A line of the delivery log."""
    return {
        "id": delivery.id,
        "event_id": delivery.event_id,
        "type": delivery.event_type,
        "url": delivery.url,
        "webhook_id": delivery.endpoint_id,
        "status": delivery.status,
        "given_up": delivery.given_up,
        "attempts_made": delivery.made,
        "attempts": [
            {
                "at": moment_text(attempt.at),
                "duration_ms": attempt.duration_ms,
                "status": attempt.status,
                "error": attempt.error,
            }
            for attempt in delivery.attempts
        ],
        "next_attempt_at": _moment(delivery.next_attempt_at),
        "created_at": moment_text(delivery.created_at),
    }


def event_type(task: Task) -> EventType:
    """The detail-type of an ended task's event."""
    return EventType.COMPLETED if task.status is Status.COMPLETED else EventType.FAILED


def event_id(task: Task) -> str:
    """The id of an ended task's event, which has only the one."""
    return f"evt_{task.id.removeprefix('tsk_')}"


def event_detail(task: Task) -> dict[str, Json]:
    """The event of an ended task. Its id is derived from the task: published twice, it is the same event."""
    return {
        "version": EVENT_VERSION,
        "id": event_id(task),
        "type": event_type(task),
        "task_id": task.id,
        "account_id": task.account_id,
        "status": task.status,
        "model": task.request.model,
        "provider": task.provider,
        "created_at": _moment(task.created_at),
        "ended_at": _moment(task.ended_at),
        "metadata": task.request.metadata,
        "images": [{**asdict(image), "path": _file_path(task, number)} for number, image in enumerate(task.images)],
        "error": _error(task.failure) if task.failure else None,
        "native_charge": task.native_charge,
    }


def webhook_test_detail(delivery: Delivery) -> dict[str, Json]:
    """The event by which a client tests an endpoint."""
    return {
        "version": EVENT_VERSION,
        "id": delivery.event_id,
        "type": delivery.event_type,
        "account_id": delivery.account_id,
        "webhook_id": delivery.endpoint_id,
        "created_at": _moment(delivery.created_at),
    }


def _file_path(task: Task, number: int) -> str:
    """Behind the API's base URL."""
    return f"/images/{task.id}/files/{number}"


def _error(failure: Failure) -> ErrorDocument:
    shown = failure.for_client()
    return {
        "code": shown.code,
        "message": shown.message,
        "native_code": shown.native_code,
        "native_message": shown.native_message,
        "retryable": failure.code.is_retryable,
    }


def moment_text(moment: datetime) -> Moment:
    """A moment as the outside sees it (RFC 3339)."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _moment(moment: datetime | None) -> Moment | None:
    return None if moment is None else moment_text(moment)
