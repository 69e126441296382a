"""What the outside sees of a task: the API's document and the event. Neither holds a URL that expires."""

from dataclasses import asdict
from datetime import UTC, datetime

from pixhook.model import Failure, Json, Status, Task

EVENT_VERSION = "1"
"""Goes up when a subscriber of the old form could not read the new one."""


def task_document(task: Task) -> dict[str, Json]:
    """The task as `POST /images` and `GET /images/{id}` answer it."""
    request = {name: value for name, value in asdict(task.request).items() if value not in (None, {}, ())}
    return {
        "id": task.id,
        "status": task.status,
        **request,
        "metadata": task.request.metadata,
        "provider": task.provider,
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
