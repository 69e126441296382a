"""AccountsTable: accounts with their ledgers, API keys by SHA-256, rate windows, and what operators did.

| `pk` | `sk` | |
|---|---|---|
| `account#<id>` | `account` | the account: plan, balance, tasks in flight |
| `account#<id>` | `key#<key id>` | one of its API keys |
| `account#<id>` | `movement#<moment>#<source>#<kind>` | one line of its ledger; the balance is their sum |
| `key#<sha256>` | `key` | whose key it is |
| `rate#<id>#<seconds>#<end>` | `rate` | how many requests were made in a window; forgotten after it |
| `request#<id>` | `request` | what an operator's request came to; a second one with this id comes to the same |
| `audit#<month>` | `<moment>#<request id>` | the audit log |

A key itself is never stored. Whatever changes a balance writes its movement in the same transaction.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pixhook.aws.clients import error_code, translated
from pixhook.aws.dynamodb import (
    CONDITION_FAILED,
    cursor_of,
    failed_conditions,
    moment,
    persistently,
    place_of,
    plain,
    text,
    typed,
)
from pixhook.errors import AlreadyDone, InvalidRequest, NotFound, StoreUnavailable
from pixhook.model import Account, AdminRequest, ApiKey, Json, Movement, MovementKind, Page, Scope, Window
from pixhook.plans import Limits

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

type Write = Any
"""One write of a transaction, as DynamoDB takes it."""

_IF_NEW = {"ConditionExpression": "attribute_not_exists(pk)"}

_IS_OPEN = "attribute_exists(pk) AND attribute_not_exists(deleted_at)"

_RATE_KEPT_SECONDS = 3600
"""After its window, so that no clock that is late writes to one that has expired."""


class Ledger:
    """The writes that keep balances: parts of the transactions in which tasks begin and end."""

    def __init__(self, table: str) -> None:
        self._table = table

    def reserve(self, account_id: str, movement: Movement, *, tasks_in_flight: int) -> list[Write]:
        """Takes the price of one more task; on the condition that the account has it and may have another task."""
        change = {
            "UpdateExpression": "SET balance = balance + :credits, tasks_in_flight = tasks_in_flight + :one",
            "ConditionExpression": f"{_IS_OPEN} AND attribute_not_exists(suspended_at) "
            "AND balance >= :price AND tasks_in_flight < :most",
            "ExpressionAttributeValues": typed(
                {":credits": movement.credits, ":price": -movement.credits, ":one": 1, ":most": tasks_in_flight}
            ),
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        return self._move(account_id, movement, change)

    def release(self, account_id: str, movement: Movement) -> list[Write]:
        """Settles or refunds one task; whatever has become of the account."""
        change = {
            "UpdateExpression": "SET balance = balance + :credits, tasks_in_flight = tasks_in_flight - :one",
            "ConditionExpression": "attribute_exists(pk)",
            "ExpressionAttributeValues": typed({":credits": movement.credits, ":one": 1}),
        }
        return self._move(account_id, movement, change)

    def change(self, account_id: str, movement: Movement) -> list[Write]:
        """Grants or adjusts; on the condition that the account is there and its balance does not become negative."""
        change = {
            "UpdateExpression": "SET balance = balance + :credits",
            "ConditionExpression": f"{_IS_OPEN} AND balance >= :least",
            "ExpressionAttributeValues": typed({":credits": movement.credits, ":least": max(0, -movement.credits)}),
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        return self._move(account_id, movement, change)

    def _move(self, account_id: str, movement: Movement, change: Mapping[str, Any]) -> list[Write]:
        """The change of the account, and the line of its ledger that says why."""
        at = text(movement.at)
        line = {
            "pk": f"account#{account_id}",
            "sk": f"movement#{at}#{movement.source}#{movement.kind}",
            "kind": movement.kind,
            "credits": movement.credits,
            "at": at,
            "source": movement.source,
            "note": movement.note,
        }
        return [
            {"Update": {"TableName": self._table, "Key": _account_key(account_id), **change}},
            {"Put": {"TableName": self._table, "Item": typed(line)}},
        ]


class Accounts:
    """The accounts, their keys and their limits."""

    def __init__(self, dynamodb: "DynamoDBClient", table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._ledger = Ledger(table)

    # For every request

    def holder(self, key_sha256: str) -> tuple[ApiKey, Account] | None:
        """The key and its account; None where there is no such key. Raises `StoreUnavailable`."""
        with translated("read the API key"):
            pointer = self._get(f"key#{key_sha256}", "key")
            if not pointer:
                return None
            account_id, key_id = pointer["account_id"], pointer["key_id"]
            keys = [_account_key(account_id), _api_key_key(account_id, key_id)]
            answer = self._dynamodb.batch_get_item(RequestItems={self._table: {"Keys": keys, "ConsistentRead": True}})
        found = {item["sk"]: item for item in map(plain, answer["Responses"].get(self._table, []))}
        if len(found) < len(keys):  # they are written with the pointer and never deleted
            raise StoreUnavailable("read the API key: UnprocessedKeys")
        return _api_key(account_id, found[f"key#{key_id}"]), _account(account_id, found["account"])

    def mark_used(self, key: ApiKey, now: datetime) -> None:
        """Notes that the key was used. Raises `StoreUnavailable`."""
        with translated("mark the API key as used"):
            self._dynamodb.update_item(
                TableName=self._table,
                Key=_api_key_key(key.account_id, key.id),
                UpdateExpression="SET last_used_at = :now",
                ExpressionAttributeValues=typed({":now": text(now)}),
            )

    def count(self, account_id: str, limits: Limits, now: datetime) -> Window | None:
        """The account's window with one request more; None where it was full. Raises `StoreUnavailable`."""
        end = limits.window_end(now)
        with translated("count the request"):
            try:
                answer = self._dynamodb.update_item(
                    TableName=self._table,
                    Key=_rate_key(account_id, limits, end),
                    UpdateExpression="ADD used :one SET #ttl = :ttl",
                    ConditionExpression="attribute_not_exists(used) OR used < :most",
                    ExpressionAttributeNames={"#ttl": "ttl"},
                    ExpressionAttributeValues=typed(
                        {":one": 1, ":most": limits.requests, ":ttl": end + _RATE_KEPT_SECONDS}
                    ),
                    ReturnValues="UPDATED_NEW",
                )
            except ClientError as error:
                if error_code(error) == CONDITION_FAILED:
                    return None
                raise
        return Window(limit=limits.requests, used=int(plain(answer["Attributes"])["used"]), resets_at=end)

    def window(self, account_id: str, limits: Limits, now: datetime) -> Window:
        """The account's window, give or take what was counted this very moment. Raises `StoreUnavailable`."""
        end = limits.window_end(now)
        with translated("read the count of requests"):
            answer = self._dynamodb.get_item(TableName=self._table, Key=_rate_key(account_id, limits, end))
        used = int(plain(answer.get("Item", {})).get("used", 0))
        return Window(limit=limits.requests, used=used, resets_at=end)

    # For clients

    def get(self, account_id: str) -> Account | None:
        """The account, as it is now. Raises `StoreUnavailable`."""
        with translated("read the account"):
            item = self._get(f"account#{account_id}", "account")
        return _account(account_id, item) if item else None

    def movements(self, account_id: str, *, limit: int, cursor: str | None) -> Page[Movement]:
        """The account's ledger, the latest first. Raises `StoreUnavailable`."""
        items, following = self._list(f"account#{account_id}", "movement#", limit=limit, before=cursor)
        return Page([_movement(item) for item in items], following)

    # For operators: each of the writes is made together with the request that it is for

    def request(self, request_id: str) -> AdminRequest | None:
        """An operator's earlier request. Raises `StoreUnavailable`."""
        with translated("read the request"):
            item = self._get(f"request#{request_id}", "request")
        return _admin_request(item) if item else None

    def add(self, account: Account, request: AdminRequest) -> None:
        """Writes a new account. Raises `StoreUnavailable`."""
        item = {
            "pk": f"account#{account.id}",
            "sk": "account",
            "name": account.name,
            "plan": account.plan,
            "overrides": dict(account.overrides),
            "balance": account.balance,
            "tasks_in_flight": account.tasks_in_flight,
            "created_at": text(account.created_at),
        }
        self._do(request, [{"Put": {"TableName": self._table, "Item": typed(item), **_IF_NEW}}])

    def set_plan(self, account_id: str, plan: str, overrides: Mapping[str, int], request: AdminRequest) -> None:
        """Gives the account other limits. Raises `NotFound`, `StoreUnavailable`."""
        self._change(
            account_id, request, "SET #plan = :plan, overrides = :overrides", plan=plan, overrides=dict(overrides)
        )

    def suspend(self, account_id: str, request: AdminRequest) -> None:
        """Lets the account buy nothing until it is resumed. Raises `NotFound`, `StoreUnavailable`."""
        self._change(account_id, request, "SET suspended_at = if_not_exists(suspended_at, :at)", at=text(request.at))

    def resume(self, account_id: str, request: AdminRequest) -> None:
        """Ends the account's suspension. Raises `NotFound`, `StoreUnavailable`."""
        self._change(account_id, request, "REMOVE suspended_at")

    def delete(self, account_id: str, request: AdminRequest) -> None:
        """Closes the account, and with it all its keys; its ledger stays. Raises `NotFound`, `StoreUnavailable`."""
        self._change(account_id, request, "SET deleted_at = :at", at=text(request.at))

    def move_credits(self, account_id: str, movement: Movement, request: AdminRequest) -> None:
        """Grants or adjusts.

        Raises:
            InvalidRequest: the balance would become negative.
            NotFound, StoreUnavailable.
        """
        self._do(request, self._ledger.change(account_id, movement), f"account {account_id!r}")

    def remember(self, request: AdminRequest) -> None:
        """Writes down what was done elsewhere. Raises `StoreUnavailable`."""
        self._do(request, [])

    def add_key(self, key: ApiKey, key_sha256: str, request: AdminRequest) -> None:
        """Writes a new key of an account. Raises `NotFound`, `StoreUnavailable`."""
        check = {
            "TableName": self._table,
            "Key": _account_key(key.account_id),
            "ConditionExpression": _IS_OPEN,
        }
        item = {
            "pk": f"account#{key.account_id}",
            "sk": f"key#{key.id}",
            "key_id": key.id,
            "name": key.name,
            "prefix": key.prefix,
            "scopes": sorted(key.scopes),
            "created_at": text(key.created_at),
            "expires_at": key.expires_at and text(key.expires_at),
        }
        pointer = {"pk": f"key#{key_sha256}", "sk": "key", "account_id": key.account_id, "key_id": key.id}
        puts = [{"Put": {"TableName": self._table, "Item": typed(new), **_IF_NEW}} for new in (item, pointer)]
        self._do(request, [{"ConditionCheck": check}, *puts], f"account {key.account_id!r}")

    def keys(self, account_id: str, *, limit: int, cursor: str | None) -> Page[ApiKey]:
        """The account's keys, revoked ones too, the latest first. Raises `StoreUnavailable`."""
        items, following = self._list(f"account#{account_id}", "key#", limit=limit, before=cursor)
        return Page([_api_key(account_id, item) for item in items], following)

    def revoke_key(self, account_id: str, key_id: str, request: AdminRequest) -> None:
        """Ends a key; a second time changes nothing. Raises `NotFound`, `StoreUnavailable`."""
        change = {
            "TableName": self._table,
            "Key": _api_key_key(account_id, key_id),
            "UpdateExpression": "SET revoked_at = if_not_exists(revoked_at, :now)",
            "ConditionExpression": "attribute_exists(pk)",
            "ExpressionAttributeValues": typed({":now": text(request.at)}),
        }
        self._do(request, [{"Update": change}], f"key {key_id!r} of account {account_id!r}")

    def audit_log(self, month: str, *, limit: int, cursor: str | None) -> Page[AdminRequest]:
        """What operators did in a month, such as `2026-03`, the latest first. Raises `StoreUnavailable`."""
        items, following = self._list(f"audit#{month}", "", limit=limit, before=cursor)
        return Page([_admin_request(item) for item in items], following)

    def _change(self, account_id: str, request: AdminRequest, expression: str, **values: Json) -> None:
        change = {
            "TableName": self._table,
            "Key": _account_key(account_id),
            "UpdateExpression": expression,
            "ConditionExpression": _IS_OPEN,
            **({"ExpressionAttributeNames": {"#plan": "plan"}} if "plan" in values else {}),
            **({"ExpressionAttributeValues": typed({f":{name}": values[name] for name in values})} if values else {}),
        }
        self._do(request, [{"Update": change}], f"account {account_id!r}")

    def _do(self, request: AdminRequest, writes: list[Write], of: str = "") -> None:
        """Makes the writes and remembers the request: all or nothing. The first of them may depend on `of`.

        Raises:
            AlreadyDone: the request is remembered already.
        """
        entry = {
            "request_id": request.id,
            "at": text(request.at),
            "action": json.dumps(request.action),
            "result": json.dumps(request.result),
        }
        places = (
            {"pk": f"request#{request.id}", "sk": "request"},
            {"pk": f"audit#{request.at:%Y-%m}", "sk": f"{text(request.at)}#{request.id}"},
        )
        remembered: list[Write] = [
            {"Put": {"TableName": self._table, "Item": typed(entry | place), **_IF_NEW}} for place in places
        ]
        with translated("do what the operator asked for"):
            try:
                persistently(lambda: self._dynamodb.transact_write_items(TransactItems=[*writes, *remembered]))
            except ClientError as error:
                failed = failed_conditions(error)
                if any(number >= len(writes) for number in failed):
                    raise AlreadyDone(request.id) from None
                if failed.get(0) and "deleted_at" not in failed[0]:
                    message = f"credits: the balance is {failed[0]['balance']}, and never negative"
                    raise InvalidRequest(message, field="credits") from None
                if 0 in failed and of:
                    raise NotFound(f"There is no {of}.") from None
                raise

    def _get(self, pk: str, sk: str) -> dict[str, Any]:
        answer = self._dynamodb.get_item(TableName=self._table, Key=typed({"pk": pk, "sk": sk}), ConsistentRead=True)
        return plain(answer.get("Item", {}))

    def _list(self, pk: str, prefix: str, *, limit: int, before: str | None) -> tuple[list[dict[str, Any]], str | None]:
        """Items of `pk`, the last first, from behind `before`; and the cursor for those that follow."""
        values = {":pk": pk, ":prefix": prefix}
        condition = "pk = :pk AND begins_with(sk, :prefix)" if prefix else "pk = :pk"
        start: dict[str, Any] = (
            {"ExclusiveStartKey": typed({"pk": pk, "sk": f"{prefix}{place_of(before)}"})} if before else {}
        )
        with translated("list"):
            answer = self._dynamodb.query(
                TableName=self._table,
                KeyConditionExpression=condition,
                ExpressionAttributeValues=typed({name: value for name, value in values.items() if value}),
                ScanIndexForward=False,
                ConsistentRead=True,
                Limit=limit,
                **start,
            )
        last = plain(answer.get("LastEvaluatedKey", {})).get("sk")
        return [plain(item) for item in answer["Items"]], last and cursor_of(last.removeprefix(prefix))


