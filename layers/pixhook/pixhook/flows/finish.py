"""FinishQueue: an outcome ends its task. The one door out, and the only place where a task ends.

Each step can be the last one that this process does. What follows then is the same message once more, and:
before `storing` nothing has happened; while `storing` the copies are made anew under the same keys; after the
terminal write and before the event is noted as published, the event goes out again under the same id; after
that, nothing happens.
"""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from typing import Any, Protocol, Unpack

from pixhook.documents import event_detail, event_type
from pixhook.errors import ImageRejected, ImageUnavailable, NotAnImage, NotConfirmed, StoreUnavailable, TaskUnknown
from pixhook.flows.status import StatusRead
from pixhook.lifecycle import advance, is_foreign, is_terminal
from pixhook.measured import MeasuredImage, from_data_uri, is_data_uri
from pixhook.model import ErrorCode, Failure, Image, Json, Learnt, OutcomeMessage, Status, Task

COPY_FOR = timedelta(hours=4)
"""For so long an image is tried that cannot be had or stored; then its task fails."""

ODD_FOR = timedelta(minutes=15)
"""For so long an image is tried whose host answers with something else, as it may for a moment."""

LONGEST_DELAY_SECONDS = 900

CONFIRM_ATTEMPTS = 6
"""After these, which take some minute, a hint that the provider does not bear out is forgotten."""

MAX_IMAGES = 16
"""More than any model in the catalogue makes at once."""

_SIDE_BY_SIDE = 4
"""Copies at a time; each holds one part of 5 MiB and what S3's client adds to it."""

_log = logging.getLogger(__name__)

type Fetch = Callable[[str], AbstractContextManager[Iterator[bytes]]]


class Tasks(Protocol):
    """What finishing asks of the task store."""

    def get(self, task_id: str) -> Task | None: ...
    def find(self, provider: str, ref: str) -> Task | None: ...
    def move(self, task: Task, to: Status, now: datetime, **learnt: Unpack[Learnt]) -> Task | None: ...
    def end(
        self,
        task: Task,
        to: Status,
        now: datetime,
        *,
        images: tuple[Image, ...] = (),
        failure: Failure | None = None,
        **learnt: Unpack[Learnt],
    ) -> Task | None: ...
    def note(self, task: Task, now: datetime, **learnt: Unpack[Learnt]) -> Task | None: ...
    def mark_published(self, task: Task, now: datetime) -> None: ...


class Images(Protocol):
    """What finishing asks of the image store."""

    bucket: str

    def store(self, key: str, content: MeasuredImage, content_type: str) -> None: ...


class Events(Protocol):
    """What finishing asks of the event bus."""

    def publish(self, kind: str, detail: dict[str, Json]) -> None: ...


def retry_delay(attempt: int) -> int:
    """Seconds until an outcome that could not be finished is tried again; `attempt` counts from 1."""
    return int(min(2**attempt, LONGEST_DELAY_SECONDS))


