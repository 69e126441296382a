"""The schemas of what is told: events of the bus, and webhooks."""

import json

from jsonschema import Draft202012Validator

from local.stack import ROOT
from pixhook.documents import EVENT_VERSION
from pixhook.model import EventType, Json

FOLDER = ROOT / "docs" / "schemas"

SCHEMAS: dict[str, Json] = {
    kind: json.loads((FOLDER / f"{kind}.v{EVENT_VERSION}.schema.json").read_bytes()) for kind in EventType
}
VALIDATORS = {kind: Draft202012Validator(schema) for kind, schema in SCHEMAS.items()}


def assert_promised(detail: Json) -> None:
    """It has the form that subscribers and receivers were promised."""
    VALIDATORS[detail["type"]].validate(detail)
