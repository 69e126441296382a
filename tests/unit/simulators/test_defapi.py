"""The defapi.org simulator speaks defapi's dialect, and refuses what defapi refuses."""

import base64
import json
from typing import Any

import pytest

from local.simulators.drawing import reference_png
from tests.unit.simulators.support import Receiver, Simulators, opened

pytestmark = pytest.mark.enable_socket

GPT = {"path": "/api/gpt-image/gen", "model": "openai/gpt-image-2"}
HTTPS = "https://127.0.0.1:1/a.png"
DATA_URI = f"data:image/png;base64,{base64.b64encode(reference_png('product')).decode()}"


def test_accepted_task_ends_in_the_status_that_clients_read(simulators: Simulators) -> None:
    accepted = simulators.defapi().json()
    assert accepted == {"code": 0, "message": "ok", "data": {"task_id": accepted["data"]["task_id"]}}

    document = simulators.defapi_ended(accepted["data"]["task_id"])

    data = document.pop("data")
    assert document == {"code": 0, "message": "ok"}
    assert data.pop("created_at").endswith("+00:00")
    assert data == {
        "task_id": accepted["data"]["task_id"],
        "status": "success",
        "result": [{"image": data["result"][0]["image"]}],
        "consumed": "0.500000",
        "status_reason": {"message": None},
    }
    assert opened(simulators.http.get(data["result"][0]["image"]).content).size == (512, 512)


def test_callback_is_the_bare_object(simulators: Simulators, receiver: Receiver) -> None:
    task_id = simulators.defapi(callback_url=receiver.url).json()["data"]["task_id"]

    body = json.loads(simulators.callbacks(task_id, 1)[0]["body"])

    assert body == {
        "result": [{"image": body["result"][0]["image"]}],
        "status": "success",
        "task_id": task_id,
        "consumed": "0.500000",
        "status_reason": {"message": None},
    }
    assert body["result"][0]["image"].startswith(f"{simulators.url}/files/")


def test_failure_has_a_reason_and_no_result(simulators: Simulators, receiver: Receiver) -> None:
    simulators.misbehave(result={"fail": {"code": "", "message": "not that"}})
    task_id = simulators.defapi(callback_url=receiver.url).json()["data"]["task_id"]

    assert json.loads(simulators.callbacks(task_id, 1)[0]["body"]) == {
        "result": None,
        "status": "failed",
        "task_id": task_id,
        "consumed": "0.000000",
        "status_reason": {"message": "not that"},
    }


def test_callback_is_never_repeated(simulators: Simulators, receiver: Receiver) -> None:
    # The second delivery comes after any repeat of the first would have.
    receiver.statuses = [500]
    simulators.misbehave(callback={"deliveries": [{}, {"delay_s": 0.2}]})
    task_id = simulators.defapi(callback_url=receiver.url).json()["data"]["task_id"]
    assert [callback["status"] for callback in simulators.callbacks(task_id, 2)] == [500, 200]


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"prompt": None}, "prompt is required"),
        ({"model": None}, "model is required"),
        ({"prompt": ""}, "prompt: "),
        ({"prompt": ["a"]}, "prompt: "),
        ({"model": "google/imagen"}, "model: "),
        ({"model": "openai/gpt-image-2"}, "model: "),
        ({"images": [HTTPS] * 5}, "images: "),
        ({"images": [HTTPS, "cat.png"]}, "images[1]: must be a public HTTPS URL"),
        ({"images": [HTTPS, "http://example.com/cat.png"]}, "images[1]: must be a public HTTPS URL"),
        ({"callback_url": "http://example.com/hook"}, "callback_url: must be a public HTTPS URL"),
        ({"aspect_ratio": "1:8"}, "aspect_ratio: "),
        ({"image_size": "1k"}, "image_size: only for google/nano-banana-2 and google/nano-banana-pro"),
        ({"model": "google/nano-banana-pro", "image_size": "2K"}, "image_size: "),
        ({"output_format": "png"}, "output_format: unknown parameter"),
        (GPT | {"model": "google/gempix2"}, "model: "),
        (GPT | {"size": "640x480"}, "size: "),
        (GPT | {"quality": "best"}, "quality: "),
        (GPT | {"background": "red"}, "background: "),
        (GPT | {"output_format": "gif"}, "output_format: "),
        (GPT | {"aspect_ratio": "1:1"}, "aspect_ratio: unknown parameter"),
    ],
)
def test_wrong_body_is_refused_by_name(simulators: Simulators, change: dict[str, Any], detail: str) -> None:
    response = simulators.defapi(**change)

    assert response.status_code == 400
    document = response.json()
    assert document.pop("detail").startswith(detail)
    assert document == {"code": 1, "message": "failed"}


