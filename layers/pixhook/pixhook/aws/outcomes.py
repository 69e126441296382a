"""FinishQueue: outcomes on their way to `finish`, one message each.

A message's group is its task, so that what is said of one task is read in order and one task's trouble holds up
no other; its deduplication id is a digest of what it says, so that a callback that comes twice is one message.
An outcome too big for a message waits in S3 and the message says where (claim check).
"""

import json
from hashlib import sha256
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from pixhook.aws.clients import translated
from pixhook.model import OutcomeMessage

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

MAX_INLINE_BYTES = 200 * 1024
"""Below SQS's limit: 1 MiB on AWS since 2025, 256 KiB before and elsewhere."""

PREFIX = "outcomes/"
"""Of the objects that hold what is too big for a message; the template deletes them after a while."""

_message = TypeAdapter(OutcomeMessage)


def _hint_group(message: OutcomeMessage) -> str:
    """A digest, because a group's name admits neither every character nor every length of a provider's ids."""
    return f"hint_{sha256(f'{message.provider}#{message.outcome.ref}'.encode()).hexdigest()}"


class Outcomes:
    """Sends and reads outcomes."""

    def __init__(self, sqs: "SQSClient", s3: "Callable[[], S3Client]", queue_url: str, bucket: str) -> None:
        """S3's client is made when it is needed, which is seldom."""
        self._sqs = sqs
        self._s3 = s3
        self._queue_url = queue_url
        self._bucket = bucket

    def send(self, message: OutcomeMessage) -> None:
        """Makes the outcome durable. Raises `StoreUnavailable`: it may be durable or not."""
        body = _message.dump_json(message, exclude_defaults=True, ensure_ascii=True)
        digest = sha256(body).hexdigest()
        group = message.task_id or _hint_group(message)
        with translated("send the outcome"):
            if len(body) > MAX_INLINE_BYTES:
                key = f"{PREFIX}{group}/{digest}.json"
                self._s3().put_object(Bucket=self._bucket, Key=key, Body=body, ContentType="application/json")
                body = json.dumps({"claim": key}).encode()
            self._sqs.send_message(
                QueueUrl=self._queue_url,
                MessageBody=body.decode(),
                MessageGroupId=group,
                MessageDeduplicationId=digest,
            )

    def keep(self, task_id: str, body: bytes) -> str:
        """Keeps a callback that was not understood, for whoever looks into it; its key. Raises `StoreUnavailable`."""
        key = f"{PREFIX}{task_id}/callback-{sha256(body).hexdigest()}"
        with translated("keep the callback"):
            self._s3().put_object(Bucket=self._bucket, Key=key, Body=body)
        return key

    def read(self, body: str) -> OutcomeMessage:
        """The outcome in a message's body, or where that points to. Raises `StoreUnavailable`."""
        claim = json.loads(body).get("claim")
        if claim is None:
            return _message.validate_json(body)
        with translated("read the outcome"):
            stored = self._s3().get_object(Bucket=self._bucket, Key=claim)["Body"].read()
        return _message.validate_json(stored)

    def delay(self, receipt_handle: str, seconds: int) -> None:
        """Has a message that could not be finished come back after `seconds`. Raises `StoreUnavailable`."""
        with translated("delay the outcome"):
            self._sqs.change_message_visibility(
                QueueUrl=self._queue_url, ReceiptHandle=receipt_handle, VisibilityTimeout=seconds
            )
