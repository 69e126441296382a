"""DeadlineQueue: the last resort for a task that nothing else has ended.

Its callback was lost, its poller is dead, its submit died half-way or brought no clear answer. Whatever it was, the
task's end goes to `FinishQueue` like any other. A message for a task that has ended, or was never written, comes to
nothing: each task has one from before it begins.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Protocol, Unpack

from pixhook.errors import SecretMisconfigured, StoreUnavailable
from pixhook.flows.status import StatusRead, estimated_end, timed_out
from pixhook.lifecycle import UNDER_WAY
from pixhook.model import Learnt, Outcome, OutcomeMessage, Task
from pixhook.providers import PROVIDERS

DEADLINE_SECONDS = 900
"""After a task's beginning it is looked at, if its provider calls back: apixo, whose repeats are documented, makes the
last of them 12.5 minutes after the first (apixo.ai/docs/guides/polling-vs-webhooks)."""

POLLER_GRACE_SECONDS = 300
"""After its poller ought to have given it up, if its provider does not."""

EXTENDED_SECONDS = 3600
"""After a task's beginning it has failed, whatever its provider says."""

LOOK_AGAIN_SECONDS = 300

_log = logging.getLogger(__name__)


class Tasks(Protocol):
    """What expiring asks of the task store."""

    def get(self, task_id: str) -> Task | None: ...
    def note(self, task: Task, now: datetime, **learnt: Unpack[Learnt]) -> Task | None: ...


class Outcomes(Protocol):
    """What expiring asks of the outcome queue."""

    def send(self, message: OutcomeMessage) -> None: ...


class Deadlines(Protocol):
    """What expiring asks of the deadline queue."""

    def put(self, task_id: str, seconds: float) -> None: ...


def deadline(provider: str) -> int:
    """In how many seconds after its beginning a task at `provider` is looked at."""
    polling = PROVIDERS[provider].polling if provider in PROVIDERS else None
    return polling.give_up + POLLER_GRACE_SECONDS if polling else DEADLINE_SECONDS


def _read(task: Task, read: Callable[[Task], StatusRead]) -> StatusRead:
    """What the provider says; nothing where it cannot be asked, for whatever reason: the task ends all the same."""
    try:
        return read(task)
    except (SecretMisconfigured, StoreUnavailable) as error:
        _log.warning("provider not asked", extra={"provider": task.provider, "reason": str(error)})
        return StatusRead()


def _note(task: Task, outcome: Outcome, tasks: Tasks, now: datetime) -> None:
    """Notes how far the task is, if its provider says so. It only describes: nothing is done again over it."""
    estimated_end_at = estimated_end(outcome.estimated_seconds, now)
    if outcome.progress is None and estimated_end_at is None:
        return
    try:
        tasks.note(task, now, progress=outcome.progress, estimated_end_at=estimated_end_at)
    except StoreUnavailable as error:
        _log.warning("progress not noted", extra={"provider": task.provider, "ref": task.ref, "reason": str(error)})


def expire(
    task_id: str,
    *,
    tasks: Tasks,
    outcomes: Outcomes,
    deadlines: Deadlines,
    read: Callable[[Task], StatusRead] | None,
    clock: Callable[[], datetime],
) -> None:
    """Ends the task, if that is due; else sees that it is looked at again. `read` is None where nobody may be asked.

    Raises:
        StoreUnavailable: it has to be tried again.
    """
    task = tasks.get(task_id)
    if task is None or task.status not in UNDER_WAY:
        return
    age = (clock() - task.created_at).total_seconds()
    due = deadline(task.provider)
    if age < due:
        deadlines.put(task_id, due - age)
        return
    ask = read if task.ref else None
    found = _read(task, ask) if ask else StatusRead()
    outcome = found.outcome
    if outcome is None or not outcome.is_final:
        if ask and age < EXTENDED_SECONDS:
            if outcome is not None:
                _note(task, outcome, tasks, clock())
            deadlines.put(task_id, max(LOOK_AGAIN_SECONDS, found.retry_after or 0))
            return
        outcome = timed_out(task, int(age))
    _log.warning("deadline", extra={"provider": task.provider, "ref": task.ref, "state": outcome.state})
    outcomes.send(OutcomeMessage(task_id=task.id, provider=task.provider, outcome=outcome))
