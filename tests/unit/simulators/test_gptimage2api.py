"""The gptimage2api.org simulator speaks its dialect, refuses what it refuses, and calls nobody back."""

from typing import Any

import pytest

from tests.unit.simulators.support import Simulators, opened

pytestmark = pytest.mark.enable_socket

HTTPS = "https://127.0.0.1:1/a.png"


def test_accepted_task_ends_in_the_status_of_the_reference(simulators: Simulators) -> None:
    response = simulators.gptimage2api()
    accepted = response.json()
    assert response.status_code == 200
    assert accepted == {"taskId": accepted["taskId"], "status": 0, "creditsUsed": 3}

    document = simulators.gptimage2api_ended(accepted["taskId"])

    [url] = document["imageUrls"]
    assert document.pop("createdAt").endswith("Z")
    assert document.pop("updatedAt").endswith("Z")
    assert document == {
        "taskId": accepted["taskId"],
        "type": "image",
        "status": 1,
        "model": "gpt-image-2",
        "prompt": "a fox",
        "imageUrls": [url],
        "videoUrl": None,
        "errorCode": None,
        "errorMessage": None,
        "creditsUsed": 3,
        "creditsRefunded": False,
    }
    assert opened(simulators.http.get(url).content).size == (512, 512)


def test_failure_has_a_code_and_gives_the_credits_back(simulators: Simulators) -> None:
    simulators.misbehave(result={"fail": {"code": "STORAGE_ERROR", "message": "no room"}})

    document = simulators.gptimage2api_ended(simulators.gptimage2api().json()["taskId"])

    assert (document["status"], document["imageUrls"], document["creditsRefunded"]) == (2, [], True)
    assert (document["errorCode"], document["errorMessage"]) == ("STORAGE_ERROR", "no room")


def test_nobody_is_called_back(simulators: Simulators) -> None:
    task_id = simulators.gptimage2api().json()["taskId"]
    simulators.gptimage2api_ended(task_id)
    assert simulators.control("callbacks", task_id=task_id) == {"callbacks": []}


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"prompt": None}, "prompt", "Prompt is required"),
        ({"model": None}, "model", "Model is required"),
        ({"prompt": ""}, "prompt", ""),
        ({"prompt": ["a"]}, "prompt", ""),
        ({"prompt": "x" * 20_001}, "prompt", "At most 20000 characters"),
        ({"model": "nano-banana-pro", "prompt": "x" * 10_001}, "prompt", "At most 10000 characters"),
        ({"model": "google/nano-banana", "prompt": "x" * 5_001}, "prompt", "At most 5000 characters"),
        ({"model": "nano-banana"}, "model", ""),
        ({"inputImageUrls": [HTTPS] * 5}, "inputImageUrls", "At most 4 reference images"),
        ({"model": "nano-banana-2", "inputImageUrls": [HTTPS] * 15}, "inputImageUrls", "At most 14 reference images"),
        ({"inputImageUrls": [HTTPS, "cat.png"]}, "inputImageUrls", "must be a public HTTPS URL"),
        ({"aspectRatio": "1:8"}, "aspectRatio", ""),
        ({"providerInput": "fast"}, "providerInput", ""),
        ({"resolution": "2K"}, "resolution", "Unknown field"),
        ({"callback_url": HTTPS}, "callback_url", "Unknown field"),
    ],
)
def test_wrong_body_is_refused_by_name(simulators: Simulators, change: dict[str, Any], field: str, reason: str) -> None:
    response = simulators.gptimage2api(**change)

    assert response.status_code == 400
    document = response.json()
    [message] = document["details"]["fieldErrors"].pop(field)
    assert message.startswith(reason)
    assert document == {"error": "Invalid request", "details": {"formErrors": [], "fieldErrors": {}}}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, {"error": "Invalid request", "details": {}}),
        (402, {"error": "Insufficient credits", "required": 12}),
        (429, {"error": "Too many requests"}),
        (500, {"error": "Internal server error"}),
        (503, {"error": "Request failed"}),
    ],
)
def test_refusal_on_request_is_in_its_own_words(simulators: Simulators, status: int, expected: dict[str, Any]) -> None:
    simulators.misbehave(submit={"refuse": status})
    response = simulators.gptimage2api()
    assert (response.status_code, response.json()) == (status, expected)


def test_wrong_key_is_refused(simulators: Simulators) -> None:
    submit = simulators.post("gptimage2api", "/api/ai/image/generate", {}, headers={"Authorization": ""})
    read = simulators.http.get(f"{simulators.url}/gptimage2api/api/ai/tasks/tsk_0")
    for response in (submit, read):
        assert (response.status_code, response.json()) == (401, {"error": "Unauthorized"})


def test_unknown_task_and_other_paths_are_not_found(simulators: Simulators) -> None:
    defapi_id = simulators.defapi().json()["data"]["task_id"]
    for task_id in ("tsk_0", defapi_id):
        unknown = simulators.get("gptimage2api", f"/api/ai/tasks/{task_id}")
        assert (unknown.status_code, unknown.json()) == (404, {"error": "Task not found"})
    assert simulators.post("gptimage2api", "/api/ai/video/generate", {}).status_code == 404


@pytest.mark.parametrize(
    ("change", "size", "charge"),
    [
        ({"aspectRatio": "16:9"}, (512, 288), 3),
        ({"aspectRatio": "auto", "providerInput": {"anything": [1]}}, (512, 512), 3),
        ({"model": "nano-banana-2", "aspectRatio": "4:5"}, (410, 512), 4),
        ({"model": "nano-banana-pro"}, (768, 768), 12),
        ({"model": "google/nano-banana"}, (512, 512), 3),
    ],
)
def test_image_is_as_asked(simulators: Simulators, change: dict[str, Any], size: tuple[int, int], charge: int) -> None:
    accepted = simulators.gptimage2api(**change).json()
    document = simulators.gptimage2api_ended(accepted["taskId"])
    assert opened(simulators.http.get(document["imageUrls"][0]).content).size == size
    assert accepted["creditsUsed"] == document["creditsUsed"] == charge


def test_reference_is_used_and_an_unreadable_one_fails_the_task(simulators: Simulators) -> None:
    cat = f"{simulators.url}/references/cat.png"
    ends = [
        simulators.gptimage2api_ended(simulators.gptimage2api(inputImageUrls=[url]).json()["taskId"])
        for url in (cat, HTTPS)
    ]
    assert [end["status"] for end in ends] == [1, 2]
    assert ends[1]["errorCode"] == "EMPTY_RESULT"
    assert HTTPS in ends[1]["errorMessage"]


def test_success_may_come_with_several_images_or_none(simulators: Simulators) -> None:
    for result, number in (({"images": 3}, 3), ({"empty": True}, 0)):
        simulators.misbehave(times=1, result=result)
        document = simulators.gptimage2api_ended(simulators.gptimage2api().json()["taskId"])
        assert (document["status"], len(document["imageUrls"])) == (1, number)
