"""Somebody who listens to the bus: a queue behind a rule, as any subscriber may have one."""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from local.stack import StackInfo


class Subscriber:
    """Receives Pixhook's events, from the moment it was made."""

    def __init__(self, sqs: Any, queue_url: str) -> None:
        self._sqs = sqs
        self._queue_url = queue_url

    def hang_up(self) -> None:
        """Closes its connections; it makes others when it needs them."""
        self._sqs.close()

    def receive(self) -> list[dict[str, Any]]:
        """The events that have come since the last call."""
        events = []
        while messages := self._sqs.receive_message(QueueUrl=self._queue_url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                events.append(json.loads(message["Body"]))
                self._sqs.delete_message(QueueUrl=self._queue_url, ReceiptHandle=message["ReceiptHandle"])
        return events


@contextmanager
def subscriber(info: StackInfo) -> Iterator[Subscriber]:
    """A subscriber to everything on the stack's bus, gone at the end."""
    name = f"listener-{uuid.uuid4().hex[:8]}"
    sqs, events = info.client("sqs"), info.client("events")
    queue_url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name=name, EventBusName=info.event_bus, EventPattern=json.dumps({"source": ["pixhook"]}))
    events.put_targets(Rule=name, EventBusName=info.event_bus, Targets=[{"Id": "queue", "Arn": arn}])
    try:
        yield Subscriber(sqs, queue_url)
    finally:
        events.remove_targets(Rule=name, EventBusName=info.event_bus, Ids=["queue"])
        events.delete_rule(Name=name, EventBusName=info.event_bus)
        sqs.delete_queue(QueueUrl=queue_url)
