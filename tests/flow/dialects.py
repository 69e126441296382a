"""What each provider says, in its own words, as far as the flows are about it."""

import json
from collections.abc import Mapping
from typing import Any

type Document = dict[str, Any]


class Apixo:
    """apixo.ai"""

    name = "apixo"
    host = "api.apixo.ai"
    ref = "task_12345678"
    running, unknown = ("pending", "processing"), "paused"

    def accepted(self) -> Document:
        """The answer to a submit."""
        return {"code": 200, "message": "success", "data": {"taskId": self.ref}}

    def without_id(self) -> Document:
        """An answer to a submit that says yes, but not to what."""
        return {"code": 200, "message": "success", "data": {}}

    def refused(self, status: int) -> Document:
        """The answer to a submit that comes with this HTTP status."""
        return {"code": status, "message": "their own words", "data": None}

    def called_back(self, state: str = "success", *images: str) -> Document:
        """A callback with the provider's word for the task's state."""
        result = {"resultJson": json.dumps({"resultUrls": images})} if images else {}
        return {"code": 200, "message": "success", "data": {"taskId": self.ref, "state": state, **result}}

    def failed(self) -> Document:
        """The callback of a task that their filter stopped."""
        document = self.called_back("failed")
        document["data"] |= {"failCode": "SensitiveContentDetected", "failMsg": "their own words"}
        return document

    failed_code = "content_policy"
    charge = None


class Defapi:
    """defapi.org"""

    name = "defapi"
    host = "api.defapi.org"
    ref = "ta12345678-1234-1234-1234-123456789abc"
    running, unknown = ("pending", "submitted", "in_progress"), "paused"

    def accepted(self) -> Document:
        """The answer to a submit."""
        return {"code": 0, "message": "ok", "data": {"task_id": self.ref}}

    def without_id(self) -> Document:
        """An answer to a submit that says yes, but not to what."""
        return {"code": 0, "message": "ok", "data": {}}

    def refused(self, status: int) -> Document:
        """The answer to a submit that comes with this HTTP status."""
        return {"code": 1, "message": "failed", "detail": "their own words"}

    def called_back(self, state: str = "success", *images: str) -> Document:
        """A callback with the provider's word for the task's state."""
        return {
            "task_id": self.ref,
            "status": state,
            "result": [{"image": image} for image in images] or None,
            "consumed": self.charge,
            "status_reason": {"message": None},
        }

    def failed(self) -> Document:
        """The callback of a task that failed; there is no word for why."""
        return self.called_back("failed") | {"status_reason": {"message": "their own words"}}

    failed_code = "unknown"
    charge = "0.500000"


type Dialect = Apixo | Defapi

DIALECTS: Mapping[str, Dialect] = {dialect.name: dialect for dialect in (Apixo(), Defapi())}