def test_wrong_key_is_refused_with_a_code_of_the_endpoint(simulators: Simulators) -> None:
    submit = simulators.post("defapi", "/api/image/gen", {}, headers={"Authorization": ""})
    assert (submit.status_code, submit.json()) == (401, {"code": 1, "message": "Invalid API key"})
    query = simulators.http.get(f"{simulators.url}/defapi/api/task/query")
    assert (query.status_code, query.json()) == (401, {"code": 401, "message": "Invalid API key"})


def test_unknown_task_and_missing_id_are_refused(simulators: Simulators) -> None:
    apixo_id = simulators.apixo().json()["data"]["taskId"]
    for task_id in ("ta0", apixo_id):
        unknown = simulators.get("defapi", "/api/task/query", task_id=task_id)
        assert (unknown.status_code, unknown.json()) == (404, {"code": 1, "message": "task not found"})
    missing = simulators.get("defapi", "/api/task/query")
    assert (missing.status_code, missing.json()["detail"]) == (400, "task_id is required")


def test_other_paths_and_methods_are_not_found(simulators: Simulators) -> None:
    assert simulators.get("defapi", "/api/image/gen").status_code == 404
    assert simulators.post("defapi", "/api/video/gen", {}).json()["code"] == 1


@pytest.mark.parametrize(
    ("change", "image_format", "size"),
    [
        ({"aspect_ratio": "16:9"}, "PNG", (512, 288)),
        ({"model": "google/nano-banana-pro", "image_size": "4k", "aspect_ratio": "2:3"}, "PNG", (683, 1024)),
        (GPT, "PNG", (512, 512)),
        (GPT | {"size": "1536x1024", "output_format": "webp"}, "WEBP", (768, 512)),
        (GPT | {"size": "3840x2160", "output_format": "jpeg"}, "JPEG", (1024, 576)),
        (GPT | {"size": "9:16"}, "PNG", (288, 512)),
        ({"images": [DATA_URI]}, "PNG", (512, 512)),
    ],
)
def test_image_is_as_asked(
    simulators: Simulators, change: dict[str, Any], image_format: str, size: tuple[int, int]
) -> None:
    response = simulators.http.get(simulators.defapi_file(**change))
    image = opened(response.content)
    assert (image.format, image.size) == (image_format, size)
    assert response.headers["content-type"] == f"image/{image_format.lower()}"


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("data:image/png,AAAA", "not base64"),
        ("data:image/png;base64,???", "cannot be decoded"),
        ("data:image/png;base64,AAAA", "not a JPEG, PNG or WebP image"),
        (HTTPS, HTTPS),
        ("https://example.com/a.png", "only images on this machine"),
    ],
)
def test_unreadable_reference_fails_the_task(simulators: Simulators, reference: str, reason: str) -> None:
    task_id = simulators.defapi(images=[reference]).json()["data"]["task_id"]
    data = simulators.defapi_ended(task_id)["data"]
    assert (data["status"], data["result"]) == ("failed", None)
    assert reason in data["status_reason"]["message"]


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ({"result_shape": "text"}, [{"text": "I can describe this image, but I cannot draw it."}]),
        ({"empty": True}, []),
        ({"empty": True, "result_shape": "object"}, None),
    ],
)
def test_success_may_come_without_an_image(simulators: Simulators, result: dict[str, Any], expected: object) -> None:
    simulators.misbehave(provider="defapi", result=result)
    data = simulators.defapi_ended(simulators.defapi().json()["data"]["task_id"])["data"]
    assert (data["status"], data["result"]) == ("success", expected)


def test_result_may_be_an_object_or_inline(simulators: Simulators) -> None:
    simulators.misbehave(provider="defapi", result={"result_shape": "object", "inline": True, "format": "webp"})
    data = simulators.defapi_ended(simulators.defapi().json()["data"]["task_id"])["data"]
    head, _, encoded = data["result"]["image"].partition(",")
    assert head == "data:image/webp;base64"
    assert opened(base64.b64decode(encoded)).format == "WEBP"
