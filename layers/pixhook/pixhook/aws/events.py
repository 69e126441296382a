"""EventBus: what Pixhook tells the rest of the account."""

import json
from typing import TYPE_CHECKING

from pixhook.aws.clients import translated
from pixhook.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_events import EventBridgeClient

    from pixhook.model import Json

SOURCE = "pixhook"


class Events:
    """Publishes events."""

    def __init__(self, eventbridge: "EventBridgeClient", bus: str) -> None:
        self._eventbridge = eventbridge
        self._bus = bus

    def publish(self, kind: str, detail: "Mapping[str, Json]") -> None:
        """Puts one event on the bus. Raises `StoreUnavailable`: it may be out or not."""
        with translated("publish the event"):
            answer = self._eventbridge.put_events(
                Entries=[
                    {
                        "EventBusName": self._bus,
                        "Source": SOURCE,
                        "DetailType": kind,
                        "Detail": json.dumps(detail, separators=(",", ":")),
                    }
                ]
            )
        if answer["FailedEntryCount"]:
            raise StoreUnavailable(f"publish the event: {answer['Entries'][0].get('ErrorCode')}")
