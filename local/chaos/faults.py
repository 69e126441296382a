"""What goes wrong between the functions and AWS: a proxy that throttles, fails, delays and cuts their calls.

The proxy is microburst. It is given a weather: rules that hold for some seconds, most of them light, and now and then a
storm over a single service, which the SDK's own repeats do not outlast.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any

import httpx

from local.processes import Process
from local.stack import ROOT


class Fault(StrEnum):
    """What may happen to a call of AWS."""

    THROTTLED = "throttled"
    FAILED = "answered with a 5xx"
    CONFLICT = "transaction in conflict"
    SLOW = "delayed"
    TOO_SLOW = "done after the caller gave up"
    RESET = "connection reset before"
    ANSWER_LOST = "done, and the answer lost"


_THROTTLING: Mapping[str, str] = MappingProxyType(
    {
        "dynamodb": "ProvisionedThroughputExceededException",
        "events": "ThrottlingException",
        "s3": "SlowDown",
        "secretsmanager": "ThrottlingException",
        "sqs": "RequestThrottled",
        "stepfunctions": "ThrottlingException",
    }
)

SERVICES = tuple(_THROTTLING)
"""What the functions call, by microburst's names."""

_LIGHT: Mapping[Fault, float] = MappingProxyType(
    {
        Fault.THROTTLED: 0.02,
        Fault.FAILED: 0.02,
        Fault.CONFLICT: 0.04,
        Fault.SLOW: 0.03,
        Fault.TOO_SLOW: 0.004,
        Fault.RESET: 0.02,
        Fault.ANSWER_LOST: 0.02,
    }
)
"""How likely each is for a call, at all times."""

_STORM = 0.9
"""How likely a storm's fault is for a call of its service."""

_STORMY = 0.4
"""How often there is a storm."""

_STORMS = (Fault.THROTTLED, Fault.FAILED, Fault.RESET, Fault.ANSWER_LOST)


@dataclass(frozen=True, slots=True)
class Rule:
    """How likely a fault is for the calls of a service."""

    fault: Fault
    service: str
    probability: float

    def as_microburst(self) -> dict[str, Any]:
        """The rule in the proxy's own words."""
        operation = {"operation": "TransactWriteItems"} if self.fault is Fault.CONFLICT else {}
        return {"service": self.service, **operation, "probability": self.probability, **_effect(self)}


def can_happen(fault: Fault, service: str) -> bool:
    """Whether the fault is one that this service can have here."""
    match fault:
        case Fault.CONFLICT:
            return service == "dynamodb"
        case Fault.TOO_SLOW:
            return service != "s3"  # its callers wait for 20 seconds
        case Fault.ANSWER_LOST:
            return service != "s3"  # the proxy cuts bodies, and S3 answers a write without one
        case _:
            return True


def weather(random: Random) -> tuple[Rule, ...]:
    """The rules for the next seconds; the first that applies to a call is the one that holds."""
    storm = Rule(*random.choice([(fault, s) for fault in _STORMS for s in SERVICES if can_happen(fault, s)]), _STORM)
    light = [Rule(fault, s, likely) for s in SERVICES for fault, likely in _LIGHT.items() if can_happen(fault, s)]
    return (*([storm] if random.random() < _STORMY else []), *light)


class FaultProxy:
    """The proxy, which forwards everything while it has no rules."""

    def __init__(self, folder: Path, *, port: int, upstream: str) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.injected: Counter[tuple[Fault, str]] = Counter()
        """How often which fault has happened to which service, under the rules that do not hold any more."""
        self.calls = 0
        """How many calls the functions have made until then."""
        self._calls_of_this_process = 0
        self._port = port
        self._upstream = upstream
        self._process = Process("microburst", folder)
        self._http = httpx.Client(base_url=f"{self.url}/_microburst", timeout=10, trust_env=False)
        self._rules: tuple[Rule, ...] = ()

    def start(self) -> None:
        """Starts it, with the rules that it had. Raises `StartFailed`."""
        self._process.stop()  # what an interrupted run may have left
        self._process.start(
            [
                *(ROOT / ".local" / "venvs" / "microburst" / "bin" / "microburst", "--upstream", self._upstream),
                *("--host", "127.0.0.1", "--port", str(self._port)),
            ],
            environment={"PYTHONUNBUFFERED": "1"},
            port=self._port,
            version="",
            is_ready=self._is_healthy,
        )
        self._calls_of_this_process = 0
        self._post(self._rules)

    def stop(self) -> None:
        """Ends it, if it runs, and with it all connections between the functions and AWS."""
        if self._process.running() is not None:
            self._count()
        self._process.stop()

    def have(self, rules: Sequence[Rule]) -> None:
        """Has these rules hold, in place of those before."""
        self._count()
        self._post(rules)

    def _post(self, rules: Sequence[Rule]) -> None:
        self._http.post("/rules", json=[rule.as_microburst() for rule in rules]).raise_for_status()
        self._rules = tuple(rules)

    def _count(self) -> None:
        """Adds up what the rules that now hold have done: the proxy forgets it with them."""
        entries = self._http.get("/rules").raise_for_status().json()
        for rule, entry in zip(self._rules, entries, strict=True):
            self.injected[rule.fault, rule.service] += entry["fired_count"]
        seen = int(self._http.get("/health").raise_for_status().json()["requests_seen"])
        self.calls += seen - self._calls_of_this_process
        self._calls_of_this_process = seen

    def _is_healthy(self) -> bool:
        try:
            return self._http.get("/health").is_success
        except httpx.HTTPError:
            return False


def _effect(rule: Rule) -> dict[str, Any]:
    match rule.fault:
        case Fault.THROTTLED:
            return {"error": {"code": _THROTTLING[rule.service]}}
        case Fault.FAILED:
            return {
                "error": {"code": "InternalError" if rule.service == "s3" else "InternalServerError", "status": 500}
            }
        case Fault.CONFLICT:
            reasons = [{"Code": "None"}, {"Code": "TransactionConflict"}, {"Code": "None"}]
            return {"error": {"code": "TransactionCanceledException", "fields": {"CancellationReasons": reasons}}}
        case Fault.SLOW:
            return {"latency": {"min": 100, "max": 1500}}
        case Fault.TOO_SLOW:
            return {"latency": {"min": 3300, "max": 4300}}
        case Fault.RESET:
            return {"reset": True}
        case Fault.ANSWER_LOST:
            return {"response": {"abort_bytes": 0}}
