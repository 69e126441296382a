"""The apixo.ai simulator speaks apixo's dialect, and refuses what apixo refuses."""

import json
from typing import Any

import pytest

from tests.unit.simulators.support import Receiver, Simulators, opened

pytestmark = pytest.mark.enable_socket

SUBMIT = "/generateTask/nano-banana-2"
INPUT = {"mode": "text-to-image", "prompt": "a fox", "aspect_ratio": "3:2", "resolution": "1k"}
HTTPS = "https://127.0.0.1:1/a.png"


def test_accepted_task_ends_in_the_documented_status(simulators: Simulators) -> None:
    accepted = simulators.apixo(resolution="2K").json()
    assert accepted == {"code": 200, "message": "success", "data": {"taskId": accepted["data"]["taskId"]}}

    document = simulators.apixo_ended(accepted["data"]["taskId"])
    data = document.pop("data")
    (url,) = json.loads(data.pop("resultJson"))["resultUrls"]
    assert document == {"code": 200, "message": "success"}
    assert data == {
        "taskId": accepted["data"]["taskId"],
        "state": "success",
        "createTime": data["createTime"],
        "completeTime": data["completeTime"],
        "costTime": data["completeTime"] - data["createTime"],
    }
    assert opened(simulators.http.get(url).content).size == (768, 512)


def test_callback_is_the_status_document(simulators: Simulators, receiver: Receiver) -> None:
    task_id = simulators.apixo(callback_url=receiver.url).json()["data"]["taskId"]

    (callback,) = simulators.callbacks(task_id, 1)

    assert json.loads(receiver.bodies[0]) == simulators.apixo_ended(task_id)
    assert receiver.content_types == ["application/json"]
    assert receiver.bodies[0].decode() == callback.pop("body")
    assert callback == {
        "provider": "apixo",
        "task_id": task_id,
        "at": callback["at"],
        "url": receiver.url,
        "status": 200,
    }


def test_failure_has_a_code_and_no_cost(simulators: Simulators, receiver: Receiver) -> None:
    simulators.misbehave(result={"fail": {"code": "PromptInvalid", "message": "not that"}})
    task_id = simulators.apixo(callback_url=receiver.url).json()["data"]["taskId"]

    data = json.loads(simulators.callbacks(task_id, 1)[0]["body"])["data"]

    assert data == {
        "taskId": task_id,
        "state": "failed",
        "failCode": "PromptInvalid",
        "failMsg": "not that",
        "createTime": data["createTime"],
        "completeTime": data["completeTime"],
    }


def test_undelivered_callback_is_repeated_three_times(simulators: Simulators, receiver: Receiver) -> None:
    receiver.statuses = [500, 204, 302, 404, 200]
    task_id = simulators.apixo(callback_url=receiver.url).json()["data"]["taskId"]

    sent = simulators.callbacks(task_id, 4)

    assert [callback["status"] for callback in sent] == [500, 204, 302, 404]
    assert len({callback["body"] for callback in sent}) == 1


