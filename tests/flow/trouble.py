"""The worst moment for anything to happen: at, just before or just after one of the AWS calls."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import count
from threading import Lock

from botocore.exceptions import ReadTimeoutError

from tests.flow.cloud import service_error
from tests.flow.world import Died, World


class Trouble:
    """Something that happens at one of the AWS calls, counted from 0; the two copies run side by side."""

    def __init__(self, world: World, step: int) -> None:
        self.world = world
        self._step = step
        self._calls = count()
        self._is_dead = False
        self._lock = Lock()

    def dying_before(self) -> AbstractContextManager[None]:
        """The process ends before the call is made."""
        return self.world.disturbed(self._live_until_step)

    def dying_after(self) -> AbstractContextManager[None]:
        """The process ends when the call has taken effect, and does not learn of it."""
        return self.world.disturbed(self._live, self._die_if_dead)

    def refusal(self) -> AbstractContextManager[None]:
        """AWS does not do what that one call asks for."""
        return self.world.disturbed(lambda _: service_error() if self._is_at_step() else None)

    def unheard(self) -> AbstractContextManager[None]:
        """AWS does what that one call asks for, and its answer is lost."""
        lost: list[str] = []

        def note(operation: str) -> None:
            if self._is_at_step():
                lost.append(operation)

        def lose(_: str) -> None:
            if lost:
                lost.clear()
                raise ReadTimeoutError(endpoint_url="https://aws.example")

        return self.world.disturbed(note, lose)

    def unheard_by_the_sdk(self) -> AbstractContextManager[None]:
        """AWS does what a call asks for, and the SDK, which has not heard of it, makes it again: counted in tries."""
        return self.world.losing_an_answer(self._is_at_step)

    def overtaken(self, by: Callable[[], object]) -> AbstractContextManager[None]:
        """Somebody else does something just before that call."""

        def step_aside(_: str) -> None:
            if self._is_at_step():
                by()

        return self.world.disturbed(step_aside)

    def _is_at_step(self) -> bool:
        with self._lock:
            return next(self._calls) == self._step

    def _live(self, operation: str) -> None:
        self._die_if_dead(operation)
        if self._is_at_step():
            self._is_dead = True

    def _live_until_step(self, operation: str) -> None:
        self._live(operation)
        self._die_if_dead(operation)

    def _die_if_dead(self, _: str) -> None:
        if self._is_dead:
            raise Died
