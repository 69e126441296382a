"""What the outside sees of a task: the API's document and the event. Neither holds a URL that expires."""

from dataclasses import asdict
from datetime import UTC, datetime

from pixhook.model import Account, AdminRequest, ApiKey, Failure, Json, Movement, MovementKind, Status, Task, Window

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
        "ended_at": _moment(task.ended_at),
        "files": [
            {
                "path": f"/images/{task.id}/files/{number}",
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


def event_kind(task: Task) -> str:
    """The detail-type of an ended task's event."""
    return "images.completed" if task.status is Status.COMPLETED else "images.failed"


def event_detail(task: Task) -> dict[str, Json]:
    """The event of an ended task. Its id is derived from the task: published twice, it is the same event."""
    return {
        "version": EVENT_VERSION,
        "id": f"evt_{task.id.removeprefix('tsk_')}",
        "type": event_kind(task),
        "task_id": task.id,
        "account_id": task.account_id,
        "status": task.status,
        "model": task.request.model,
        "provider": task.provider,
        "created_at": _moment(task.created_at),
        "ended_at": _moment(task.ended_at),
        "metadata": task.request.metadata,
        "images": [asdict(image) for image in task.images],
        "error": _error(task.failure),
        "native_charge": task.native_charge,
    }


def _error(failure: Failure | None) -> dict[str, Json] | None:
    return None if failure is None else {**asdict(failure.for_client()), "retryable": failure.code.is_retryable}


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
