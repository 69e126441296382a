"""GET: what there is to know of a task. Another account's task looks as if it did not exist."""

import re
from collections.abc import Callable

from pixhook.errors import NotFound, NotReady
from pixhook.lifecycle import is_terminal
from pixhook.model import Task

_TASK_ID = re.compile("tsk_[0-9A-HJKMNP-TV-Z]{26}")

DOWNLOAD_SECONDS = 15 * 60
"""How long a presigned download URL is good for."""


def find_task(task_id: str, *, account_id: str, get: Callable[[str], Task | None]) -> Task:
    """The account's task.

    Raises:
        NotFound: the account has no such task.
        StoreUnavailable: the task cannot be read now.
    """
    task = get(task_id) if _TASK_ID.fullmatch(task_id) else None
    if task is None or task.account_id != account_id:
        raise NotFound("There is no such image.")
    return task


def file_url(task: Task, number: str, *, presign: Callable[[str, str, int], str]) -> str:
    """A URL of one of the task's images, good for `DOWNLOAD_SECONDS`; numbers count from 0.

    Raises:
        NotFound: there is no such file, and there will be none.
        NotReady: the task has not ended.
    """
    if not is_terminal(task.status):
        raise NotReady(f"{task.id} is {task.status}; its files come when it is completed.")
    if number not in map(str, range(len(task.images))):
        raise NotFound(f"{task.id} has {len(task.images)} files; they count from 0.")
    key = task.images[int(number)].key
    return presign(key, f"{task.id}-{number}.{key.rpartition('.')[2]}", DOWNLOAD_SECONDS)
