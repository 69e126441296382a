"""What may happen to each call that is made, one at a time, and a world in which it does."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from botocore.exceptions import ReadTimeoutError

from tests.flow.cloud import ServiceAnswer, service_error
from tests.flow.world import Died, World


class Mishap(Enum):
    """What happens at a call."""

    DIES_BEFORE = auto()
    DIES_AFTER = auto()
    FAILS = auto()
    """However often the SDK tries it again."""
    IS_REFUSED = auto()
    """For good."""
    LOSES_ITS_ANSWER = auto()
    """Each try takes effect, and nobody hears of it."""
    IS_REPEATED = auto()
    """It takes effect, and then the SDK makes it again, because nobody has heard of it."""


@dataclass
class Fate:
    """Lets one call go wrong, counted from 0 over all functions; and counts them."""

    mishap: Mishap | None = None
    at: int = -1
    calls: list[str] = field(default_factory=list)
    has_struck: bool = False
    """Whether it has gone wrong."""
    _is_dead: bool = False
    _is_repeated: bool = False

    def begins(self, name: str) -> None:
        """A call is about to be made."""
        self._live()
        self.calls.append(name)
        if self.is_now(Mishap.DIES_BEFORE):
            self._is_dead = True
        self._live()

    def ends(self) -> None:
        """A call has taken effect."""
        if self.is_now(Mishap.DIES_AFTER):
            self._is_dead = True
        self._live()

    def is_now(self, mishap: Mishap) -> bool:
        """Whether this happens to the call that is being made."""
        is_now = self.mishap is mishap and len(self.calls) - 1 == self.at
        self.has_struck |= is_now
        return is_now

    def loses_a_try(self) -> bool:
        """Whether the SDK does not hear of the try that has just taken effect: once."""
        is_first = self.is_now(Mishap.IS_REPEATED) and not self._is_repeated
        self._is_repeated |= is_first
        return is_first

    def revive(self) -> None:
        """Another process begins."""
        self._is_dead = False

    def _live(self) -> None:
        if self._is_dead:
            raise Died


class Fated(ABC):
    """Something that happens in a world, and has a fate."""

    def __init__(self, world: World, fate: Fate) -> None:
        self.world, self.fate = world, fate

    @abstractmethod
    def travel(self) -> None:
        """Goes through all of it."""

    @abstractmethod
    def check(self) -> None:
        """Whether all is as it has to be."""

    @contextmanager
    def in_its_course(self) -> Iterator[None]:
        """Has the fate see each call of AWS."""
        with self.world.disturbed(self._before, self._after), self.world.losing_an_answer(self.fate.loses_a_try):
            yield

    def run(self, function: Callable[[], Any]) -> Any:
        """What comes of it; None if its process has died or failed."""
        self.fate.revive()
        try:
            return function()
        except AssertionError:
            raise
        except Exception:  # noqa: BLE001 - whatever it is, it is tried again
            return None
        finally:
            self.fate.revive()

    def _before(self, operation: str) -> ServiceAnswer | None:
        self.fate.begins(operation)
        if self.fate.is_now(Mishap.FAILS):
            return service_error()
        if self.fate.is_now(Mishap.IS_REFUSED):
            return service_error("AccessDeniedException", 400)
        return None

    def _after(self, _: str) -> None:
        if self.fate.is_now(Mishap.LOSES_ITS_ANSWER):
            raise ReadTimeoutError(endpoint_url="https://aws.example")
        self.fate.ends()
