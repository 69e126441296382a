"""POST /images/{id}/cancel: the client does not want it any more.

The word goes to `FinishQueue` like the provider's, so that whichever comes first is the task's end.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from pixhook.errors import TooLate
from pixhook.flows.query import wait_while
from pixhook.lifecycle import UNDER_WAY
from pixhook.model import ErrorCode, Failure, Outcome, OutcomeMessage, OutcomeState, Status, Task

ANSWER_SECONDS = 10.0
"""For so long the client is kept waiting for the end; most often it takes less than one."""


class Outcomes(Protocol):
    """What canceling asks of the outcome queue."""

    def send(self, message: OutcomeMessage) -> None: ...


def cancel(
    task: Task,
    *,
    outcomes: Outcomes,
    get: Callable[[str], Task | None],
    sleep: Callable[[float], None],
    clock: Callable[[], datetime],
) -> Task:
    """The task, canceled; or as it is, where that takes longer. A second time changes nothing.

    Raises:
        TooLate: it has ended, or its images are being stored.
        StoreUnavailable: whether it will be canceled is not known.
    """
    if task.status in UNDER_WAY:
        failure = Failure(code=ErrorCode.CANCELED, message="The client has canceled the task.")
        outcome = Outcome(state=OutcomeState.CANCELED, failure=failure)
        outcomes.send(OutcomeMessage(task_id=task.id, provider=task.provider, outcome=outcome))
        task = wait_while(UNDER_WAY, task, ANSWER_SECONDS, get=get, sleep=sleep, clock=clock)
    if task.status is not Status.CANCELED and task.status not in UNDER_WAY:
        raise TooLate(f"{task.id} is {task.status}; it can no longer be canceled.")
    return task
