"""The dead-letter queues: messages that were tried as often as they may be, or could not be handled.

A queue is looked through by receiving from it. What is received is hidden meanwhile, and seen again afterwards.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from botocore.exceptions import BotoCoreError, ClientError

from pixhook.aws.clients import translated
from pixhook.model import DeadLetter, Json

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

HIDDEN_SECONDS = 180
"""Longer than the function may run; if its process dies meanwhile, the messages come back after it."""

WAIT_SECONDS = 1
"""Before a queue is believed to be empty: without it SQS asks some of its servers only."""

MOST_LETTERS = 500
"""That are looked at in one go."""


class DeadLetters:
    """The dead letters of all queues."""

    def __init__(self, sqs: "SQSClient", queues: Mapping[str, tuple[str, str]]) -> None:
        """`queues` are by their names: the dead letters' URL, and that of the queue that they come from."""
        self._sqs = sqs
        self._queues = queues

    def look(self, queue: str, concerns: Callable[[DeadLetter], bool]) -> list[DeadLetter]:
        """The letters that fit, each of which stays; of a FIFO queue ten of a group. Raises `StoreUnavailable`."""
        found: list[DeadLetter] = []
        self._each(queue, lambda message: found.append(_letter(message)))
        return [letter for letter in found if concerns(letter)]

    def redrive(self, queue: str, concerns: Callable[[DeadLetter], bool]) -> int:
        """Has the letters that fit handled anew; how many. Raises `StoreUnavailable`: some may be so twice."""
        return self._take(queue, concerns, then=self._send_back)

    def drop(self, queue: str, concerns: Callable[[DeadLetter], bool]) -> int:
        """Deletes the letters that fit; how many. Raises `StoreUnavailable`: some may be deleted."""
        return self._take(queue, concerns, then=lambda *_: None)

    def _take(self, queue: str, concerns: Callable[[DeadLetter], bool], *, then: Callable[[str, Any], None]) -> int:
        taken = 0

        def take(message: Any) -> bool:
            nonlocal taken
            if not concerns(_letter(message)):
                return False
            then(queue, message)
            self._sqs.delete_message(QueueUrl=self._queues[queue][0], ReceiptHandle=message["ReceiptHandle"])
            taken += 1
            return True

        self._each(queue, take)
        return taken

    def _each(self, queue: str, visit: Callable[[Any], bool | None]) -> None:
        """Visits the messages there are; those of which it does not say that they are gone are seen again afterwards.

        What is gone makes room: while messages of a group are hidden, SQS gives no others of it.
        """
        url = self._queues[queue][0]
        hidden: list[Any] = []
        visited = 0
        try:
            with translated("look through the dead letters"):
                while visited < MOST_LETTERS and (messages := self._receive(url)):
                    visited += len(messages)
                    hidden += messages
                    for message in messages:
                        if visit(message):
                            hidden.remove(message)
        finally:
            for message in hidden:
                with suppress(ClientError, BotoCoreError):  # it comes back by itself, only later
                    self._sqs.change_message_visibility(
                        QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
                    )

    def _receive(self, url: str) -> list[Any]:
        answer = self._sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=10,
            VisibilityTimeout=HIDDEN_SECONDS,
            WaitTimeSeconds=WAIT_SECONDS,
            MessageSystemAttributeNames=["All"],
        )
        return list(answer.get("Messages", []))

    def _send_back(self, queue: str, message: Any) -> None:
        source = self._queues[queue][1]
        group = message["Attributes"].get("MessageGroupId")
        fifo: dict[str, Any] = {"MessageGroupId": group, "MessageDeduplicationId": uuid4().hex} if group else {}
        self._sqs.send_message(QueueUrl=source, MessageBody=message["Body"], **fifo)


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
