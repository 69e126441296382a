"""From a file on the client's disk to an image made of it; and S3 takes nothing but what the form says."""

import io
import os
from collections.abc import Mapping
from typing import Any
from zipfile import ZipFile

import httpx
import pytest
from PIL import Image as Picture

from tests.e2e.conftest import Gateway
from tests.support.builders import a_picture

MEGABYTE = 1024 * 1024


def begin(gateway: Gateway, content_type: str = "image/png") -> dict[str, Any]:
    answer = gateway.api.post("/uploads", json={"content_type": content_type})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def send(form: Mapping[str, Any], content: bytes, **changes: str) -> httpx.Response:
    """The file, sent by the form as a browser does."""
    fields = {**form["fields"], **changes}
    return httpx.post(form["url"], data=fields, files={"file": ("any", content)}, timeout=60, trust_env=False)


def noise(size: int) -> bytes:
    """A PNG of about so many bytes."""
    width = 4096
    height = size // (3 * width)
    content = io.BytesIO()
    Picture.frombytes("RGB", (width, height), os.urandom(3 * width * height)).save(content, "PNG", compress_level=0)
    return content.getvalue()


def test_an_image_of_49_megabytes_becomes_another(gateway: Gateway, prompt: str) -> None:
    form = begin(gateway)
    content = noise(49 * MEGABYTE)
    assert 48 * MEGABYTE < len(content) < 50 * MEGABYTE
    assert send(form, content).is_success

    task = gateway.submit(model="nano-banana", provider="defapi", prompt=prompt, images=[form["upload"]])

    ended = gateway.ended(task["id"])
    assert (ended["status"], ended["images"]) == ("completed", [form["upload"]])
    [sent] = gateway.submits(prompt)
    assert form["upload"] in str(sent)
    assert httpx.get(_url_in(sent), timeout=60, trust_env=False).content == content


def _url_in(sent: Any) -> str:
    """The one URL of a reference in what the provider was sent."""
    match sent:
        case str() if "/uploads/" in sent:
            return sent
        case dict() | list():
            found = (_url_in(value) for value in (sent.values() if isinstance(sent, dict) else sent))
            return next(filter(None, found), "")
    return ""


def test_51_megabytes_are_refused_by_s3(gateway: Gateway) -> None:
    answer = send(begin(gateway), a_picture() + bytes(51 * MEGABYTE))
    assert (answer.status_code, "EntityTooLarge" in answer.text) == (400, True)


@pytest.mark.parametrize("changes", [{"Content-Type": "text/html"}, {"key": "images/tsk_1/0.png"}])
def test_another_type_or_place_than_the_forms_is_refused_by_s3(gateway: Gateway, changes: dict[str, str]) -> None:
    assert send(begin(gateway), a_picture(), **changes).status_code == 403


def an_archive() -> bytes:
    content = io.BytesIO()
    with ZipFile(content, "w") as archive:
        archive.writestr("run.sh", "echo")
    return content.getvalue()


@pytest.mark.parametrize("content", [b"text, named .png", a_picture("PNG") + an_archive()], ids=["text", "polyglot"])
def test_what_is_not_an_image_and_nothing_else_is_refused_when_it_is_used(
    gateway: Gateway, prompt: str, content: bytes
) -> None:
    form = begin(gateway)
    assert send(form, content).is_success

    answer = gateway.api.post("/images", json={"model": "nano-banana", "prompt": prompt, "images": [form["upload"]]})

    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (422, "invalid_image", "images.0")
    assert gateway.submits(prompt) == []


def test_erased_is_erased(gateway: Gateway, prompt: str) -> None:
    task = gateway.ended(gateway.submit(model="nano-banana-2", prompt=prompt)["id"])
    s3 = gateway.info.client("s3")
    assert s3.list_objects_v2(Bucket=gateway.info.images_bucket, Prefix=f"images/{task['id']}/")["KeyCount"] == 1

    left = gateway.api.request("DELETE", f"/images/{task['id']}").raise_for_status().json()

    assert left["deleted_at"] is not None
    assert s3.list_objects_v2(Bucket=gateway.info.images_bucket, Prefix=f"images/{task['id']}/")["KeyCount"] == 0
    assert gateway.api.get(f"/images/{task['id']}/files/0", follow_redirects=False).status_code == 410
