"""What is asked for, how, and what its provider does wrong: drawn from a seed, so that it can be drawn again."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from random import Random
from types import MappingProxyType
from typing import Any

from local.offers import models_of
from local.simulators import PROVIDERS
from pixhook.providers import PROVIDERS as ADAPTERS
from pixhook.providers.base import Callback

ROUTED_MODEL = "nano-banana-2"
"""What is asked for without a provider: all of them have it."""

WELL_BEHAVED = "well-behaved"

NOT_TOLD = "no webhook asked for"

type Behaviour = dict[str, Any]
"""What the simulators' control API takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """Where webhooks are taken: at `/STATUS/TIMES/ORDER`, after so many were answered with this status, 0 for none.

    There are two, because who gives no answer is left alone for a minute, and whoever has the same host with it.
    """

    lively: str
    silent: str

    def of(self, order: int, status: int, times: int) -> str:
        """The URL for an order's webhooks."""
        return f"{self.lively if status else self.silent}/{status}/{times}/{order}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One client's wish."""

    number: int
    request: Mapping[str, Any]
    reception: str
    """What its webhook finds, in words."""
    misbehaviour: str
    """What its provider does wrong, in words."""
    behaviour: Behaviour
    key: str | None
    """With an idempotency key a client repeats what was not answered; without, it dares not to."""
    repeats_anyway: bool
    """Whether the client, which has a key, repeats what was answered too."""
    cancels_after: float | None
    """Seconds after the answer."""

    @property
    def prompt(self) -> str:
        """By it the simulators tell it from all others."""
        return str(self.request["prompt"])


def draw_orders(random: Random, *, reference: str, doors: Doors) -> Iterator[Order]:
    """Orders without end, at all providers in turn and now and then at whichever takes it."""
    names = [*PROVIDERS, None]
    for number in count():
        yield _order(random, number, names[number % len(names)], reference, doors)


def _order(random: Random, number: int, provider: str | None, reference: str, doors: Doors) -> Order:
    request: dict[str, Any] = {
        "model": random.choice(models_of(provider)) if provider else ROUTED_MODEL,
        "prompt": f"a fox in the snow, order {number:05}.",
        "metadata": {"order": number},
    }
    if provider:
        request["provider"] = provider
    if random.random() < 0.15:
        request["images"] = [reference]
    misbehaviour = random.choices(list(_MISBEHAVIOURS), [m.weight for m in _MISBEHAVIOURS.values()])[0]
    reception = random.choices(list(_RECEPTIONS), [r.weight for r in _RECEPTIONS.values()])[0]
    if times := _RECEPTIONS[reception].times:
        request["callback_url"] = doors.of(number, _RECEPTIONS[reception].status, random.choice(times))
    has_key = random.random() < 0.7
    return Order(
        number=number,
        request=request,
        reception=reception,
        misbehaviour=misbehaviour,
        behaviour=_MISBEHAVIOURS[misbehaviour].draw(random, provider),
        key=f"order-{number}" if has_key else None,
        repeats_anyway=has_key and random.random() < 0.2,
        cancels_after=random.uniform(0, 0.8) if random.random() < 0.1 else None,
    )


@dataclass(frozen=True, slots=True)
class _Misbehaviour:
    weight: int
    draw: Callable[[Random, str | None], Behaviour]


def _deliveries(*deliveries: Behaviour) -> Callable[[Random, str | None], Behaviour]:
    return lambda _, __: {"callback": {"deliveries": list(deliveries)}}


def _foreign(_: Random, provider: str | None) -> Behaviour:
    """A callback that speaks of another task; of one that never was, where one URL serves a whole account."""
    calls_by_account = provider is None or ADAPTERS[provider].capabilities.callback is Callback.PER_ACCOUNT
    first = {} if calls_by_account else {"body": "foreign"}
    return {"callback": {"deliveries": [first, {"delay_s": 1}]}}


_TRUE = {"delay_s": 0.1}

