"""WebhooksTable: who wants to hear of what, what it is signed with, and what came of telling them.

| `pk` | `sk` | |
|---|---|---|
| `account#<id>` | `endpoint#<endpoint id>` | where the account wants to hear of all its tasks |
| `account#<id>` | `secret` | what its webhooks are signed with |
| `account#<id>` | `quiet#<host>` | until when a receiver of the account's is left alone; forgotten after it |
| `deliveries#<subject>` | `<delivery id>` | one event on its way to one receiver; forgotten like the task |

The signing secrets stand here and not with the accounts, so that only those functions can read them that need to.
"""

from contextlib import suppress
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pixhook.aws.clients import error_code, translated
from pixhook.aws.dynamodb import CONDITION_FAILED, moment, plain, text, typed
from pixhook.model import (
    Delivery,
    DeliveryAttempt,
    DeliveryStatus,
    Endpoint,
    EventType,
    GivenUp,
    Json,
    SigningSecrets,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient

_KEPT_ATTEMPTS = 20

_MOST_PAGES = 4
"""Of a list; DynamoDB's have a megabyte, and Lambda answers with 6 MB at most."""


class Webhooks:
    """The webhooks of all accounts."""

    def __init__(self, dynamodb: "DynamoDBClient", table: str, retention: timedelta) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._retention = retention

    # Endpoints

    def endpoints(self, account_id: str) -> "Sequence[Endpoint]":
        """All the account's, the oldest first. Raises `StoreUnavailable`."""
        return [_endpoint(item) for item in self._list(f"account#{account_id}", "endpoint#")]

    def endpoint(self, account_id: str, endpoint_id: str) -> Endpoint | None:
        """One of the account's. Raises `StoreUnavailable`."""
        item = self._get(f"account#{account_id}", f"endpoint#{endpoint_id}")
        return _endpoint(item) if item else None

    def put_endpoint(self, endpoint: Endpoint, *, instead_of: Endpoint | None = None) -> bool:
        """Writes an endpoint, new or in place of what it was; whether it still was that. Raises `StoreUnavailable`."""
        item = {
            "pk": f"account#{endpoint.account_id}",
            "sk": f"endpoint#{endpoint.id}",
            "endpoint_id": endpoint.id,
            "account_id": endpoint.account_id,
            "url": endpoint.url,
            "events": sorted(endpoint.events),
            "created_at": text(endpoint.created_at),
            "updated_at": text(endpoint.updated_at),
            "disabled_at": endpoint.disabled_at and text(endpoint.disabled_at),
        }
        return self._put(item, {"updated_at": text(instead_of.updated_at)} if instead_of else None)

    def delete_endpoint(self, account_id: str, endpoint_id: str) -> None:
        """Forgets it. Raises `StoreUnavailable`."""
        with translated("delete the webhook endpoint"):
            key = typed({"pk": f"account#{account_id}", "sk": f"endpoint#{endpoint_id}"})
            self._dynamodb.delete_item(TableName=self._table, Key=key)

    # What is signed with

    def secrets(self, account_id: str) -> SigningSecrets | None:
        """What the account's webhooks are signed with, if it has anything yet. Raises `StoreUnavailable`."""
        item = self._get(f"account#{account_id}", "secret")
        if not item:
            return None
        return SigningSecrets(
            current=item["current"], previous=item.get("previous"), previous_until=moment(item.get("previous_until"))
        )

    def put_secrets(self, account_id: str, secrets: SigningSecrets, *, instead_of: str | None) -> bool:
        """Writes them, if what is current is `instead_of`, or nothing is; whether it was. Raises `StoreUnavailable`."""
        item = {
            "pk": f"account#{account_id}",
            "sk": "secret",
            "current": secrets.current,
            "previous": secrets.previous,
            "previous_until": secrets.previous_until and text(secrets.previous_until),
        }
        return self._put(item, {"current": instead_of} if instead_of else None)

    # Receivers

    def quiet_until(self, account_id: str, host: str) -> datetime | None:
        """Until when a receiver of the account's is to be left alone. Raises `StoreUnavailable`."""
        return moment(self._get(f"account#{account_id}", f"quiet#{host}").get("until"))

    def keep_quiet(self, account_id: str, host: str, until: datetime) -> None:
        """Has a receiver of the account's left alone, if it is not for longer already. Raises `StoreUnavailable`."""
        item = {
            "pk": f"account#{account_id}",
            "sk": f"quiet#{host}",
            "until": text(until),
            "ttl": int(until.timestamp()),
        }
        with translated("leave a receiver alone"), suppress(self._dynamodb.exceptions.ConditionalCheckFailedException):
            self._dynamodb.put_item(
                TableName=self._table,
                Item=typed(item),
                ConditionExpression="attribute_not_exists(pk) OR #until < :until",
                ExpressionAttributeNames={"#until": "until"},
                ExpressionAttributeValues=typed({":until": text(until)}),
            )

    # Deliveries

    def add_delivery(self, delivery: Delivery) -> bool:
        """Writes a new delivery; whether it was new. Raises `StoreUnavailable`."""
        return self._put(self._item(delivery), None)

    def delivery(self, subject: str, delivery_id: str) -> Delivery | None:
        """One of the deliveries that tell of `subject`. Raises `StoreUnavailable`."""
        item = self._get(f"deliveries#{subject}", delivery_id)
        return _delivery(item) if item else None

    def deliveries(self, subject: str) -> "Sequence[Delivery]":
        """All that tell of `subject`, the latest first. Raises `StoreUnavailable`."""
        found = [_delivery(item) for item in self._list(f"deliveries#{subject}", "")]
        return sorted(found, key=lambda delivery: delivery.created_at, reverse=True)

    def change_delivery(self, before: Delivery, after: Delivery) -> bool:
        """Writes what has become of a delivery, if nobody else has meanwhile. Raises `StoreUnavailable`."""
        expected = {"made": before.made, "began_at": text(before.began_at), "status": before.status}
        return self._put(self._item(after), expected)

    def _item(self, delivery: Delivery) -> "dict[str, Any]":
        return {
            "pk": f"deliveries#{delivery.subject}",
            "sk": delivery.id,
            "account_id": delivery.account_id,
            "event_id": delivery.event_id,
            "event_type": delivery.event_type,
            "url": delivery.url,
            "endpoint_id": delivery.endpoint_id,
            "status": delivery.status,
            "given_up": delivery.given_up,
            "created_at": text(delivery.created_at),
            "began_at": text(delivery.began_at),
            "made_before": delivery.made_before,
            "made": delivery.made,
            "attempts": [asdict(attempt) | {"at": text(attempt.at)} for attempt in delivery.attempts[-_KEPT_ATTEMPTS:]],
            "next_attempt_at": delivery.next_attempt_at and text(delivery.next_attempt_at),
            "ttl": int((delivery.began_at + self._retention).timestamp()),
        }

    # All of them

    def _get(self, pk: str, sk: str) -> "dict[str, Any]":
        with translated("read of webhooks"):
            key = typed({"pk": pk, "sk": sk})
            answer = self._dynamodb.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        return plain(answer.get("Item", {}))

    def _put(self, item: "Mapping[str, Json]", expected: "Mapping[str, Json] | None") -> bool:
        """Writes an item where there is one of which this is true, or none is expected and there is none."""
        names = {f"#{name}": name for name in expected or {}}
        condition = " AND ".join(f"#{name} = :{name}" for name in expected or {})
        conditional: dict[str, Any] = {"ConditionExpression": condition or "attribute_not_exists(pk)"}
        if expected:
            values = typed({f":{name}": value for name, value in expected.items()})
            conditional |= {"ExpressionAttributeNames": names, "ExpressionAttributeValues": values}
        with translated("write of webhooks"):
            try:
                self._dynamodb.put_item(TableName=self._table, Item=typed(item), **conditional)
            except ClientError as error:
                if error_code(error) == CONDITION_FAILED:
                    return False
                raise
        return True

    def _list(self, pk: str, prefix: str) -> "list[dict[str, Any]]":
        """The items of `pk`, as many as are ever looked at."""
        condition = "pk = :pk AND begins_with(sk, :prefix)" if prefix else "pk = :pk"
        values = {":pk": pk} | ({":prefix": prefix} if prefix else {})
        found: list[dict[str, Any]] = []
        start: dict[str, Any] = {}
        for _ in range(_MOST_PAGES):
            with translated("list of webhooks"):
                answer = self._dynamodb.query(
                    TableName=self._table,
                    KeyConditionExpression=condition,
                    ExpressionAttributeValues=typed(values),
                    ConsistentRead=True,
                    **start,
                )
            found += map(plain, answer["Items"])
            if "LastEvaluatedKey" not in answer:
                break
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}
        return found


