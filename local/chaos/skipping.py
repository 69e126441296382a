"""Time that nobody waits for: deadlines are minutes and hours away, and a campaign has less.

The tasks that go on are made older, and the messages on the queues of a stopped MiniStack nearer: the very messages
that would have come then come when it starts again. What MiniStack of the locked version writes into its file of queues
is known here and nowhere else.
"""

import json
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

from local.stack import StackInfo
from pixhook.aws.dynamodb import text
from pixhook.model import Task


def make_older(info: StackInfo, tasks: Iterable[Task], seconds: float) -> None:
    """Moves the tasks' beginnings and latest changes back."""
    dynamodb = info.client("dynamodb")
    back = timedelta(seconds=seconds)
    for task in tasks:
        dynamodb.update_item(
            TableName=info.tasks_table,
            Key={"task_id": {"S": task.id}},
            UpdateExpression="SET created_at = :created_at, updated_at = :updated_at",
            ExpressionAttributeValues={
                ":created_at": {"S": text(task.created_at - back)},
                ":updated_at": {"S": text(task.updated_at - back)},
            },
        )


def bring_messages_nearer(state: Path, seconds: float) -> None:
    """Has the messages of a stopped MiniStack become visible so much earlier, and be forgotten as repeats."""
    file = state / "sqs.json"
    document = json.loads(file.read_text())
    for queue in document["payload"]["queues"]["data"].values():
        _move(queue, seconds)
    file.write_text(json.dumps(document))


def _move(queue: dict[str, Any], seconds: float) -> None:
    for message in queue["messages"]:
        message["visible_at"] -= seconds
    for seen in queue["dedup_cache"].values():
        seen["expire"] -= seconds