_MISBEHAVIOURS: Mapping[str, _Misbehaviour] = MappingProxyType(
    {
        WELL_BEHAVED: _Misbehaviour(40, lambda _, __: {}),
        "callback lost": _Misbehaviour(8, lambda _, __: {"callback": {"omit": True}}),
        "callback doubled or tripled": _Misbehaviour(
            7, lambda random, _: {"callback": {"deliveries": [_TRUE] * random.choice([2, 3])}}
        ),
        "callback late": _Misbehaviour(
            6, lambda random, _: {"callback": {"deliveries": [{"delay_s": round(random.uniform(3, 20), 1)}]}}
        ),
        "callbacks contradictory": _Misbehaviour(
            7,
            lambda random, _: {
                "callback": {
                    "deliveries": [
                        {"outcome": outcome, "delay_s": 0.3} for outcome in random.sample(["success", "failed"], 2)
                    ]
                }
            },
        ),
        "callback damaged or forged first": _Misbehaviour(
            5,
            lambda random, _: {
                "callback": {
                    "deliveries": [
                        random.choice([{"url": "forged"}, {"body": "truncated"}, {"body": "garbage"}]),
                        _TRUE,
                    ]
                }
            },
        ),
        "callback of another task first": _Misbehaviour(2, _foreign),
        "callback of a state in between first": _Misbehaviour(3, _deliveries({"outcome": "running"}, _TRUE)),
        "callback before the answer": _Misbehaviour(
            4, lambda _, __: {"submit": {"delay_s": 0.3}, "callback": {"before_answer": True}}
        ),
        "submit slow": _Misbehaviour(4, lambda random, _: {"submit": {"delay_s": round(random.uniform(1, 3), 1)}}),
        "submit hanging": _Misbehaviour(
            1, lambda random, _: {"submit": {"break": random.choice(["hang_before", "hang_after"]), "delay_s": 25}}
        ),
        "submit's answer lost": _Misbehaviour(
            5, lambda random, _: {"submit": {"break": random.choice(["reset_before", "reset_after", "garbage_after"])}}
        ),
        "submit refused": _Misbehaviour(
            7, lambda random, _: {"submit": {"refuse": random.choice([400, 401, 429, 500, 502, 503, 504])}}
        ),
        "task failed": _Misbehaviour(3, lambda _, __: {"result": {"fail": {"code": "", "message": "Not this one"}}}),
        "task without an end": _Misbehaviour(3, lambda _, __: {"result": {"never": True}}),
        "success without an image": _Misbehaviour(2, lambda _, __: {"result": {"empty": True}}),
        "several images": _Misbehaviour(3, lambda random, _: {"result": {"images": random.choice([2, 3])}}),
        "image inline": _Misbehaviour(2, lambda _, __: {"result": {"inline": True}}),
        "status reads failing first": _Misbehaviour(
            4,
            lambda random, _: {
                "status": {"first": random.choices([404, 500, 503, "running", "unknown"], k=random.choice([1, 2, 3]))}
            },
        ),
        "image host slow": _Misbehaviour(3, lambda random, _: {"host": {"delay_s": round(random.uniform(1, 4), 1)}}),
        "image host failing first": _Misbehaviour(
            6,
            lambda random, _: {"host": {random.choice(["fail_first", "page_first"]): random.choice([1, 2, 5])}},
        ),
        "image host failing for good": _Misbehaviour(
            3, lambda random, _: {"host": random.choice([{"status": 500}, {"truncate": True}, {"redirects": 9}])}
        ),
    }
)
"""By name, with how often each is drawn."""


@dataclass(frozen=True, slots=True)
class _Reception:
    weight: int
    status: int = 204
    times: tuple[int, ...] = ()
    """How often it may be that this is the answer, before the webhook is taken."""


_RECEPTIONS: Mapping[str, _Reception] = MappingProxyType(
    {
        NOT_TOLD: _Reception(30),
        "webhook taken at once": _Reception(40, times=(0,)),
        "webhook failed first": _Reception(12, 500, (1, 2, 4)),
        "webhook put off first": _Reception(6, 503, (1, 2)),
        "webhook redirected first": _Reception(4, 302, (1, 2)),
        "webhook not answered first": _Reception(3, 0, (1,)),
        "webhook failed ten times": _Reception(5, 500, (10,)),
    }
)
"""By name, what the webhooks of orders find; the ten times are all that one is tried, until it is redriven."""
