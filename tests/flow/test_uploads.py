"""Uploads: by a form that S3 holds to its terms, and used only where they are images."""

import base64
import json
from typing import Any

import httpx
import pytest

from pixhook.aws.uploads import HEAD_BYTES
from pixhook.flows.uploads import MOST_UPLOAD_BYTES
from tests.conftest import SETTINGS
from tests.flow.cloud import aws
from tests.flow.world import World
from tests.support.builders import ACCOUNT_ID, a_body, a_picture

UNKNOWN = "upl_01JNEZ2W3GQK4T5V6X7Y8Z9ABC"


def begin(world: World, content_type: str = "image/png", **how: Any) -> dict[str, Any]:
    answer = world.request("POST", "/uploads", {"content_type": content_type}, **how)
    assert answer.status == 201, answer
    return answer.document


def uploaded(world: World, content: bytes, *, account_id: str = ACCOUNT_ID) -> str:
    """The id of an upload that is there."""
    upload = begin(world)["upload"]
    aws("s3").put_object(Bucket=SETTINGS["IMAGES_BUCKET"], Key=f"uploads/{account_id}/{upload}", Body=content)
    return str(upload)


def sent_references(world: World) -> list[str]:
    return list(json.loads(world.upstream.requests[-1].content)["images"])


def test_form_says_what_s3_will_take(world: World) -> None:
    form = begin(world)

    policy = json.loads(base64.b64decode(form["fields"]["policy"]))
    key = f"uploads/{ACCOUNT_ID}/{form['upload']}"
    assert form["fields"]["key"] == key
    assert form["fields"]["Content-Type"] == "image/png"
    assert form["max_bytes"] == MOST_UPLOAD_BYTES == 50 * 1024 * 1024
    assert {"Content-Type": "image/png"} in policy["conditions"]
    assert ["content-length-range", 1, MOST_UPLOAD_BYTES] in policy["conditions"]
    assert {"key": key} in policy["conditions"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "content_type"),
        ({"content_type": "image/gif"}, "content_type"),
        ({"content_type": "image/png", "x": 1}, "x"),
    ],
)
def test_form_for_anything_else_is_refused(world: World, body: object, field: str) -> None:
    answer = world.request("POST", "/uploads", body)
    assert (answer.status, answer.document["field"]) == (422, field)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_provider_gets_a_url_and_the_client_its_own_name_for_it(world: World, kind: str) -> None:
    upload = uploaded(world, a_picture(kind))
    other = "https://images.example/cat.png"

    answer = world.submit(a_body(provider="defapi", images=[upload, other]))

    assert (answer.status, answer.document["images"]) == (202, [upload, other])
    url, untouched = sent_references(world)
    assert untouched == other
    assert f"/uploads/{ACCOUNT_ID}/{upload}?" in url
    assert "X-Amz-Signature" in url
    assert "X-Amz" not in json.dumps(world.get(f"/images/{answer.document['id']}").document)


def test_upload_larger_than_what_is_looked_at_is_judged_by_both_ends(world: World) -> None:
    large = a_picture("PNG", (1200, 1200))
    assert len(large) > HEAD_BYTES
    assert world.submit(a_body(images=[uploaded(world, large)])).status == 202
    for broken in (large + b"<script>", large[:-5]):
        assert world.submit(a_body(images=[uploaded(world, broken)])).status == 422


@pytest.mark.parametrize(
    "content", [b"just text", b"%PDF-1.7", a_picture("GIF"), a_picture("PNG") + b"PK\x05\x06" + bytes(18)]
)
def test_upload_that_is_no_image_is_refused_before_anything_is_bought(world: World, content: bytes) -> None:
    upload = uploaded(world, content)

    answer = world.submit(a_body(images=["https://images.example/cat.png", upload]))

    document = answer.document
    assert (answer.status, document["code"], document["field"]) == (422, "invalid_image", "images.1")
    assert upload in document["detail"]
    assert world.upstream.requests == []
    assert world.tasks() == []


def test_upload_that_is_not_there_or_is_anothers_is_refused(world: World) -> None:
    anothers = uploaded(world, a_picture(), account_id="acc_other")
    for upload in (UNKNOWN, anothers):
        answer = world.submit(a_body(images=[upload]))
        assert (answer.status, answer.document["code"], answer.document["field"]) == (422, "invalid_image", "images.0")


@pytest.mark.parametrize(
    "reference", ["upl_", "upl_../other", "upl_01JNEZ2W3GQK4T5V6X7Y8Z9ABC/../x", "UPL_01JNEZ2W3GQK4T5V6X7Y8Z9ABC"]
)
def test_what_only_looks_like_an_upload_is_no_reference(world: World, reference: str) -> None:
    answer = world.submit(a_body(images=[reference]))
    assert (answer.status, answer.document["field"]) == (422, "images.0")


def test_repeated_request_is_answered_though_its_upload_has_expired(world: World) -> None:
    upload = uploaded(world, a_picture())
    first = world.submit(a_body(images=[upload]), key="k")
    aws("s3").delete_object(Bucket=SETTINGS["IMAGES_BUCKET"], Key=f"uploads/{ACCOUNT_ID}/{upload}")

    second = world.submit(a_body(images=[upload]), key="k")

    assert (second.status, second.document["id"]) == (202, first.document["id"])
    assert len(world.upstream.requests) == 1


def test_upload_that_cannot_be_read_now_is_asked_for_again(world: World) -> None:
    upload = uploaded(world, a_picture())
    with world.refusing("GetObject"):
        answer = world.submit(a_body(images=[upload]))
    assert (answer.status, answer.document["retryable"]) == (503, True)
    assert world.upstream.requests == []


def test_next_provider_gets_a_url_too(world: World) -> None:
    upload = uploaded(world, a_picture())
    answers = [httpx.Response(503), None]

    def answer(request: httpx.Request) -> httpx.Response:
        return answers.pop(0) or world.upstream._accept(request)

    world.upstream.answer = answer
    assert world.submit(a_body(images=[upload])).status == 202
    assert all(f"{upload}?" in request.content.decode() for request in world.upstream.requests)
    assert len(world.upstream.requests) == 2
