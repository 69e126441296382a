"""Which status may follow which, and what an outcome does to a task."""

from collections.abc import Mapping
from dataclasses import replace
from graphlib import TopologicalSorter
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixhook.lifecycle import TRANSITIONS, advance, is_foreign, is_terminal, sources
from pixhook.model import Outcome, OutcomeMessage, OutcomeState, Status
from tests.support.builders import a_task

ADVANCES: Mapping[tuple[Status, OutcomeState], Status] = {
    (Status.QUEUED, OutcomeState.SUCCEEDED): Status.STORING,
    (Status.QUEUED, OutcomeState.FAILED): Status.FAILED,
    (Status.PROCESSING, OutcomeState.SUCCEEDED): Status.STORING,
    (Status.PROCESSING, OutcomeState.FAILED): Status.FAILED,
    (Status.STORING, OutcomeState.SUCCEEDED): Status.STORING,
    (Status.QUEUED, OutcomeState.CANCELED): Status.CANCELED,
    (Status.PROCESSING, OutcomeState.CANCELED): Status.CANCELED,
}
"""All that outcomes do: any other pair changes nothing."""

EVERY_PAIR = list(product(Status, OutcomeState))


def test_the_table_is_closed() -> None:
    assert TRANSITIONS.keys() == set(Status)
    assert set().union(*TRANSITIONS.values()) <= set(Status)


def test_no_task_comes_back_to_where_it_was() -> None:
    TopologicalSorter(TRANSITIONS).prepare()  # raises on a cycle


def test_every_status_but_the_first_can_be_reached() -> None:
    assert set().union(*TRANSITIONS.values()) == set(Status) - {Status.QUEUED}


@pytest.mark.parametrize("status", Status)
def test_completed_failed_and_canceled_are_the_ends(status: Status) -> None:
    assert is_terminal(status) is (status in {Status.COMPLETED, Status.FAILED, Status.CANCELED})


@pytest.mark.parametrize(("status", "target"), list(product(Status, repeat=2)))
def test_sources_are_the_table_read_backwards(status: Status, target: Status) -> None:
    assert (status in sources(target)) is (target in TRANSITIONS[status])


@pytest.mark.parametrize(("status", "state"), EVERY_PAIR)
def test_an_outcome_takes_a_task_this_far_and_no_further(status: Status, state: OutcomeState) -> None:
    assert advance(a_task(status=status), Outcome(state=state)) is ADVANCES.get((status, state))


@pytest.mark.parametrize(
    ("known", "told", "expected"),
    [("ours", "ours", False), ("ours", None, False), (None, "ours", False), (None, None, False), ("ours", "its", True)],
)
def test_an_outcome_is_foreign_if_its_ref_is_known_to_be_another(
    known: str | None, told: str | None, expected: bool
) -> None:
    message = OutcomeMessage(task_id="tsk_1", provider="apixo", outcome=Outcome(state=OutcomeState.FAILED, ref=told))
    assert is_foreign(a_task(provider="apixo", ref=known), message) is expected


def test_an_outcome_of_another_provider_is_foreign() -> None:
    message = OutcomeMessage(task_id="tsk_1", provider="defapi", outcome=Outcome(state=OutcomeState.FAILED))
    assert is_foreign(a_task(provider="apixo"), message)


def test_the_clients_word_is_of_its_task_whoever_makes_it() -> None:
    message = OutcomeMessage(task_id="tsk_1", provider="defapi", outcome=Outcome(state=OutcomeState.CANCELED))
    assert not is_foreign(a_task(provider="apixo"), message)


@given(st.lists(st.sampled_from(OutcomeState)))
def test_the_first_final_outcome_decides_whatever_comes_after_it(states: list[OutcomeState]) -> None:
    task = a_task(status=Status.QUEUED)
    for state in states:
        task = replace(task, status=advance(task, Outcome(state=state)) or task.status)

    decisive = next((state for state in states if Outcome(state=state).is_final), None)
    decided = {
        OutcomeState.SUCCEEDED: Status.STORING,
        OutcomeState.FAILED: Status.FAILED,
        OutcomeState.CANCELED: Status.CANCELED,
    }
    assert task.status is (decided[decisive] if decisive else Status.QUEUED)
