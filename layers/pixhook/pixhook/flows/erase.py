"""DELETE /images/{id}: the images, the request and what was said of it are gone; that there was a task is not.

The images go first: if the process dies in between, the client has no answer, and asks again.
"""

from dataclasses import replace
from datetime import datetime
from typing import Protocol

from pixhook.errors import NotReady
from pixhook.lifecycle import is_terminal
from pixhook.model import Failure, ImageRequest, Task


class Tasks(Protocol):
    """What erasing asks of the task store."""

    def erase(self, task: Task, now: datetime) -> None: ...


class Images(Protocol):
    """What erasing asks of the image store."""

    def delete_of(self, task_id: str) -> None: ...


def erase(task: Task, *, tasks: Tasks, images: Images, now: datetime) -> Task:
    """What is left of the task; a second time changes nothing.

    Raises:
        NotReady: it goes on, or its event is not out yet.
        StoreUnavailable: how much of it was erased is not known.
    """
    if not is_terminal(task.status) or task.published_at is None:
        raise NotReady(f"{task.id} is {task.status}, and not done with yet; it can be deleted a moment after its end.")
    images.delete_of(task.id)
    if task.deleted_at:
        return task
    left = replace(
        task,
        request=ImageRequest(model=task.request.model),
        images=(),
        failure=task.failure and _without_words(task.failure),
        attempts=tuple(replace(attempt, failure=_without_words(attempt.failure)) for attempt in task.attempts),
        updated_at=now,
        deleted_at=now,
    )
    tasks.erase(left, now)
    return left


def _without_words(failure: Failure) -> Failure:
    """What a provider says of a request may quote it."""
    return Failure(code=failure.code, message="Deleted with the request.")
