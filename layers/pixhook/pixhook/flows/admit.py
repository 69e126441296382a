"""What comes before every request of a client: may its key do this, and has its account made too many?

Only what may cost something is counted. A client that asks what has become of its image is not held up by having
asked for one.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from pixhook.errors import PixhookError, ScopeMissing, TooManyRequests
from pixhook.model import Caller, Scope, Window
from pixhook.plans import Limits


class Rates(Protocol):
    """What admitting asks of the account store."""

    def count(self, account_id: str, limits: Limits, now: datetime) -> Window | None: ...
    def window(self, account_id: str, limits: Limits, now: datetime) -> Window: ...


def admit(method: str, caller: Caller, rates: Rates, now: datetime) -> tuple[Window, PixhookError | None]:
    """The account's window, and why the request is refused, if it is.

    Raises:
        StoreUnavailable: it cannot be counted now.
    """
    limits = caller.limits
    scope = Scope.READ if method == "GET" else Scope.WRITE
    if scope not in caller.scopes:
        window = rates.window(caller.account_id, limits, now)
        return window, ScopeMissing(f"The API key does not have the scope {scope}.")
    if scope is Scope.READ:
        return rates.window(caller.account_id, limits, now), None
    counted = rates.count(caller.account_id, limits, now)
    if counted is not None:
        return counted, None
    window = Window(limit=limits.requests, used=limits.requests, resets_at=limits.window_end(now))
    message = f"The account may make {limits.requests} requests in {limits.window_seconds} seconds."
    return window, TooManyRequests(message, retry_after=max(1, window.resets_at - int(now.timestamp())))


def headers(window: Window) -> Mapping[str, str]:
    """The window as the client sees it, on every answer."""
    return {
        "x-ratelimit-limit": str(window.limit),
        "x-ratelimit-remaining": str(window.remaining),
        "x-ratelimit-reset": str(window.resets_at),
    }
