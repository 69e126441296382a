"""What the outside sees: the documents of the API, and the events. None of them holds a URL that expires."""

from dataclasses import asdict
from datetime import UTC, datetime

from pixhook.model import (
    Account,
    AdminRequest,
    ApiKey,
    Delivery,
    Endpoint,
    EventType,
    Failure,
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


def task_document(task: Task) -> dict[str, Json]:
    """The task as `POST /images` and `GET /images/{id}` answer it."""
    request = {name: value for name, value in asdict(task.request).items() if value not in (None, {}, ())}
    return {
        "id": task.id,
        "status": task.status,
        **request,
        "metadata": task.request.metadata,
        "provider": task.provider,
        "credits": task.credits,
        "credits_refunded": task.credits if task.status in _REFUNDED else 0,
        "created_at": _moment(task.created_at),
        "updated_at": _moment(task.updated_at),
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
        "error": _error(task.failure),
        "attempts": [{"provider": attempt.provider, "error": _error(attempt.failure)} for attempt in task.attempts],
        "native_charge": task.native_charge,
    }


def account_document(account: Account, window: Window | None = None) -> dict[str, Json]:
    """The account as `GET /account` answers it; for an operator without the current `window`."""
    limits = account.limits
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
        "usage": {"tasks_in_flight": account.tasks_in_flight} | ({"requests": window.used} if window else {}),
        "created_at": _moment(account.created_at),
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


def request_document(request: AdminRequest) -> dict[str, Json]:
    """A line of the audit log."""
    return {"id": request.id, "at": _moment(request.at), **request.action, "result": dict(request.result)}


def movement_document(movement: Movement) -> dict[str, Json]:
    """A line of the ledger as `GET /account/movements` lists it."""
    is_of_a_task = movement.kind in {MovementKind.RESERVE, MovementKind.SETTLE, MovementKind.REFUND}
    return {
        "kind": movement.kind,
        "credits": movement.credits,
        "task_id": movement.source if is_of_a_task else None,
        "created_at": _moment(movement.at),
    }


def endpoint_document(endpoint: Endpoint) -> dict[str, Json]:
    """A webhook endpoint as `/webhooks` answers it."""
    return {
        "id": endpoint.id,
        "url": endpoint.url,
        "events": sorted(endpoint.events),
        "enabled": endpoint.disabled_at is None,
        "created_at": _moment(endpoint.created_at),
        "disabled_at": _moment(endpoint.disabled_at),
    }


def secrets_document(secrets: SigningSecrets, now: datetime) -> dict[str, Json]:
    """What an account's webhooks are signed with."""
    is_replaced = len(secrets.live(now)) > 1
    return {
        "secret": secrets.current,
        "previous_secret": secrets.previous if is_replaced else None,
        "previous_valid_until": _moment(secrets.previous_until) if is_replaced else None,
    }


def delivery_document(delivery: Delivery) -> dict[str, Json]:
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
                "at": _moment(attempt.at),
                "duration_ms": attempt.duration_ms,
                "status": attempt.status,
                "error": attempt.error,
            }
            for attempt in delivery.attempts
        ],
        "next_attempt_at": _moment(delivery.next_attempt_at),
        "created_at": _moment(delivery.created_at),
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
        "error": _error(task.failure),
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


def _error(failure: Failure | None) -> dict[str, Json] | None:
    return None if failure is None else {**asdict(failure.for_client()), "retryable": failure.code.is_retryable}


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
