"""Whom a request goes to when providers are in trouble, counted by what the simulators accepted."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count, product
from typing import Any

import pytest

from local.waiting import wait_until
from pixhook.aws.breakers import CONFIG
from pixhook.catalogue import MODELS
from pixhook.providers import PROVIDERS
from pixhook.providers.base import Callback
from tests.e2e.conftest import Gateway, providers

MODEL = "nano-banana-2"
CALLERS = providers(Callback.PER_REQUEST)
ORDER = [offer.provider for offer in MODELS[MODEL].offers]


def accepted(gateway: Gateway, prompt: str) -> list[str]:
    """The providers that have accepted a submit with this prompt."""
    return [submit["provider"] for submit in gateway.submits(prompt) if submit["accepted"]]


def leave_to(gateway: Gateway, provider: str, prompt: str, **behaviour: Any) -> list[str]:
    """Has those before `provider` refuse, so that it is its turn to behave like this; all who are asked, in order."""
    before = ORDER[: ORDER.index(provider)]
    for other in before:
        gateway.misbehave(prompt, provider=other, submit={"refuse": 503})
    gateway.misbehave(prompt, provider=provider, **behaviour)
    return [*before, provider]


@pytest.fixture(autouse=True)
def well_again(gateway: Gateway) -> Iterator[None]:
    """Failures are counted in a row: afterwards each provider takes a request, so that no circuit opens."""
    yield
    for provider in ORDER:
        gateway.submit(model=MODEL, provider=provider, prompt="a good one")


@pytest.mark.parametrize("taker", ORDER)
def test_first_that_is_in_no_trouble_takes_the_request_and_nobody_else(
    gateway: Gateway, taker: str, prompt: str
) -> None:
    before = ORDER[: ORDER.index(taker)]
    for provider, status in zip(before, (503, 429, 401, 500), strict=False):
        gateway.misbehave(prompt, provider=provider, submit={"refuse": status})

    task = gateway.submit(model=MODEL, prompt=prompt)

    assert task["provider"] == taker
    assert [attempt["provider"] for attempt in task["attempts"]] == before
    assert accepted(gateway, prompt) == [taker]
    assert gateway.ended(task["id"])["status"] == "completed"
    assert len(gateway.events(task["id"])) == 1


@pytest.mark.parametrize("how", ["reset_before", "reset_after", "garbage_after"])
@pytest.mark.parametrize("first", ORDER)
def test_unclear_answer_is_nobody_elses_chance(gateway: Gateway, first: str, prompt: str, how: str) -> None:
    # No callback: one by an account's URL, of a task whose id was lost with the answer, waits on the queue for hours.
    asked = leave_to(gateway, first, prompt, submit={"break": how}, callback={"omit": True})

    task = gateway.submit(model=MODEL, prompt=prompt)

    assert (task["provider"], task["status"]) == (first, "queued")
    assert accepted(gateway, prompt) == ([] if how == "reset_before" else [first])
    assert [submit["provider"] for submit in gateway.submits(prompt)] == asked


def test_submit_that_times_out_is_nobody_elses_chance(gateway: Gateway, prompt: str) -> None:
    def timed_out(case: tuple[str, str]) -> dict[str, Any]:
        first, how = case
        text = f"{prompt} {first} {how}."
        asked = leave_to(gateway, first, text, submit={"break": how}, callback={"omit": first not in CALLERS})
        task = gateway.submit(model=MODEL, prompt=text)
        assert (task["provider"], task["status"]) == (first, "queued")
        assert accepted(gateway, text) == ([first] if how == "hang_after" else [])
        assert [submit["provider"] for submit in gateway.submits(text)] == asked
        return task

    # Side by side, for each takes as long as a provider is waited for. So each has a process of its own, in which a
    # provider fails once: no circuit opens.
    cases = list(product(ORDER, ["hang_before", "hang_after"]))
    with ThreadPoolExecutor(len(cases)) as pool:
        tasks = list(pool.map(timed_out, cases))

    for (first, how), task in zip(cases, tasks, strict=True):
        if how == "hang_after" and first in CALLERS:
            assert gateway.ended(task["id"])["status"] == "completed"
            assert len(gateway.events(task["id"])) == 1
        else:
            assert gateway.task(task["id"])["status"] == "queued"


def test_circuit_of_a_provider_that_fails_again_and_again_opens_and_closes(gateway: Gateway, prompt: str) -> None:
    gateway.misbehave(prompt, provider=ORDER[0], submit={"refuse": 503}, times=CONFIG.failure_threshold)

    def asked_first(number: int) -> bool:
        gateway.submit(model=MODEL, prompt=f"{prompt} {number}.")
        return ORDER[0] in {submit["provider"] for submit in gateway.submits(f"{prompt} {number}.")}

    assert all(asked_first(number) for number in range(CONFIG.failure_threshold))
    assert not asked_first(100)
    numbers = count(101)
    assert wait_until(lambda: asked_first(next(numbers)), seconds=2 * CONFIG.recovery_timeout, every=2)
    assert gateway.submit(model=MODEL, prompt=prompt)["provider"] == ORDER[0]


def test_models_are_listed_with_what_is_on_offer(gateway: Gateway) -> None:
    listed = gateway.api.get("/models").raise_for_status().json()["models"]
    assert [model["id"] for model in listed] == list(MODELS)
    assert {row["provider"] for model in listed for row in model["providers"] if row["available"]} == set(PROVIDERS)
