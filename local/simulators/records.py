"""What the simulators have seen and sent, for a test to read back. Credentials are never part of it."""

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Submit:
    """One submit; `status` is None while it is not answered, and for good when the answer was broken.

    `at` is in Unix seconds, and `body` the parsed JSON, or the text where it is none.
    """

    provider: str
    at: float
    path: str
    body: Any
    prompt: str
    status: int | None = None
    accepted: bool = False
    task_id: str | None = None
    callback_url: str | None = None


@dataclass(frozen=True, slots=True)
class StatusRead:
    provider: str
    task_id: str


@dataclass(frozen=True, slots=True)
class Callback:
    """One attempt at a delivery, once its answer is known; `status` is None when there was none.

    `at` is when it was sent, in Unix seconds, and `body` the text as sent.
    """

    provider: str
    task_id: str
    at: float
    url: str
    body: str
    status: int | None
