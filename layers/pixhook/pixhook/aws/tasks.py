"""TasksTable: one item per task. Every change of status is a conditional write.

A task begins and ends in a transaction with its account's balance, so that neither is ever true without the other.
"""

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Unpack
from uuid import uuid4

from botocore.exceptions import BotoCoreError, ClientError

from pixhook.aws.accounts import Ledger
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
from pixhook.errors import AccountInactive, InvalidRequest, OutOfCredits, TooManyTasks
from pixhook.lifecycle import GOING_ON, sources
from pixhook.model import (
    Attempt,
    ErrorCode,
    Failure,
    Image,
    ImageRequest,
    Json,
    Learnt,
    Movement,
    MovementKind,
    Page,
    Status,
    Task,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mypy_boto3_dynamodb import DynamoDBClient

_BUSY_SECONDS = 5
"""When to try again where too many tasks are under way: nobody knows, and images take longer than this."""


_LOOKS, _LOOK_AT_LEAST = 10, 100
"""How often, and from the second time on at how many tasks at least, a list is looked through for those that fit."""

_LARGEST_PAGE = 3_000_000
"""Characters of requests in a page, as JSON escapes them: Lambda answers with 6 MB at most."""

_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)
_MOMENT = timedelta(milliseconds=1)


class Tasks:
    """The tasks of all accounts."""

    def __init__(self, dynamodb: "DynamoDBClient", table: str, ledger: Ledger, retention: timedelta) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._ledger = ledger
        self._retention = retention

    def add(self, task: Task, *, tasks_in_flight: int) -> Task | None:
        """Writes a new task and takes its price, where its account has fewer than `tasks_in_flight` under way.

        None if that was done; else the task that is there under this id, and nothing was done.

        Raises:
            OutOfCredits, TooManyTasks, AccountInactive: the account does not have what it takes; nothing was done.
            StoreUnavailable: whether it was done is not known.
        """
        nonce = uuid4().hex  # by it the task is known as this call's, even if the answer to its writing is lost
        put = {
            "TableName": self._table,
            "Item": typed(self._item(task) | {"nonce": nonce}),
            "ConditionExpression": "attribute_not_exists(task_id)",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        taken = Movement(kind=MovementKind.RESERVE, credits=-task.credits, at=task.created_at, source=task.id)
        reserve = self._ledger.reserve(task.account_id, taken, tasks_in_flight=tasks_in_flight)
        with translated("write the task"):
            try:
                self._transact([{"Put": put}, *reserve])
            except (ClientError, BotoCoreError) as error:
                failed = failed_conditions(error) if isinstance(error, ClientError) else {}
                # What stands there decides: the answer may have been lost, or somebody else's writing of the same
                # task may have been under way, with the account already charged for it.
                found = failed.get(0) or self._item_of(task.id)
                if found:
                    return None if found["nonce"] == nonce else _task(found)
                if 1 in failed:
                    raise _not_reserved(failed[1], task.credits, tasks_in_flight) from None
                raise
        return None

    def _item(self, task: Task) -> "dict[str, Json]":
        return {
            "task_id": task.id,
            "account_id": task.account_id,
            "status": task.status,
            "model": task.request.model,
            "provider": task.provider,
            "native_model": task.native_model,
            "credits": task.credits,
            "request": _stored_request(task.request),
            "created_at": text(task.created_at),
            "updated_at": text(task.updated_at),
        }

    def get(self, task_id: str) -> Task | None:
        """The task as it is now: the read is consistent. Raises `StoreUnavailable`."""
        with translated("read the task"):
            item = self._item_of(task_id)
        return _task(item) if item else None

    def _item_of(self, task_id: str) -> "dict[str, Any]":
        answer = self._dynamodb.get_item(TableName=self._table, Key=typed({"task_id": task_id}), ConsistentRead=True)
        return plain(answer.get("Item", {}))

    def of_account(
        self,
        account_id: str,
        *,
        fits: "Callable[[Task], bool]",
        limit: int,
        cursor: str | None,
        after: datetime | None,
        before: datetime | None,
    ) -> Page[Task]:
        """The account's tasks that fit, the latest first, created from `after` on and before `before`.

        A task that is being made or changed this moment may be missing or be as it was. A page has fewer tasks than
        `limit` where so many were looked through that the rest is better asked for anew.

        Raises:
            InvalidRequest: it is not a cursor.
            StoreUnavailable: the tasks cannot be read now.
        """
        first, last = text(after or _EARLIEST), text((before or _LATEST) - _MOMENT)
        if first > last:
            return Page([], None)
        # A millisecond more than asked for: DynamoDB does not go on from a key that is a bound of its range.
        range_ = {":account": account_id, ":first": text((after or _EARLIEST) - _MOMENT), ":last": last}
        found: list[Task] = []
        size = 0
        key = _key_of(account_id, cursor, first, last) if cursor else None
        for look in range(_LOOKS):
            start: dict[str, Any] = {"ExclusiveStartKey": typed(key)} if key else {}
            with translated("list the tasks"):
                answer = self._dynamodb.query(
                    TableName=self._table,
                    IndexName="by_account",
                    KeyConditionExpression="account_id = :account AND created_at BETWEEN :first AND :last",
                    ExpressionAttributeValues=typed(range_),
                    ScanIndexForward=False,
                    Limit=max(limit, _LOOK_AT_LEAST) if look else limit,
                    **start,
                )
            for item in map(plain, answer["Items"]):
                task = _task(item)
                if item["created_at"] < first or not fits(task):
                    continue
                found.append(task)
                size += len(item["request"].encode("ascii", "backslashreplace"))
                if len(found) == limit or size > _LARGEST_PAGE:
                    return Page(found, _cursor(item["created_at"], task.id))
            if "LastEvaluatedKey" not in answer:
                return Page(found, None)
            key = plain(answer["LastEvaluatedKey"])
            if key["created_at"] < first:
                return Page(found, None)
        return Page(found, _cursor(key["created_at"], key["task_id"]) if key else None)

    def find(self, provider: str, ref: str) -> Task | None:
        """The task that the provider knows as `ref`; the index is a moment behind. Raises `StoreUnavailable`."""
        with translated("find the task"):
            answer = self._dynamodb.query(
                TableName=self._table,
                IndexName="by_upstream",
                KeyConditionExpression="upstream = :upstream",
                ExpressionAttributeValues=typed({":upstream": _upstream(provider, ref)}),
                Limit=1,
            )
        found = answer["Items"]
        return self.get(plain(found[0])["task_id"]) if found else None

    def move(self, task: Task, to: Status, now: datetime, **learnt: Unpack[Learnt]) -> Task | None:
        """The task after its move `to` another status; None where it no longer stood where it may move from.

        Raises:
            StoreUnavailable: whether it moved is not known.
        """
        return self._update(task.id, _moved(task, to, now, learnt), only_from=sources(to))

    def end(
        self,
        task: Task,
        to: Status,
        now: datetime,
        *,
        images: tuple[Image, ...] = (),
        failure: Failure | None = None,
        **learnt: Unpack[Learnt],
    ) -> Task | None:
        """The task after its end, its price settled or given back; None where it no longer stood where it may end so.

        Raises:
            StoreUnavailable: whether it ended is not known.
        """
        changes = _moved(task, to, now, learnt) | {
            "ended_at": text(now),
            # Not before its end: with a task that goes on, DynamoDB would delete what its account is owed.
            "expires_at": int((now + self._retention).timestamp()),
        }
        if images:
            changes["images"] = [asdict(image) for image in images]
        if failure is not None:
            changes["failure"] = _stored(failure)
        if to is Status.COMPLETED:
            movement = Movement(kind=MovementKind.SETTLE, credits=0, at=now, source=task.id)
        else:
            movement = Movement(kind=MovementKind.REFUND, credits=task.credits, at=now, source=task.id)
        update = {"Update": self._change(task.id, changes, only_from=sources(to))}
        with translated("end the task"):
            try:
                self._transact([update, *self._ledger.release(task.account_id, movement)])
            except ClientError as error:
                if 0 in failed_conditions(error):
                    return None
                raise
        return self.get(task.id)

    def reroute(self, task: Task, now: datetime) -> bool:
        """Notes that the task is now another provider's, while it is still queued; whether it was.

        Raises:
            StoreUnavailable: whether it was noted is not known.
        """
        changes = {
            "provider": task.provider,
            "native_model": task.native_model,
            "attempts": [_stored_attempt(attempt) for attempt in task.attempts],
            "updated_at": text(now),
        }
        return self._update(task.id, changes, only_from=frozenset({Status.QUEUED})) is not None

    def note(self, task: Task, now: datetime, **learnt: Unpack[Learnt]) -> Task | None:
        """The task with what was learnt of it; None where it stands elsewhere by now. Raises `StoreUnavailable`."""
        return self._update(task.id, _noted(task, now, learnt), only_from=frozenset({task.status}))

    def erase(self, task: Task, now: datetime) -> None:
        """Writes what is left of the task, which has ended. Raises `StoreUnavailable`: whether it was is not known."""
        changes: dict[str, Json] = {
            "request": _stored_request(task.request),
            "images": [asdict(image) for image in task.images],
            "attempts": [_stored_attempt(attempt) for attempt in task.attempts],
            "deleted_at": text(now),
            "updated_at": text(now),
        }
        if task.failure is not None:
            changes["failure"] = _stored(task.failure)
        self._update(task.id, changes, only_from=frozenset({task.status}))

    def mark_published(self, task: Task, now: datetime) -> None:
        """Notes that the task's event is out. Raises `StoreUnavailable`."""
        self._update(task.id, {"published_at": text(now)}, only_from=frozenset({task.status}))

    def _update(self, task_id: str, changes: "Mapping[str, Json]", only_from: frozenset[Status]) -> Task | None:
        change = self._change(task_id, changes, only_from)
        with translated("update the task"):
            try:
                answer = persistently(lambda: self._dynamodb.update_item(**change, ReturnValues="ALL_NEW"))
            except ClientError as error:
                if error_code(error) == CONDITION_FAILED:
                    return None
                raise
        return _task(plain(answer["Attributes"]))

    def _change(self, task_id: str, changes: "Mapping[str, Json]", only_from: frozenset[Status]) -> "dict[str, Any]":
        expected = {f":from_{status}": status for status in sorted(only_from)}
        values = {**{f":{name}": value for name, value in changes.items()}, **expected}
        return {
            "TableName": self._table,
            "Key": typed({"task_id": task_id}),
            "UpdateExpression": f"SET {', '.join(f'#{name} = :{name}' for name in changes)}",
            "ConditionExpression": f"#status IN ({', '.join(expected)})",
            "ExpressionAttributeNames": {f"#{name}": name for name in {*changes, "status"}},
            "ExpressionAttributeValues": typed(values),
        }

    def _transact(self, writes: "list[Any]") -> None:
        persistently(lambda: self._dynamodb.transact_write_items(TransactItems=writes))


def _cursor(created_at: str, task_id: str) -> str:
    return cursor_of(f"{created_at} {task_id}")


def _key_of(account_id: str, cursor: str, first: str, last: str) -> "dict[str, Any]":
    """Where in `by_account` a page of this range has ended. Raises `InvalidRequest`."""
    created_at, _, task_id = place_of(cursor).partition(" ")
    if not (first <= created_at <= last and task_id):
        raise InvalidRequest("cursor is not one of this list's.", field="cursor")
    return {"account_id": account_id, "created_at": created_at, "task_id": task_id}


def _moved(task: Task, to: Status, now: datetime, learnt: Learnt) -> "dict[str, Json]":
    changes = _noted(task, now, learnt) | {"status": to}
    if to in GOING_ON:
        changes[f"{to}_at"] = text(now)
    return changes


def _noted(task: Task, now: datetime, learnt: Learnt) -> "dict[str, Json]":
    changes: dict[str, Json] = {"updated_at": text(now)}
    for name, value in learnt.items():
        if value is not None:
            changes[name] = text(value) if isinstance(value, datetime) else value
    if "ref" in changes:
        changes["upstream"] = _upstream(task.provider, changes["ref"])
    return changes


def _not_reserved(account: "Mapping[str, Any]", price: int, tasks_in_flight: int) -> Exception:
    """Why an account, as it is, was not charged."""
    if not account or "deleted_at" in account:
        return AccountInactive("The account is closed.")
    if "suspended_at" in account:
        return AccountInactive("The account is suspended.")
    balance = int(account["balance"])
    if balance < price:
        return OutOfCredits(f"It costs {price} credits; the account has {balance}.", required=price, balance=balance)
    message = f"{tasks_in_flight} tasks under way are all that the plan has."
    return TooManyTasks(message, retry_after=_BUSY_SECONDS)


def _upstream(provider: str, ref: str) -> str:
    return f"{provider}#{ref}"


def _task(item: "Mapping[str, Any]") -> Task:
    request = json.loads(item["request"])
    return Task(
        id=item["task_id"],
        account_id=item["account_id"],
        status=Status(item["status"]),
        request=ImageRequest(**{**request, "images": tuple(request["images"])}),
        provider=item["provider"],
        native_model=item["native_model"],
        credits=int(item["credits"]),
        created_at=datetime.fromisoformat(item["created_at"]),
        updated_at=datetime.fromisoformat(item["updated_at"]),
        ref=item.get("ref"),
        attempts=tuple(_attempt(attempt) for attempt in item.get("attempts", ())),
        images=tuple(_image(image) for image in item.get("images", ())),
        failure=_failure(item["failure"]) if "failure" in item else None,
        native_charge=item.get("native_charge"),
        progress=int(item["progress"]) if "progress" in item else None,
        estimated_end_at=moment(item.get("estimated_end_at")),
        processing_at=moment(item.get("processing_at")),
        storing_at=moment(item.get("storing_at")),
        ended_at=moment(item.get("ended_at")),
        published_at=moment(item.get("published_at")),
        deleted_at=moment(item.get("deleted_at")),
    )


def _image(item: "Mapping[str, Any]") -> Image:
    numbers = {name: int(item[name]) for name in ("size", "width", "height")}
    return Image(**{**item, **numbers})


def _stored_request(request: ImageRequest) -> str:
    """As text: metadata and options come back exactly as they came, floats and all."""
    return json.dumps(asdict(request), separators=(",", ":"), ensure_ascii=False)


def _stored_attempt(attempt: Attempt) -> "dict[str, Json]":
    return {"provider": attempt.provider, "failure": _stored(attempt.failure)}


def _stored(failure: Failure) -> "dict[str, str]":
    return {name: text for name, text in asdict(failure).items() if text is not None}


def _attempt(item: "Mapping[str, Any]") -> Attempt:
    return Attempt(provider=item["provider"], failure=_failure(item["failure"]))


def _failure(item: "Mapping[str, Any]") -> Failure:
    return Failure(**{**item, "code": ErrorCode(item["code"])})
