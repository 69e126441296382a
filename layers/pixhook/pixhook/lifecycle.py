"""Which status may follow which, and what an outcome does to a task.

Rule 1: a task only moves forward along `TRANSITIONS`; a terminal status has no way on.
Rule 2: a late, repeated or contradictory outcome is a normal input, and its answer is: no change.
Rule 3: writers do not trust what they read. They move a task on the condition that it still stands at one of
`sources(target)`, so that of two at the same moment one moves it and the other changes nothing.
"""

from collections.abc import Mapping

from pixhook.model import Outcome, OutcomeMessage, OutcomeState, Status, Task

TRANSITIONS: Mapping[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.PROCESSING, Status.STORING, Status.FAILED, Status.CANCELED}),
    Status.PROCESSING: frozenset({Status.STORING, Status.FAILED, Status.CANCELED}),
    Status.STORING: frozenset({Status.COMPLETED, Status.FAILED}),
    Status.COMPLETED: frozenset(),
    Status.FAILED: frozenset(),
    Status.CANCELED: frozenset(),
}

UNDER_WAY = frozenset({Status.QUEUED, Status.PROCESSING})
"""Of a task with these statuses nobody has told yet how it ends."""

GOING_ON = UNDER_WAY | {Status.STORING}
"""What has not ended."""

_AIMS: Mapping[OutcomeState, Status] = {
    OutcomeState.SUCCEEDED: Status.STORING,
    OutcomeState.FAILED: Status.FAILED,
    OutcomeState.CANCELED: Status.CANCELED,
}


def is_terminal(status: Status) -> bool:
    """Whether a task of this status has ended."""
    return not TRANSITIONS[status]


def sources(target: Status) -> frozenset[Status]:
    """The statuses from which a task may move to `target`."""
    return frozenset(status for status, following in TRANSITIONS.items() if target in following)


def is_foreign(task: Task, message: OutcomeMessage) -> bool:
    """Whether the outcome came for `task`, but speaks of another: of another provider's, or under another id."""
    if message.outcome.state is OutcomeState.CANCELED:  # the client's word, whoever makes it by now
        return False
    ref = message.outcome.ref
    return message.provider != task.provider or (bool(ref and task.ref) and ref != task.ref)


def advance(task: Task, outcome: Outcome) -> Status | None:
    """Where `outcome` takes `task`, or None where it changes nothing.

    A success for a task that is `storing` gives `storing` again: its copying was interrupted and goes on.
    """
    target = _AIMS.get(outcome.state)
    if task.status is Status.STORING:  # the first final outcome has decided; only our own copying may still fail
        return target if target is Status.STORING else None
    return target if target in TRANSITIONS[task.status] else None