def test_callback_answered_by_200_is_not_repeated(simulators: Simulators, receiver: Receiver) -> None:
    receiver.statuses = [503]
    task_id = simulators.apixo(callback_url=receiver.url).json()["data"]["taskId"]
    assert [callback["status"] for callback in simulators.callbacks(task_id, 2)] == [503, 200]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"prompt": None}, "Missing required field: input.prompt"),
        ({"mode": None}, "Missing required field: input.mode"),
        ({"aspect_ratio": None}, "Missing required field: input.aspect_ratio"),
        ({"resolution": None}, "Missing required field: input.resolution"),
        ({"mode": "image-to-image"}, "Missing required field: input.image_urls"),
        ({"seed": 1}, "Unknown field: input.seed"),
        ({"mode": "video"}, "Invalid value for input.mode: "),
        ({"prompt": ""}, "Invalid value for input.prompt: "),
        ({"prompt": "x" * 20_001}, "Invalid value for input.prompt: "),
        ({"prompt": 1}, "Invalid value for input.prompt: "),
        ({"aspect_ratio": "2:1"}, "Invalid value for input.aspect_ratio: "),
        ({"resolution": "8k"}, "Invalid value for input.resolution: "),
        ({"output_format": "webp"}, "Invalid value for input.output_format: "),
        ({"google_search": 1}, "Invalid value for input.google_search: "),
        ({"image_urls": [HTTPS]}, "Invalid value for input.image_urls: "),
        ({"mode": "image-to-image", "image_urls": [HTTPS] * 15}, "Invalid value for input.image_urls: "),
        ({"mode": "image-to-image", "image_urls": HTTPS}, "Invalid value for input.image_urls: "),
        ({"mode": "image-to-image", "image_urls": [HTTPS, "ftp://a/b"]}, "Invalid value for input.image_urls[1]: "),
        ({"model": "nano-banana"}, "Unknown field: input.resolution"),
        ({"model": "nano-banana", "resolution": None, "prompt": "x" * 5_001}, "Invalid value for input.prompt: "),
        ({"model": "gpt-image-2", "aspect_ratio": "3:2"}, "Invalid value for input.aspect_ratio: "),
        ({"model": "gpt-image-1", "resolution": None}, "Invalid value for input.mode: "),
        ({"model": "seedream-5-0", "resolution": "1k"}, "Invalid value for input.resolution: "),
    ],
)
def test_wrong_input_is_refused_by_name(simulators: Simulators, change: dict[str, Any], error: str) -> None:
    response = simulators.apixo(**change)

    assert response.status_code == 400
    document = response.json()
    assert document["data"].pop("error").startswith(error)
    assert document == {"code": 400, "message": "Invalid request", "data": {}}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"input": INPUT}, "Missing required field: request_type"),
        ({"request_type": "async"}, "Missing required field: input"),
        ({"request_type": "sync", "input": INPUT}, "Invalid value for request_type: "),
        ({"request_type": "callback", "input": INPUT}, "Missing required field: callback_url"),
        ({"request_type": "async", "input": INPUT, "webhook": "x"}, "Unknown field: webhook"),
        (
            {"request_type": "callback", "callback_url": "http://example.com/hook", "input": INPUT},
            "Invalid value for callback_url: must be a public HTTPS URL",
        ),
        (["request_type"], "the request body must be a JSON object"),
    ],
)
def test_wrong_body_is_refused_by_name(simulators: Simulators, body: object, error: str) -> None:
    response = simulators.post("apixo", SUBMIT, body)
    assert response.status_code == 400
    assert response.json()["data"]["error"].startswith(error)


def test_https_callback_is_accepted(simulators: Simulators) -> None:
    task_id = simulators.apixo(callback_url="https://127.0.0.1:1/hook").json()["data"]["taskId"]
    assert [callback["status"] for callback in simulators.callbacks(task_id, 4)] == [None] * 4


def test_wrong_key_is_refused(simulators: Simulators) -> None:
    refusal = {"code": 401, "message": "Invalid or missing API key"}
    headers = {"Authorization": "Bearer wrong"}
    response = simulators.post("apixo", SUBMIT, {}, headers=headers)
    assert (response.status_code, response.json()) == (401, refusal)
    status = simulators.http.get(f"{simulators.url}/apixo/api/v1/statusTask/nano-banana-2", headers=headers)
    assert (status.status_code, status.json()) == (401, refusal)


@pytest.mark.parametrize(
    ("content", "content_type", "error"),
    [
        (b"{}", "text/plain", "Content-Type must be application/json"),
        (b'{"request_type', "application/json", "the request body must be a JSON object"),
        (b'{"input": {"prompt": "\\ud800"}}', "application/json", "the request body must be a JSON object"),
        (b"\xff", "application/json; charset=utf-8", "the request body must be a JSON object"),
    ],
)
def test_what_is_no_json_is_refused(simulators: Simulators, content: bytes, content_type: str, error: str) -> None:
    headers = {"Authorization": "Bearer apixo-simulator-key", "Content-Type": content_type}
    response = simulators.http.post(f"{simulators.url}/apixo/api/v1{SUBMIT}", content=content, headers=headers)
    assert (response.status_code, response.json()["data"]["error"]) == (400, error)


def test_unknown_model_is_refused(simulators: Simulators) -> None:
    response = simulators.apixo(model="nano-banana-9")
    assert (response.status_code, response.json()) == (404, {"code": 404, "message": "Model not found: nano-banana-9"})


