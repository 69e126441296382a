"""A request goes in, the provider calls back, the images are ours, the event is out: with each provider."""

import json
from typing import Any

import httpx
from jsonschema import Draft202012Validator

from local.stack import ROOT
from pixhook.documents import EVENT_VERSION
from tests.conftest import SETTINGS
from tests.flow.dialects import WORDS, Dialect
from tests.flow.world import World
from tests.support.builders import ACCOUNT_ID, a_picture

METADATA = {"order": 7, "note": "für Ada", "weights": [0.1, 1e-9]}


def validate(event: dict[str, Any]) -> None:
    """Holds the event's detail against what subscribers were promised."""
    schema = ROOT / "docs" / "schemas" / f"{event['detail-type']}.v{EVENT_VERSION}.schema.json"
    Draft202012Validator(json.loads(schema.read_bytes())).validate(event["detail"])


def test_image_travels_from_request_to_event(world: World, dialect: Dialect) -> None:
    content = a_picture("WEBP", (96, 54))
    request = {"model": dialect.model, "prompt": "a fox", "provider": dialect.name, "metadata": METADATA}

    submitted = world.submit(request)
    task_id = submitted.document["id"]
    assert submitted.status == 202
    assert world.get(f"/images/{task_id}/files/0").status == 409

    url = world.image_hosts.serve("https://images.example/fox", content)
    assert world.callback(world.upstream.callback_url, dialect.succeeded(url)).status == 200
    assert world.finish_all() == []

    [event] = world.events()
    validate(event)
    assert (event["source"], event["detail-type"]) == ("pixhook", "images.completed")
    detail = event["detail"]
    [image] = detail["images"]
    assert (detail["task_id"], detail["account_id"], detail["metadata"]) == (task_id, ACCOUNT_ID, METADATA)
    assert world.stored() == {image["key"]: (content, "image/webp")}
    assert image["bucket"] == SETTINGS["IMAGES_BUCKET"]

    seen = world.get(f"/images/{task_id}").document
    [file] = seen["files"]
    assert (seen["status"], seen["metadata"], seen["native_charge"]) == (
        "completed",
        METADATA,
        dialect.outcome(dialect.succeeded(url)).native_charge,
    )
    assert seen["ended_at"] == detail["ended_at"]
    assert file == {"path": f"/images/{task_id}/files/0"} | {name: image[name] for name in file if name != "path"}
    assert image["key"] in world.get(file["path"]).headers["location"]


def test_failure_travels_from_callback_to_event(world: World, dialect: Dialect) -> None:
    task = world.accepted(provider=dialect.name, metadata=METADATA)

    assert world.callback(world.upstream.callback_url, dialect.failed()).status == 200
    assert world.finish_all() == []

    [event] = world.events()
    validate(event)
    assert event["detail-type"] == "images.failed"
    assert event["detail"]["metadata"] == METADATA
    seen = world.get(f"/images/{task.id}").document
    assert (seen["status"], seen["files"]) == ("failed", [])
    assert seen["error"] == event["detail"]["error"]
    failure = dialect.outcome(dialect.failed()).failure
    assert failure is not None
    assert (seen["error"]["code"], seen["error"]["native_message"]) == (failure.code, WORDS)
    assert world.get(f"/images/{task.id}/files/0").status == 404


def test_refusal_travels_from_answer_to_event(world: World, dialect: Dialect) -> None:
    world.upstream.answer = lambda _: httpx.Response(400, json=dialect.refused(400))

    refused = world.submit({"model": dialect.model, "prompt": "a fox", "provider": dialect.name}).document
    assert world.finish_all() == []

    [event] = world.events()
    validate(event)
    seen = world.get(f"/images/{refused['task_id']}").document
    assert seen["error"] == event["detail"]["error"]
    assert (seen["status"], seen["error"]["code"]) == ("failed", refused["code"])
