"""The gempix2.top simulator speaks gempix2's dialect, and refuses what its page does not know."""

from typing import Any

import httpx
import pytest

from tests.unit.simulators.support import Simulators, eventually, opened

pytestmark = pytest.mark.enable_socket

HTTPS = "https://127.0.0.1:1/a.png"
TO_IMAGE = {"mode": "image_to_image"}


def submit(simulators: Simulators, **given: Any) -> httpx.Response:
    """Submit a valid request, changed as given; a field given as None is left out."""
    body = {"prompt": "a fox", "mode": "text_to_image"} | given
    present = {name: value for name, value in body.items() if value is not None}
    return simulators.post("gempix2", "/api/generate-image", present)


def ended(simulators: Simulators, **given: Any) -> dict[str, Any]:
    """The status document of a new task once it has ended."""
    task_id = submit(simulators, **given).json()["taskId"]
    return eventually(
        lambda: simulators.get("gempix2", f"/api/task-status/{task_id}").json(),
        lambda document: document["status"] != "processing",
    )


def test_accepted_task_is_answered_as_documented(simulators: Simulators) -> None:
    accepted = submit(simulators)
    task_id = accepted.json()["taskId"]
    assert accepted.status_code == 200
    assert accepted.json() == {"success": True, "taskId": task_id, "status": "processing", "estimatedTime": 30}
    assert task_id.startswith("task_")


def test_completed_task_has_an_image_and_a_download(simulators: Simulators) -> None:
    document = ended(simulators)

    image, download = document.pop("imageUrl"), document.pop("downloadUrl")
    assert document == {"success": True, "status": "completed"}
    assert opened(simulators.http.get(image).content).size == (512, 512)
    assert download.startswith(f"{simulators.url}/gempix2/api/download/task_")


def test_failed_task_has_the_documented_error(simulators: Simulators) -> None:
    simulators.misbehave(result={"fail": {"code": "INVALID_PROMPT", "message": "not that"}})
    assert ended(simulators) == {
        "success": False,
        "status": "failed",
        "error": {"code": "INVALID_PROMPT", "message": "not that"},
    }


def test_success_may_come_without_an_image(simulators: Simulators) -> None:
    simulators.misbehave(result={"empty": True})
    assert ended(simulators) == {"success": True, "status": "completed"}


def test_nobody_is_called_back(simulators: Simulators) -> None:
    ended(simulators)
    assert simulators.control("callbacks")["callbacks"] == []
    [sent] = simulators.control("submits", provider="gempix2")["submits"]
    assert (sent["accepted"], sent["callback_url"]) == (True, None)


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"prompt": None}, "INVALID_PROMPT", "prompt: required"),
        ({"prompt": ""}, "INVALID_PROMPT", "prompt: "),
        ({"prompt": "x" * 2_001}, "INVALID_PROMPT", "prompt: "),
        ({"prompt": ["a"]}, "INVALID_PROMPT", "prompt: "),
        ({"mode": None}, None, "mode: required"),
        ({"mode": "text-to-image"}, None, "mode: "),
        ({"imageSize": "1:1"}, None, "imageSize: "),
        ({"imageSize": "4_3"}, None, "imageSize: "),
        ({"outputFormat": "webp"}, None, "outputFormat: "),
        (TO_IMAGE, "INVALID_IMAGE_URL", "referenceImages: required for image_to_image"),
        (TO_IMAGE | {"referenceImages": []}, "INVALID_IMAGE_URL", "referenceImages: required for image_to_image"),
        ({"referenceImages": [HTTPS]}, "INVALID_IMAGE_URL", "referenceImages: required for image_to_image, and only"),
        (TO_IMAGE | {"referenceImages": HTTPS}, "INVALID_IMAGE_URL", "referenceImages: "),
        (TO_IMAGE | {"referenceImages": [HTTPS, "a.png"]}, "INVALID_IMAGE_URL", "referenceImages[1]: must be a public"),
        ({"model": "nano-banana-2"}, None, "model: unknown parameter"),
        ({"image_size": "1_1"}, None, "image_size: unknown parameter"),
        ({"callbackUrl": HTTPS}, None, "callbackUrl: unknown parameter"),
    ],
)
def test_wrong_body_is_refused_by_name(
    simulators: Simulators, change: dict[str, Any], code: str | None, message: str
) -> None:
    response = submit(simulators, **change)

    assert response.status_code == 400
    document = response.json()
    assert document["success"] is False
    assert document["error"].get("code") == code
    assert document["error"]["message"].startswith(message)


def test_prompt_of_the_longest_length_is_taken(simulators: Simulators) -> None:
    assert submit(simulators, prompt="fox " * 500).status_code == 200


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "INVALID_API_KEY"), (402, "INSUFFICIENT_CREDITS"), (429, "RATE_LIMIT_EXCEEDED"), (500, None)],
)
def test_refusal_has_the_code_that_its_status_means(simulators: Simulators, status: int, code: str | None) -> None:
    simulators.misbehave(submit={"refuse": status})
    response = submit(simulators)
    assert (response.status_code, response.json()["success"]) == (status, False)
    assert response.json()["error"].get("code") == code


def test_wrong_key_is_refused_at_both_ends(simulators: Simulators) -> None:
    refused = {"success": False, "error": {"code": "INVALID_API_KEY", "message": "API key is invalid"}}
    sent = simulators.post("gempix2", "/api/generate-image", {}, headers={"Authorization": "Bearer wrong"})
    assert (sent.status_code, sent.json()) == (401, refused)
    read = simulators.http.get(f"{simulators.url}/gempix2/api/task-status/task_0")
    assert (read.status_code, read.json()) == (401, refused)


def test_what_is_not_there_is_not_found(simulators: Simulators) -> None:
    apixo_id = simulators.apixo().json()["data"]["taskId"]
    for path in (f"/api/task-status/{apixo_id}", "/api/task-status/", "/api/download/task_0", "/generate-image"):
        response = simulators.get("gempix2", path)
        assert (response.status_code, response.json()["success"]) == (404, False)


@pytest.mark.parametrize(
    ("change", "image_format", "size"),
    [
        ({}, "PNG", (512, 512)),
        ({"imageSize": "16_9", "outputFormat": "jpeg"}, "JPEG", (512, 288)),
        ({"imageSize": "9_16", "outputFormat": "png"}, "PNG", (288, 512)),
    ],
)
def test_image_is_as_asked(
    simulators: Simulators, change: dict[str, Any], image_format: str, size: tuple[int, int]
) -> None:
    image = opened(simulators.http.get(ended(simulators, **change)["imageUrl"]).content)
    assert (image.format, image.size) == (image_format, size)


def test_reference_is_read(simulators: Simulators) -> None:
    reference = f"{simulators.url}/references/cat.png"
    assert ended(simulators, **TO_IMAGE, referenceImages=[reference])["status"] == "completed"
    unreadable = ended(simulators, **TO_IMAGE, referenceImages=[reference, HTTPS])
    assert (unreadable["success"], unreadable["error"]["code"]) == (False, "INVALID_IMAGE_URL")