def _endpoint(item: "Mapping[str, Any]") -> Endpoint:
    return Endpoint(
        id=item["endpoint_id"],
        account_id=item["account_id"],
        url=item["url"],
        events=frozenset(map(EventType, item["events"])),
        created_at=datetime.fromisoformat(item["created_at"]),
        updated_at=datetime.fromisoformat(item["updated_at"]),
        disabled_at=moment(item.get("disabled_at")),
    )


def _delivery(item: "Mapping[str, Any]") -> Delivery:
    return Delivery(
        id=item["sk"],
        account_id=item["account_id"],
        subject=item["pk"].removeprefix("deliveries#"),
        event_id=item["event_id"],
        event_type=EventType(item["event_type"]),
        url=item["url"],
        endpoint_id=item.get("endpoint_id"),
        status=DeliveryStatus(item["status"]),
        given_up=GivenUp(item["given_up"]) if "given_up" in item else None,
        created_at=datetime.fromisoformat(item["created_at"]),
        began_at=datetime.fromisoformat(item["began_at"]),
        made_before=int(item["made_before"]),
        made=int(item["made"]),
        attempts=tuple(_attempt(attempt) for attempt in item["attempts"]),
        next_attempt_at=moment(item.get("next_attempt_at")),
    )


def _attempt(item: "Mapping[str, Any]") -> DeliveryAttempt:
    status = item["status"]
    return DeliveryAttempt(
        at=datetime.fromisoformat(item["at"]),
        duration_ms=int(item["duration_ms"]),
        status=None if status is None else int(status),
        error=item["error"],
    )
