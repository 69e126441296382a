"""The fallback for a provider that does not call back: the state machine waits, this reads, until the task ends.

The end goes to `FinishQueue`, as a callback's would. A read that fails is no failed task: the next one may succeed.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Protocol, TypedDict

from pixhook.flows.status import StatusRead, timed_out
from pixhook.lifecycle import UNDER_WAY
from pixhook.model import OutcomeMessage, Task
from pixhook.providers import PROVIDERS
from pixhook.providers.base import Polling

_GROWTH = 1.5
_JITTER = 0.2
"""Of a wait, either way, so that tasks of the same moment are not read at the same moments."""

_log = logging.getLogger(__name__)


class Tasks(Protocol):
    """What polling asks of the task store."""

    def get(self, task_id: str) -> Task | None: ...


class Outcomes(Protocol):
    """What polling asks of the outcome queue."""

    def send(self, message: OutcomeMessage) -> None: ...


class Turn(TypedDict):
    """What goes from one round of the state machine to the next."""

    task_id: str
    reads: int
    """How many there have been."""
    wait: int
    """Seconds until the next."""
    done: bool


def first_turn(task_id: str, polling: Polling) -> Turn:
    """What the state machine begins with."""
    return Turn(task_id=task_id, reads=0, wait=polling.first, done=False)


def poll(
    turn: Turn,
    *,
    tasks: Tasks,
    outcomes: Outcomes,
    read: Callable[[Task], StatusRead],
    clock: Callable[[], datetime],
    random: Callable[[], float],
) -> Turn:
    """Reads the task's status once, if that is still of interest; the next turn. `random` is from 0 to 1.

    Raises:
        StoreUnavailable: the turn has to be taken again.
    """
    reads = turn["reads"] + 1
    task = tasks.get(turn["task_id"])
    polling = PROVIDERS[task.provider].polling if task else None
    if task is None or polling is None or task.status not in UNDER_WAY:
        return Turn(task_id=turn["task_id"], reads=reads, wait=0, done=True)
    found = read(task) if task.ref else StatusRead()  # without: the submit is under way, or its answer was unclear
    outcome = found.outcome
    if (outcome is None or not outcome.is_final) and (clock() - task.created_at).total_seconds() >= polling.give_up:
        outcome = timed_out(task, polling.give_up)
    if outcome is not None and outcome.is_final:
        outcomes.send(OutcomeMessage(task_id=task.id, provider=task.provider, outcome=outcome))
        _log.info("poller done", extra={"task_id": task.id, "state": outcome.state, "reads": reads})
        return Turn(task_id=task.id, reads=reads, wait=0, done=True)
    wait = max(wait_after(reads, polling, random()), found.retry_after or 0)
    return Turn(task_id=task.id, reads=reads, wait=wait, done=False)


def wait_after(reads: int, polling: Polling, random: float) -> int:
    """Seconds from the read of this number, from 1, to the next."""
    steps = min(reads - 1, 50)  # enough for any `longest`, and no number too large for a float
    wait = min(polling.interval * _GROWTH**steps, polling.longest)
    return max(1, round(wait * (1 + _JITTER * (2 * random - 1))))
