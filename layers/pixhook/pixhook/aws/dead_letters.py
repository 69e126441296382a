"""The dead-letter queues: messages that were tried as often as they may be, or could not be handled.

A queue is looked through by receiving from it. What is received is hidden meanwhile, and seen again afterwards.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pixhook.aws.clients import translated
from pixhook.model import DeadLetter, Json

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

HIDDEN_SECONDS = 30
"""Longer than it takes to look a queue through; if the process dies meanwhile, the messages come back after it."""

MOST_LETTERS = 500
"""That are looked at in one go."""


class DeadLetters:
    """The dead letters of all queues."""

    def __init__(self, sqs: "SQSClient", queues: Mapping[str, tuple[str, str]]) -> None:
        """`queues` are by their names: the dead letters' URL, and that of the queue that they come from."""
        self._sqs = sqs
        self._queues = queues

    def look(self, queue: str, concerns: Callable[[DeadLetter], bool]) -> list[DeadLetter]:
        """The letters that fit, each of which stays. Raises `StoreUnavailable`."""
        with translated("look at the dead letters"), self._received(queue) as messages:
            return [letter for letter in map(_letter, messages) if concerns(letter)]

    def redrive(self, queue: str, concerns: Callable[[DeadLetter], bool]) -> int:
        """Has the letters that fit handled anew; how many. Raises `StoreUnavailable`: some may be so twice."""
        return self._take(queue, concerns, then=self._send_back)

    def drop(self, queue: str, concerns: Callable[[DeadLetter], bool]) -> int:
        """Deletes the letters that fit; how many. Raises `StoreUnavailable`: some may be deleted."""
        return self._take(queue, concerns, then=lambda *_: None)

    def _take(self, queue: str, concerns: Callable[[DeadLetter], bool], *, then: Callable[[str, Any], None]) -> int:
        taken = 0
        with translated("take the dead letters"), self._received(queue) as messages:
            for message in [message for message in messages if concerns(_letter(message))]:
                then(queue, message)
                self._sqs.delete_message(QueueUrl=self._queues[queue][0], ReceiptHandle=message["ReceiptHandle"])
                messages.remove(message)
                taken += 1
        return taken

    def _send_back(self, queue: str, message: Any) -> None:
        source = self._queues[queue][1]
        group = message["Attributes"].get("MessageGroupId")
        fifo: dict[str, Any] = {"MessageGroupId": group, "MessageDeduplicationId": uuid4().hex} if group else {}
        self._sqs.send_message(QueueUrl=source, MessageBody=message["Body"], **fifo)

    @contextmanager
    def _received(self, queue: str) -> Iterator[list[Any]]:
        """All messages there are, hidden while the context lasts; those that are still in the list come back."""
        url = self._queues[queue][0]
        messages: list[Any] = []
        while len(messages) < MOST_LETTERS:
            answer = self._sqs.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=10,
                VisibilityTimeout=HIDDEN_SECONDS,
                MessageSystemAttributeNames=["All"],
            )
            if not answer.get("Messages"):
                break
            messages += answer["Messages"]
        try:
            yield messages
        finally:
            for message in messages:
                self._sqs.change_message_visibility(
                    QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
                )


def _letter(message: Any) -> DeadLetter:
    body = message["Body"]
    return DeadLetter(
        id=message["MessageId"],
        body=body,
        sent_at=int(message["Attributes"]["SentTimestamp"]),
        task_id=message["Attributes"].get("MessageGroupId") if _is_task(message) else _task_in(body),
    )


def _is_task(message: Any) -> bool:
    return str(message["Attributes"].get("MessageGroupId", "")).startswith("tsk_")


def _task_in(body: str) -> str | None:
    """Which task a message is about, if its body tells."""
    try:
        content: Json = json.loads(body)
    except ValueError:
        return None
    match content:
        case {"task_id": str(task_id)} | {"detail": {"task_id": str(task_id)}}:
            return task_id
        case {"subject": str(task_id)} | {"redeliver": {"subject": str(task_id)}} | {"turn": {"subject": str(task_id)}}:
            return task_id
    return None
