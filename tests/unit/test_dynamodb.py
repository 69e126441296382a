"""Writes that others stand in the way of are made again; all others are not."""

from itertools import count
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pixhook.aws import dynamodb
from pixhook.aws.dynamodb import failed_conditions, persistently


def refusal(code: str, *reasons: str) -> ClientError:
    details: Any = {
        "Error": {"Code": code},
        "CancellationReasons": [{"Code": reason, "Item": {"n": {"N": str(n)}}} for n, reason in enumerate(reasons)],
    }
    return ClientError(details, "TransactWriteItems")


IN_THE_WAY = [
    refusal("TransactionConflictException"),
    refusal("TransactionCanceledException", "None", "TransactionConflict"),
    refusal("TransactionCanceledException", "ThrottlingError", "None"),
    refusal("TransactionCanceledException", "ProvisionedThroughputExceeded"),
]

FINAL = [
    refusal("ConditionalCheckFailedException"),
    refusal("ValidationException"),
    refusal("TransactionCanceledException", "ConditionalCheckFailed", "None"),
    refusal("TransactionCanceledException", "ConditionalCheckFailed", "TransactionConflict"),
    refusal("TransactionCanceledException", "ItemCollectionSizeLimitExceeded"),
]


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made; the clock goes on by them alone, and each is as long as it may be."""
    made: list[float] = []
    monkeypatch.setattr(dynamodb, "sleep", made.append)
    monkeypatch.setattr(dynamodb, "monotonic", lambda: sum(made))
    monkeypatch.setattr(dynamodb, "uniform", lambda _, longest: longest)
    return made


@pytest.mark.parametrize("trouble", IN_THE_WAY, ids=str)
def test_write_comes_through_once_nobody_stands_in_its_way(trouble: ClientError, pauses: list[float]) -> None:
    tries = count(1)

    def write() -> int:
        if (number := next(tries)) < 4:
            raise trouble
        return number

    assert persistently(write) == 4
    assert pauses == [0.05, 0.1, 0.2]


@pytest.mark.parametrize("trouble", IN_THE_WAY, ids=str)
def test_write_is_given_up_in_time(trouble: ClientError, pauses: list[float]) -> None:
    def write() -> None:
        raise trouble

    with pytest.raises(ClientError) as given_up:
        persistently(write)

    assert given_up.value is trouble
    assert dynamodb.CONFLICT_SECONDS < sum(pauses) < dynamodb.CONFLICT_SECONDS + 1


@pytest.mark.parametrize("trouble", FINAL, ids=str)
def test_write_that_was_refused_is_not_made_again(trouble: ClientError, pauses: list[float]) -> None:
    def write() -> None:
        raise trouble

    with pytest.raises(ClientError):
        persistently(write)
    assert pauses == []


def test_conditions_that_did_not_hold_are_told_by_the_number_of_their_write() -> None:
    error = refusal("TransactionCanceledException", "None", "ConditionalCheckFailed", "ConditionalCheckFailed")
    assert failed_conditions(error) == {1: {"n": 1}, 2: {"n": 2}}
    assert failed_conditions(refusal("TransactionConflictException")) == {}
