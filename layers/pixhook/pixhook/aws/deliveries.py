"""The queues of webhooks: `WebhookQueue` for what is to be done some time, `AttemptQueue` for attempts that are due.

Attempts of one lane are made one after the other, and those of another beside them. What has to wait does so on the
first queue, by going round: messages that wait there are not counted against what may be in flight.
"""

import json
from dataclasses import asdict
from datetime import datetime
from math import ceil
from typing import TYPE_CHECKING
from uuid import uuid4

from pixhook.aws.clients import translated
from pixhook.aws.deadlines import LONGEST_DELAY_SECONDS
from pixhook.aws.dynamodb import text
from pixhook.model import Delivery, DeliveryTurn, Json

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


class Deliveries:
    """Puts what is to be delivered on its way."""

    def __init__(self, sqs: "SQSClient", webhook_queue_url: str, attempt_queue_url: str, dead_letters_url: str) -> None:
        self._sqs = sqs
        self._webhook_queue_url = webhook_queue_url
        self._attempt_queue_url = attempt_queue_url
        self._dead_letters_url = dead_letters_url

    def attempt(self, turn: DeliveryTurn) -> None:
        """Has the attempt made as soon as its lane is free. Raises `StoreUnavailable`."""
        with translated("queue the attempt"):
            self._sqs.send_message(
                QueueUrl=self._attempt_queue_url,
                MessageBody=json.dumps(asdict(turn)),
                MessageGroupId=turn.lane,
                # The same attempt may be queued anew within minutes, and must not be taken for a repetition.
                MessageDeduplicationId=uuid4().hex,
            )

    def attempt_later(self, turn: DeliveryTurn, due: datetime, now: datetime) -> None:
        """Has the attempt made when it is due. Raises `StoreUnavailable`."""
        seconds = max(1, ceil((due - now).total_seconds()))
        with translated("put off the attempt"):
            self._sqs.send_message(
                QueueUrl=self._webhook_queue_url,
                MessageBody=json.dumps({"turn": asdict(turn), "due": text(due)}),
                DelaySeconds=min(seconds, LONGEST_DELAY_SECONDS),
            )

    def begin_later(self, delivery: Delivery, asked_at: datetime, *, seconds: int) -> None:
        """Has the delivery begin anew after `seconds`, if it has not since `asked_at`. Raises `StoreUnavailable`."""
        redeliver = {"subject": delivery.subject, "delivery_id": delivery.id, "asked_at": text(asked_at)}
        with translated("queue the redelivery"):
            self._sqs.send_message(
                QueueUrl=self._webhook_queue_url,
                MessageBody=json.dumps({"redeliver": redeliver}),
                DelaySeconds=seconds,
            )

    def give_up(self, turn: DeliveryTurn) -> None:
        """Puts a delivery to the dead letters; redriven from there it begins anew. Raises `StoreUnavailable`."""
        redeliver: dict[str, Json] = {"subject": turn.subject, "delivery_id": turn.delivery_id}
        with translated("give up the delivery"):
            self._sqs.send_message(QueueUrl=self._dead_letters_url, MessageBody=json.dumps({"redeliver": redeliver}))