def test_task_is_found_under_its_own_model_only(simulators: Simulators) -> None:
    task_id = simulators.apixo().json()["data"]["taskId"]
    for model, asked, status in [
        ("nano-banana-2", task_id, 200),
        ("nano-banana", task_id, 404),
        ("nano-banana-2", "task_0", 404),
        ("nano-banana-2", "", 400),
    ]:
        assert simulators.get("apixo", f"/statusTask/{model}", taskId=asked).status_code == status


@pytest.mark.parametrize(
    ("change", "formats", "size"),
    [
        ({"resolution": "4k", "aspect_ratio": "1:8", "output_format": "jpeg"}, ["JPEG"], (128, 1024)),
        ({"aspect_ratio": "auto", "output_format": "jpg"}, ["JPEG"], (512, 512)),
        ({"model": "nano-banana", "resolution": None, "aspect_ratio": "21:9"}, ["PNG"], (512, 219)),
        (
            {"model": "gpt-image-1", "mode": "gpt-image-1", "resolution": None, "num_images": 4},
            ["PNG"] * 4,
            (512, 341),
        ),
        ({"model": "seedream-5-0", "resolution": "3K", "max_images": 2}, ["PNG"] * 2, (896, 597)),
    ],
)
def test_images_are_as_asked(
    simulators: Simulators, change: dict[str, Any], formats: list[str], size: tuple[int, int]
) -> None:
    accepted = simulators.apixo(**change).json()["data"]
    data = simulators.apixo_ended(accepted["taskId"], change.get("model", "nano-banana-2"))["data"]

    images = [opened(simulators.http.get(url).content) for url in json.loads(data["resultJson"])["resultUrls"]]

    assert [image.format for image in images] == formats
    assert {image.size for image in images} == {size}
    assert len({image.tobytes() for image in images}) == len(images)


@pytest.mark.parametrize(
    "reference", ["https://example.com/a.png", "/references/dog.png", "/health", "http://127.0.0.1:1/a.png"]
)
def test_unreadable_reference_fails_the_task(simulators: Simulators, reference: str) -> None:
    url = reference if "://" in reference else f"{simulators.url}{reference}"
    accepted = simulators.apixo(mode="image-to-image", image_urls=[url]).json()["data"]

    data = simulators.apixo_ended(accepted["taskId"])["data"]

    assert (data["state"], data["failCode"]) == ("failed", "ImageFormatIncorrect")
    assert url in data["failMsg"]


def test_reference_shows_in_the_image(simulators: Simulators) -> None:
    reference = f"{simulators.url}/references/cat.png"
    accepted = simulators.apixo(mode="image-to-image", image_urls=[reference], aspect_ratio="1:1").json()["data"]
    data = simulators.apixo_ended(accepted["taskId"])["data"]

    image = opened(simulators.http.get(json.loads(data["resultJson"])["resultUrls"][0]).content).convert("RGB")

    fur = (235, 150, 70)
    colours = {colour: count for count, colour in image.getcolors(image.width * image.height) or ()}
    assert colours[fur] > 1000


def test_upscaler_takes_one_image_and_no_prompt(simulators: Simulators) -> None:
    reference = f"{simulators.url}/references/cat.png"
    order: dict[str, Any] = {
        "model": "image-upscaler",
        "mode": "image-to-image",
        "resolution": "8k",
        "aspect_ratio": None,
    }

    accepted = simulators.apixo(**order, prompt=None, image_urls=[reference])
    wordy = simulators.apixo(**order, image_urls=[reference])
    crowded = simulators.apixo(**order, prompt=None, image_urls=[reference] * 2)

    data = simulators.apixo_ended(accepted.json()["data"]["taskId"], "image-upscaler")["data"]
    image = opened(simulators.http.get(json.loads(data["resultJson"])["resultUrls"][0]).content)
    assert max(image.size) == 1280
    assert [answer.json()["data"]["error"] for answer in (wordy, crowded)] == [
        "Unknown field: input.prompt",
        "Invalid value for input.image_urls: must be a list of at most 1 URLs",
    ]
