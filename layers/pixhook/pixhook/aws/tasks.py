"""TasksTable: one item per task. Every change of status is a conditional write."""

import json
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from pixhook.aws.clients import CONDITION_FAILED, error_code, translated
from pixhook.lifecycle import is_terminal, sources
from pixhook.model import Attempt, ErrorCode, Failure, Image, ImageRequest, Json, Status, Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_dynamodb import DynamoDBClient

_to_dynamodb = TypeSerializer().serialize
_from_dynamodb = TypeDeserializer().deserialize


class Tasks:
    """The tasks of all accounts."""

    def __init__(self, dynamodb: "DynamoDBClient", table: str, retention: timedelta) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._retention = retention

    def add(self, task: Task) -> None:
        """Writes a new task. Raises `StoreUnavailable`; an id that exists is never overwritten."""
        with translated("write the task"):
            try:
                self._put(task)
            except ClientError as error:
                if error_code(error) != CONDITION_FAILED or not self._is_same(task):
                    raise

    def _is_same(self, task: Task) -> bool:
        """Whether it is this very task that is there: written by an earlier try of the SDK's, whose answer was lost."""
        found = self.get(task.id)
        return found is not None and found.account_id == task.account_id

    def _put(self, task: Task) -> None:
        self._dynamodb.put_item(
            TableName=self._table,
            Item=_typed(
                {
                    "task_id": task.id,
                    "account_id": task.account_id,
                    "status": task.status,
                    "model": task.request.model,
                    "provider": task.provider,
                    "native_model": task.native_model,
                    # As text: metadata and options come back exactly as they came, floats and all.
                    "request": json.dumps(asdict(task.request), separators=(",", ":"), ensure_ascii=False),
                    "created_at": _text(task.created_at),
                    "updated_at": _text(task.updated_at),
                    "expires_at": int((task.created_at + self._retention).timestamp()),
                }
            ),
            ConditionExpression="attribute_not_exists(task_id)",
        )

    def get(self, task_id: str) -> Task | None:
        """The task as it is now: the read is consistent. Raises `StoreUnavailable`."""
        with translated("read the task"):
            answer = self._dynamodb.get_item(
                TableName=self._table, Key=_typed({"task_id": task_id}), ConsistentRead=True
            )
        return _task(answer["Item"]) if "Item" in answer else None

    def find(self, provider: str, ref: str) -> Task | None:
        """The task that the provider knows as `ref`; the index is a moment behind. Raises `StoreUnavailable`."""
        with translated("find the task"):
            answer = self._dynamodb.query(
                TableName=self._table,
                IndexName="by_upstream",
                KeyConditionExpression="upstream = :upstream",
                ExpressionAttributeValues=_typed({":upstream": _upstream(provider, ref)}),
                Limit=1,
            )
        found = answer["Items"]
        return self.get(_from_dynamodb(found[0]["task_id"])) if found else None

    def move(
        self,
        task: Task,
        to: Status,
        now: datetime,
        *,
        ref: str | None = None,
        native_charge: str | None = None,
        images: tuple[Image, ...] = (),
        failure: Failure | None = None,
    ) -> Task | None:
        """The task after its move `to` another status; None where it no longer stood where it may move from.

        Raises:
            StoreUnavailable: whether it moved is not known.
        """
        changes: dict[str, Json] = {"status": to, "updated_at": _text(now)}
        if is_terminal(to):
            changes["ended_at"] = _text(now)
        if ref is not None:
            changes |= {"ref": ref, "upstream": _upstream(task.provider, ref)}
        if native_charge is not None:
            changes["native_charge"] = native_charge
        if images:
            changes["images"] = [asdict(image) for image in images]
        if failure is not None:
            changes["failure"] = _stored(failure)
        return self._update(task.id, changes, only_from=sources(to))

    def reroute(self, task: Task, now: datetime) -> bool:
        """Notes that the task is now another provider's, while it is still queued; whether it was.

        Raises:
            StoreUnavailable: whether it was noted is not known.
        """
        changes = {
            "provider": task.provider,
            "native_model": task.native_model,
            "attempts": [
                {"provider": attempt.provider, "failure": _stored(attempt.failure)} for attempt in task.attempts
            ],
            "updated_at": _text(now),
        }
        return self._update(task.id, changes, only_from=frozenset({Status.QUEUED})) is not None

    def mark_published(self, task: Task, now: datetime) -> None:
        """Notes that the task's event is out. Raises `StoreUnavailable`."""
        self._update(task.id, {"published_at": _text(now)}, only_from=frozenset({task.status}))

    def _update(self, task_id: str, changes: "Mapping[str, Json]", only_from: frozenset[Status]) -> Task | None:
        assignments = ", ".join(f"#{name} = :{name}" for name in changes)
        expected = {f":from_{status}": status for status in sorted(only_from)}
        with translated("update the task"):
            try:
                answer = self._dynamodb.update_item(
                    TableName=self._table,
                    Key=_typed({"task_id": task_id}),
                    UpdateExpression=f"SET {assignments}",
                    ConditionExpression=f"#status IN ({', '.join(expected)})",
                    ExpressionAttributeNames={f"#{name}": name for name in {*changes, "status"}},
                    ExpressionAttributeValues=_typed(
                        {**{f":{name}": value for name, value in changes.items()}, **expected}
                    ),
                    ReturnValues="ALL_NEW",
                )
            except ClientError as error:
                if error_code(error) == CONDITION_FAILED:
                    return None
                raise
        return _task(answer["Attributes"])


def _upstream(provider: str, ref: str) -> str:
    return f"{provider}#{ref}"


def _typed(item: "Mapping[str, Json]") -> dict[str, Any]:
    return {name: _to_dynamodb(value) for name, value in item.items()}


def _task(typed: "Mapping[str, Any]") -> Task:
    item = {name: _from_dynamodb(value) for name, value in typed.items()}
    request = json.loads(item["request"])
    return Task(
        id=item["task_id"],
        account_id=item["account_id"],
        status=Status(item["status"]),
        request=ImageRequest(**{**request, "images": tuple(request["images"])}),
        provider=item["provider"],
        native_model=item["native_model"],
        created_at=datetime.fromisoformat(item["created_at"]),
        updated_at=datetime.fromisoformat(item["updated_at"]),
        ref=item.get("ref"),
        attempts=tuple(_attempt(attempt) for attempt in item.get("attempts", ())),
        images=tuple(_image(image) for image in item.get("images", ())),
        failure=_failure(item["failure"]) if "failure" in item else None,
        native_charge=item.get("native_charge"),
        ended_at=_moment(item.get("ended_at")),
        published_at=_moment(item.get("published_at")),
    )


def _image(item: "Mapping[str, Any]") -> Image:
    numbers = {name: int(item[name]) for name in ("size", "width", "height")}
    return Image(**{**item, **numbers})


def _stored(failure: Failure) -> "dict[str, str]":
    return {name: text for name, text in asdict(failure).items() if text is not None}


def _attempt(item: "Mapping[str, Any]") -> Attempt:
    return Attempt(provider=item["provider"], failure=_failure(item["failure"]))


def _failure(item: "Mapping[str, Any]") -> Failure:
    return Failure(**{**item, "code": ErrorCode(item["code"])})


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
