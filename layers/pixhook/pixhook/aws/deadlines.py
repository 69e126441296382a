"""DeadlineQueue: a message per task, which comes when the task ought to have ended."""

import json
from typing import TYPE_CHECKING

from pixhook.aws.clients import translated

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

LONGEST_DELAY_SECONDS = 900
"""SQS's own limit; whoever gets the message before its time puts it back."""


class Deadlines:
    """Puts and reads deadlines."""

    def __init__(self, sqs: "SQSClient", queue_url: str) -> None:
        self._sqs = sqs
        self._queue_url = queue_url

    def put(self, task_id: str, seconds: float) -> None:
        """Has the task looked at in so many seconds, or as many as SQS takes. Raises `StoreUnavailable`."""
        with translated("set the deadline"):
            self._sqs.send_message(
                QueueUrl=self._queue_url,
                MessageBody=json.dumps({"task_id": task_id}),
                DelaySeconds=min(max(1, round(seconds)), LONGEST_DELAY_SECONDS),
            )
