"""What comes before every request of a client: may its key do this, and has its account made too many?

Only what may cost something is counted. A client that asks what has become of its image is not held up by having
asked for one.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from pixhook.errors import PixhookError, ScopeMissing, StoreUnavailable, TooManyRequests
from pixhook.model import Caller, Scope, Window
from pixhook.plans import Limits


class Rates(Protocol):
    """What admitting asks of the account store."""

    def count(self, account_id: str, limits: Limits, now: datetime) -> Window | None: ...
    def window(self, account_id: str, limits: Limits, now: datetime) -> Window: ...


def admit(method: str, path: str, caller: Caller, rates: Rates, now: datetime) -> tuple[Window, PixhookError | None]:
    """The account's window, and why the request is refused, if it is."""
    scope = _scope(method, path)
    if scope not in caller.scopes:
        return _window(caller, rates, now), ScopeMissing(f"The API key does not have the scope {scope}.")
    if method == "GET":
        return _window(caller, rates, now), None
    limits = caller.limits
    try:
        counted = rates.count(caller.account_id, limits, now)
    except StoreUnavailable as error:  # what is not counted is not done
        return _unknown(limits, now), error
    if counted is not None:
        return counted, None
    window = Window(limit=limits.requests, used=limits.requests, resets_at=limits.window_end(now))
    message = f"The account may make {limits.requests} requests in {limits.window_seconds} seconds."
    return window, TooManyRequests(message, retry_after=max(1, window.resets_at - int(now.timestamp())))


def _scope(method: str, path: str) -> Scope:
    """What a key has to be made for. Who reads images need not read what webhooks are signed with."""
    if path.startswith("/webhooks"):
        return Scope.WEBHOOKS
    return Scope.READ if method == "GET" else Scope.WRITE


def _window(caller: Caller, rates: Rates, now: datetime) -> Window:
    """The window to be shown; nobody is kept from reading because it cannot be read."""
    try:
        return rates.window(caller.account_id, caller.limits, now)
    except StoreUnavailable:
        return _unknown(caller.limits, now)


def _unknown(limits: Limits, now: datetime) -> Window:
    return Window(limit=limits.requests, used=0, resets_at=limits.window_end(now))


def headers(window: Window) -> Mapping[str, str]:
    """The window as the client sees it, on every answer."""
    return {
        "x-ratelimit-limit": str(window.limit),
        "x-ratelimit-remaining": str(window.remaining),
        "x-ratelimit-reset": str(window.resets_at),
    }