class Outcomes(Protocol):
    """What finishing asks of the outcome queue."""

    def read(self, body: str) -> OutcomeMessage: ...
    def delay(self, receipt_handle: str, seconds: int) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Finisher:
    """Ends tasks, in the world that it is given."""

    outcomes: Outcomes
    tasks: Tasks
    images: Images
    events: Events
    fetch: Fetch
    read_status: Callable[[Task], StatusRead]
    clock: Callable[[], datetime]

    def handle(self, body: str, receipt_handle: str, attempt: int) -> None:
        """Finishes the outcome in a message's body; `attempt` says which try it is, from 1.

        Whatever goes wrong goes on to the caller, so that the message stays on the queue; it comes back after
        `retry_delay(attempt)`, and after too many tries it goes to the dead letters.
        """
        try:
            self.finish(self.outcomes.read(body), attempt)
        except Exception as error:
            delay = retry_delay(attempt)
            _log.warning("outcome not finished", extra={"attempt": attempt, "again_in_s": delay, "reason": repr(error)})
            self.outcomes.delay(receipt_handle, delay)
            raise

    def finish(self, message: OutcomeMessage, attempt: int) -> None:
        """Takes the task to where the outcome leads, and sees its event out.

        Raises:
            TaskUnknown: the task is not there, or not yet.
            ImageUnavailable, StoreUnavailable: it has to be tried again.
        """
        before = self._find(message)
        if before is None:
            raise TaskUnknown(message.task_id or f"{message.provider}#{message.outcome.ref}")
        if is_terminal(before.status):
            task = self._note_charge(message, before)
        else:
            task = self._follow(self._believed(message, before, attempt), before)
        if is_terminal(task.status) and task.published_at is None:
            self.events.publish(event_type(task), event_detail(task))
            self.tasks.mark_published(task, self.clock())
        _log.info(
            "outcome handled",
            extra={"provider": task.provider, "from": before.status, "to": task.status, "attempt": attempt},
        )

    def _note_charge(self, message: OutcomeMessage, task: Task) -> Task:
        """The task, which has ended: nothing changes that. But what a canceled one has cost all the same is noted."""
        charge = message.outcome.native_charge
        if task.status is not Status.CANCELED or charge is None or is_foreign(task, message):
            return task
        return self.tasks.note(task, self.clock(), native_charge=charge) or task

    def _find(self, message: OutcomeMessage) -> Task | None:
        if message.task_id is not None:
            return self.tasks.get(message.task_id)
        return self.tasks.find(message.provider, message.outcome.ref or "")

    def _believed(self, message: OutcomeMessage, task: Task, attempt: int) -> OutcomeMessage:
        """The message; in place of a hint, what the provider says when it is asked.

        Raises:
            NotConfirmed: it could not be asked, or has not come to an end yet.
        """
        if message.task_id is not None:
            return message
        outcome = self.read_status(task).outcome
        if outcome is None:
            raise NotConfirmed(f"{task.provider} could not be asked for {task.ref}")
        if not outcome.is_final:
            if attempt < CONFIRM_ATTEMPTS:
                raise NotConfirmed(f"{task.provider} says of {task.ref} that it is {outcome.state}")
            _log.warning("hint not confirmed", extra={"provider": task.provider, "ref": task.ref})
        return OutcomeMessage(task_id=task.id, provider=message.provider, outcome=outcome)

    def _follow(self, message: OutcomeMessage, task: Task) -> Task:
        """The task after the outcome; as it was where the outcome changes nothing."""
        outcome = message.outcome
        if is_foreign(task, message):
            _log.warning("outcome of another task", extra={"ref": task.ref, "foreign_ref": outcome.ref})
            return task
        target = advance(task, outcome)
        learnt: Learnt = {"ref": outcome.ref, "native_charge": outcome.native_charge}
        if target in {Status.FAILED, Status.CANCELED}:
            return self._end(task, target, failure=outcome.failure, **learnt)
        if target is not Status.STORING:
            return task
        if task.status is not Status.STORING:
            moved = self.tasks.move(task, target, self.clock(), **learnt)
            task = moved or self.tasks.get(task.id) or task
        if task.status is not Status.STORING:
            return task  # somebody else was faster and took it elsewhere
        try:
            stored = self._copy_all(task, outcome.images)
        except (ImageRejected, ImageUnavailable, NotAnImage, StoreUnavailable) as error:
            # A task that is `storing` was last written when it came to be.
            if self.clock() < task.updated_at + _patience(error):
                raise
            _log.warning("images not copied", extra={"reason": repr(error)})
            return self._end(task, Status.FAILED, failure=_storage_failed(error))
        return self._end(task, Status.COMPLETED, images=stored)

    def _end(self, task: Task, to: Status, **changes: Any) -> Task:
        """The task ended, or as somebody else has moved it meanwhile."""
        return self.tasks.end(task, to, self.clock(), **changes) or self.tasks.get(task.id) or task

    def _copy_all(self, task: Task, sources: tuple[str, ...]) -> tuple[Image, ...]:
        if len(sources) > MAX_IMAGES:
            raise ImageRejected(f"The provider gave {len(sources)} images; at most {MAX_IMAGES} are taken.")
        with ThreadPoolExecutor(max_workers=_SIDE_BY_SIDE) as pool:
            return tuple(pool.map(partial(self._copy, task), count(), sources))

    def _copy(self, task: Task, number: int, source: str) -> Image:
        """Copies one image to the key that its task and number give, however often it is tried."""
        with self._open(source) as pieces:
            content = _measured(pieces, is_inline=is_data_uri(source))
            key = f"images/{task.id}/{number}.{content.extension}"
            self.images.store(key, content, content.content_type)
        return Image(
            bucket=self.images.bucket,
            key=key,
            sha256=content.sha256,
            size=content.size,
            content_type=content.content_type,
            width=content.width,
            height=content.height,
        )

    def _open(self, source: str) -> AbstractContextManager[Iterator[bytes]]:
        return nullcontext(iter((from_data_uri(source),))) if is_data_uri(source) else self.fetch(source)


def _measured(pieces: Iterator[bytes], *, is_inline: bool) -> MeasuredImage:
    try:
        return MeasuredImage(pieces)
    except NotAnImage as error:
        if is_inline:  # it will be the same at each try
            raise ImageRejected(str(error)) from error
        raise


def _patience(error: Exception) -> timedelta:
    """For how long it is worth trying again after `error`."""
    match error:
        case ImageRejected():
            return timedelta(0)
        case NotAnImage():
            return ODD_FOR
        case _:
            return COPY_FOR


def _storage_failed(error: Exception) -> Failure:
    # What AWS says is for the operator.
    message = "The image could not be stored." if isinstance(error, StoreUnavailable) else str(error)
    return Failure(code=ErrorCode.STORAGE_FAILED, message=message)
