"""What the modules of tables share: plain values for DynamoDB's typed ones, and writes that others stand in the way of.

A write that meets a transaction on the same item is refused as a conflict, and nothing has happened. It is made
again after a moment that differs from writer to writer, so that a busy account's writers come through one by one.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from random import uniform
from time import monotonic, sleep
from typing import Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from pixhook.aws.clients import error_code
from pixhook.errors import InvalidRequest
from pixhook.model import Json

CONDITION_FAILED = "ConditionalCheckFailedException"
"""DynamoDB's name for a condition that did not hold."""

CONFLICT_SECONDS = 5.0
"""For so long a write is tried that others stand in the way of."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 0.8

_CURSOR = re.compile("[A-Za-z0-9_-]{1,400}")

_IN_THE_WAY = frozenset({"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})

_to_dynamodb = TypeSerializer().serialize
_from_dynamodb = TypeDeserializer().deserialize


def typed(item: Mapping[str, Json]) -> dict[str, Any]:
    """`item` as DynamoDB takes it; what is None is left out."""
    return {name: _to_dynamodb(value) for name, value in item.items() if value is not None}


def plain(item: Mapping[str, Any]) -> dict[str, Any]:
    """What DynamoDB gave as `item`; numbers are `Decimal`."""
    return {name: _from_dynamodb(value) for name, value in item.items()}


def text(moment: datetime) -> str:
    """A moment as it is stored: texts compare as the moments do."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def moment(stored: str | None) -> datetime | None:
    """The moment that was stored, if any."""
    return datetime.fromisoformat(stored) if stored else None


def cursor_of(place: str) -> str:
    """A place in a list as a text that any URL takes."""
    return urlsafe_b64encode(place.encode()).decode().rstrip("=")


def place_of(cursor: str) -> str:
    """The place that `cursor_of` was given. Raises `InvalidRequest`."""
    try:
        is_one = _CURSOR.fullmatch(cursor)
        return urlsafe_b64decode(f"{cursor}{'=' * (-len(cursor) % 4)}" if is_one else "-").decode()
    except ValueError:
        raise InvalidRequest("cursor has to be the next_cursor of a page before.", field="cursor") from None


def persistently[Answer](write: Callable[[], Answer]) -> Answer:
    """What `write` gives, tried anew while others stand in the way. Raises what `write` raises."""
    until, pause = monotonic() + CONFLICT_SECONDS, _FIRST_PAUSE
    while True:
        try:
            return write()
        except ClientError as error:
            if not _is_in_the_way(error) or monotonic() > until:
                raise
        sleep(uniform(0, pause))  # noqa: S311 - no secret
        pause = min(2 * pause, _LONGEST_PAUSE)


def failed_conditions(error: ClientError) -> dict[int, dict[str, Any]]:
    """Of a transaction that was not made: by their numbers, the items whose conditions did not hold, as they are.

    An item is empty where there is none, or where its write did not ask for it.
    """
    return {
        number: plain(reason.get("Item", {}))
        for number, reason in enumerate(_reasons(error))
        if reason.get("Code") == "ConditionalCheckFailed"
    }


def _is_in_the_way(error: ClientError) -> bool:
    if error_code(error) == "TransactionConflictException":
        return True
    codes = {reason.get("Code") for reason in _reasons(error)}
    return not codes.isdisjoint(_IN_THE_WAY) and "ConditionalCheckFailed" not in codes


def _reasons(error: ClientError) -> list[Any]:
    return list(error.response.get("CancellationReasons", []))
