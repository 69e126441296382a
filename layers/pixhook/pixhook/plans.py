"""What an account may do: plans, in data. An account can differ from its plan in any of the numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much an account may ask for."""

    requests: int
    """Submits in one window, whatever comes of them."""
    window_seconds: int = 60
    """Windows begin at multiples of it, in Unix time."""
    tasks_in_flight: int
    """Tasks that have not ended, at a time."""
    features: frozenset[str] = field(default_factory=frozenset)

    def window_end(self, now: datetime) -> int:
        """Unix seconds at which the window of `now` ends and the next begins."""
        return (int(now.timestamp()) // self.window_seconds + 1) * self.window_seconds

    def with_overrides(self, overrides: Mapping[str, int]) -> "Limits":
        """The same with some numbers replaced."""
        return Limits(
            requests=overrides.get("requests", self.requests),
            window_seconds=overrides.get("window_seconds", self.window_seconds),
            tasks_in_flight=overrides.get("tasks_in_flight", self.tasks_in_flight),
            features=self.features,
        )


PROVIDER_OPTIONS = "provider_options"
"""The feature of speaking to a provider in its own words: these can make a provider draw, and charge, more."""

# 10 and 100 a minute are what gempix2.top gives its own customers, as are the names.
PLANS: Mapping[str, Limits] = {
    "free": Limits(requests=10, tasks_in_flight=5),
    "pro": Limits(requests=100, tasks_in_flight=50, features=frozenset({PROVIDER_OPTIONS})),
    "enterprise": Limits(requests=1000, tasks_in_flight=500, features=frozenset({PROVIDER_OPTIONS})),
}