def _account_key(account_id: str) -> dict[str, Any]:
    return typed({"pk": f"account#{account_id}", "sk": "account"})


def _api_key_key(account_id: str, key_id: str) -> dict[str, Any]:
    return typed({"pk": f"account#{account_id}", "sk": f"key#{key_id}"})


def _rate_key(account_id: str, limits: Limits, end: int) -> dict[str, Any]:
    return typed({"pk": f"rate#{account_id}#{limits.window_seconds}#{end}", "sk": "rate"})


def _account(account_id: str, item: Mapping[str, Any]) -> Account:
    return Account(
        id=account_id,
        name=item["name"],
        plan=item["plan"],
        overrides={name: int(number) for name, number in item["overrides"].items()},
        balance=int(item["balance"]),
        tasks_in_flight=int(item["tasks_in_flight"]),
        created_at=datetime.fromisoformat(item["created_at"]),
        suspended_at=moment(item.get("suspended_at")),
        deleted_at=moment(item.get("deleted_at")),
    )


def _api_key(account_id: str, item: Mapping[str, Any]) -> ApiKey:
    return ApiKey(
        id=item["key_id"],
        account_id=account_id,
        name=item["name"],
        prefix=item["prefix"],
        scopes=frozenset(map(Scope, item["scopes"])),
        created_at=datetime.fromisoformat(item["created_at"]),
        expires_at=moment(item.get("expires_at")),
        revoked_at=moment(item.get("revoked_at")),
        last_used_at=moment(item.get("last_used_at")),
    )


def _movement(item: Mapping[str, Any]) -> Movement:
    return Movement(
        kind=MovementKind(item["kind"]),
        credits=int(item["credits"]),
        at=datetime.fromisoformat(item["at"]),
        source=item["source"],
        note=item.get("note"),
    )


def _admin_request(item: Mapping[str, Any]) -> AdminRequest:
    return AdminRequest(
        id=item["request_id"],
        action=json.loads(item["action"]),
        result=json.loads(item["result"]),
        at=datetime.fromisoformat(item["at"]),
    )
