"""Misbehaviour: each kind, on request and only then, and what is told of it afterwards."""

import json
import threading
from typing import Any

import httpx
import pytest

from local.simulators import PROVIDERS
from local.simulators.deliveries import forged
from local.simulators.engine import Settings
from tests.unit.simulators.support import Receiver, Simulators, opened, running_simulators

pytestmark = pytest.mark.enable_socket


def test_behaviour_applies_where_it_matches_and_as_often_as_asked(simulators: Simulators) -> None:
    simulators.misbehave(provider="apixo", submit={"refuse": 500})
    simulators.misbehave(prompt_contains="owl", times=2, submit={"refuse": 429})
    simulators.misbehave(prompt_contains="owl", times=1, submit={"refuse": 503})
    assert simulators.defapi(prompt="a fox").status_code == 200
    assert [simulators.defapi(prompt="an owl").status_code for _ in range(4)] == [429, 429, 503, 200]
    assert [simulators.apixo(prompt="an owl").status_code for _ in range(2)] == [500, 500]


def test_submit_that_the_provider_refuses_uses_nothing_up(simulators: Simulators) -> None:
    simulators.misbehave(times=1, submit={"refuse": 503})
    assert simulators.defapi(model="none").status_code == 400
    assert simulators.defapi().status_code == 503


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        ({"provder": "apixo"}, "provder: Extra inputs are not permitted"),
        ({"submit": {"refuze": 1}}, "submit.refuze: Extra inputs are not permitted"),
        ({"submit": {"break": "sometimes"}}, "submit.break: Input should be"),
        ({"submit": {"refuse": 500, "body": ""}}, "submit: at most one of refuse, body and break"),
        ({"submit": {"refuse": 200}}, "submit.refuse: "),
        ({"status": {"first": ["soon"]}}, "status.first[0]"),
        ({"callback": {"deliveries": [{"body": "torn"}]}}, "callback.deliveries[0].body: "),
        ({"result": {"format": "gif"}}, "result.format: "),
        ({"times": 0}, "times: "),
        ({"provider": "nobody"}, f"provider: must be one of {', '.join(sorted(PROVIDERS))}, or null"),
    ],
)
def test_unknown_misbehaviour_is_refused_by_name(simulators: Simulators, behaviour: object, error: str) -> None:
    response = simulators.http.post(f"{simulators.url}/_control/behaviours", json=behaviour)
    assert response.status_code == 400
    assert response.json()["error"].startswith(error)


def test_behaviours_can_be_forgotten(simulators: Simulators) -> None:
    simulators.misbehave(submit={"refuse": 500})
    assert simulators.http.delete(f"{simulators.url}/_control/behaviours").status_code == 204
    assert simulators.defapi().status_code == 200


def test_refusal_is_in_the_providers_words(simulators: Simulators) -> None:
    simulators.misbehave(submit={"refuse": 402}, times=2)
    assert simulators.apixo().json() == {"code": 402, "message": "Insufficient balance or quota"}
    assert simulators.defapi().json() == {"code": 1, "message": "failed", "detail": "insufficient credits"}

    simulators.misbehave(submit={"refuse": 400, "code": "SensitiveContent", "message": "not that"})
    assert simulators.apixo().json() == {"code": 400, "message": "not that", "data": {"error": "SensitiveContent"}}
    assert simulators.defapi().json() == {"code": "SensitiveContent", "message": "failed", "detail": "not that"}


def test_submit_may_be_answered_verbatim(simulators: Simulators) -> None:
    simulators.misbehave(submit={"body": '{"code": 200', "status": 202})
    response = simulators.apixo()
    assert (response.status_code, response.text) == (202, '{"code": 200')
    assert [submit["accepted"] for submit in simulators.control("submits")["submits"]] == [False]


@pytest.mark.parametrize(
    ("asked", "accepted"),
    [
        ({"break": "reset_before"}, False),
        ({"break": "hang_before", "delay_s": 0.01}, False),
        ({"break": "reset_after"}, True),
        ({"break": "hang_after", "delay_s": 0.01}, True),
    ],
)
def test_broken_submit_has_no_answer(simulators: Simulators, asked: dict[str, Any], accepted: bool) -> None:
    simulators.misbehave(submit=asked)

    with pytest.raises(httpx.TransportError):
        simulators.defapi()

    (submit,) = simulators.control("submits")["submits"]
    assert (submit["status"], submit["accepted"]) == (None, accepted)
    if accepted:
        assert simulators.defapi_ended(submit["task_id"])["data"]["status"] == "success"


@pytest.mark.parametrize(("how", "accepted"), [("hang_before", False), ("hang_after", True)])
def test_hanging_submit_outlasts_the_client(simulators: Simulators, how: str, accepted: bool) -> None:
    simulators.misbehave(submit={"break": how})
    with httpx.Client(trust_env=False, timeout=0.2) as impatient, pytest.raises(httpx.ReadTimeout):
        Simulators(simulators.url, impatient).defapi()
    assert [submit["accepted"] for submit in simulators.control("submits")["submits"]] == [accepted]


def test_accepted_submit_may_be_answered_by_a_page(simulators: Simulators) -> None:
    simulators.misbehave(submit={"break": "garbage_after"})
    response = simulators.defapi()
    assert (response.status_code, response.text[:15]) == (200, "<!doctype html>")
    (submit,) = simulators.control("submits")["submits"]
    assert (submit["status"], submit["accepted"]) == (200, True)


def test_slow_submit_is_answered_after_its_delay(simulators: Simulators) -> None:
    simulators.misbehave(submit={"delay_s": 0.1})
    assert simulators.defapi().elapsed.total_seconds() >= 0.1


def test_callback_may_come_before_the_answer(simulators: Simulators, receiver: Receiver) -> None:
    seen: list[dict[str, Any]] = []
    receiver.while_delivering = lambda: seen.extend(
        httpx.get(f"{simulators.url}/_control/submits", trust_env=False).json()["submits"]
    )
    simulators.misbehave(callback={"before_answer": True})

    task_id = simulators.defapi(callback_url=receiver.url).json()["data"]["task_id"]

    assert [(submit["task_id"], submit["status"]) for submit in seen] == [(task_id, None)]
    assert [callback["status"] for callback in simulators.control("callbacks")["callbacks"]] == [200]


def test_callback_may_be_omitted(simulators: Simulators, receiver: Receiver) -> None:
    simulators.misbehave(times=1, callback={"omit": True, "before_answer": True})
    silent = simulators.defapi(callback_url=receiver.url).json()["data"]["task_id"]
    simulators.defapi_ended(silent)
    simulators.callbacks(simulators.defapi(callback_url=receiver.url).json()["data"]["task_id"], 1)
    assert simulators.control("callbacks", task_id=silent)["callbacks"] == []


def test_deliveries_may_repeat_contradict_and_be_damaged(simulators: Simulators, receiver: Receiver) -> None:
    other = simulators.defapi().json()["data"]["task_id"]
    simulators.misbehave(
        callback={
            "deliveries": [
                {"outcome": "running"},
                {"outcome": "unknown"},
                {"outcome": "failed", "delay_s": 0.01},
                {"body": "truncated"},
                {"body": "garbage"},
                {"body": "foreign"},
                {"url": "forged"},
                {},
                {},
            ]
        }
    )
    task_id = simulators.defapi(callback_url=receiver.url).json()["data"]["task_id"]

    sent = simulators.callbacks(task_id, 9)

    running, unknown, failed, truncated, garbage, foreign, astray, first, second = (call["body"] for call in sent)
    assert json.loads(running)["status"] == "in_progress"
    assert json.loads(unknown)["status"] == "unknown"
    assert json.loads(failed)["status"] == "failed"
    assert first.startswith(truncated)
    assert garbage.startswith("<")
    assert json.loads(foreign) == json.loads(first) | {"task_id": other}
    assert first == second == astray
    urls = [callback["url"] for callback in sent]
    assert urls[6] == forged(receiver.url) != receiver.url
    assert set(urls[:6] + urls[7:]) == {receiver.url}
    assert receiver.paths[6] == "/hook/task-1/mac-012345AAAA?v=1"


def test_failed_task_may_be_claimed_a_success(simulators: Simulators, receiver: Receiver) -> None:
    simulators.misbehave(
        result={"fail": {"code": "NSFW", "message": "no"}}, callback={"deliveries": [{"outcome": "success"}, {}]}
    )
    task_id = simulators.defapi(callback_url=receiver.url).json()["data"]["task_id"]

    claimed, true = (json.loads(callback["body"]) for callback in simulators.callbacks(task_id, 2))

    assert (claimed["status"], true["status"]) == ("success", "failed")
    assert opened(simulators.http.get(claimed["result"][0]["image"]).content)


@pytest.mark.parametrize("image_format", ["png", "jpeg", "webp"])
def test_padded_image_is_still_an_image(simulators: Simulators, image_format: str) -> None:
    simulators.misbehave(times=1, result={"min_bytes": 3_000_001, "format": image_format})
    padded = simulators.http.get(simulators.defapi_file()).content
    simulators.misbehave(times=1, result={"format": image_format})
    plain = simulators.http.get(simulators.defapi_file()).content

    assert 3_000_001 <= len(padded) < 3_010_000
    assert opened(padded).tobytes() == opened(plain).tobytes()


def test_several_images_come_where_one_was_asked_for(simulators: Simulators) -> None:
    simulators.misbehave(result={"images": 3})
    data = simulators.apixo_ended(simulators.apixo().json()["data"]["taskId"])["data"]
    assert len(json.loads(data["resultJson"])["resultUrls"]) == 3


def test_host_may_fail_at_first(simulators: Simulators) -> None:
    simulators.misbehave(host={"fail_first": 2})
    url = simulators.defapi_file()
    assert [simulators.http.get(url).status_code for _ in range(3)] == [503, 503, 200]


def test_host_may_refuse_for_good(simulators: Simulators) -> None:
    simulators.misbehave(host={"status": 403})
    url = simulators.defapi_file()
    assert [simulators.http.get(url).status_code for _ in range(2)] == [403, 403]


def test_host_may_redirect(simulators: Simulators) -> None:
    simulators.misbehave(times=1, host={"redirects": 3})
    response = simulators.http.get(simulators.defapi_file(), follow_redirects=True)
    assert [hop.status_code for hop in response.history] == [302, 302, 302]
    assert opened(response.content)

    simulators.misbehave(host={"redirect_to": "http://169.254.169.254/"})
    assert simulators.http.get(simulators.defapi_file()).headers["location"] == "http://169.254.169.254/"


@pytest.mark.parametrize("chunked", [False, True])
def test_host_may_stop_half_way(simulators: Simulators, chunked: bool) -> None:
    simulators.misbehave(host={"truncate": True, "chunked": chunked}, result={"min_bytes": 500_000})
    with pytest.raises(
        httpx.RemoteProtocolError, match=r"without sending complete message body|incomplete chunked read"
    ):
        simulators.http.get(simulators.defapi_file())


def test_host_may_keep_the_length_to_itself(simulators: Simulators) -> None:
    simulators.misbehave(host={"chunked": True})
    response = simulators.http.get(simulators.defapi_file())
    assert "content-length" not in response.headers
    assert opened(response.content)


def test_host_may_lie_about_the_type(simulators: Simulators) -> None:
    simulators.misbehave(times=1, host={"content_type": "application/octet-stream"})
    response = simulators.http.get(simulators.defapi_file())
    assert response.headers["content-type"] == "application/octet-stream"
    assert opened(response.content)

    simulators.misbehave(host={"page_first": 1})
    response = simulators.http.get(simulators.defapi_file())
    assert response.headers["content-type"] == "image/png"
    assert response.text.startswith("<!doctype html>")


def test_host_may_be_slow(simulators: Simulators) -> None:
    simulators.misbehave(host={"delay_s": 0.1})
    assert simulators.http.get(simulators.defapi_file()).elapsed.total_seconds() >= 0.1


def test_submits_are_told_in_order_without_credentials(simulators: Simulators) -> None:
    simulators.apixo(prompt="an owl", callback_url="https://127.0.0.1:1/hook")
    simulators.defapi(prompt="a fox", model="none")
    simulators.post("defapi", "/api/image/gen", {"prompt": "an owl"}, headers={"Authorization": "Bearer wrong"})

    first, second, third = simulators.control("submits")["submits"]

    assert first == {
        "provider": "apixo",
        "at": first["at"],
        "path": "/apixo/api/v1/generateTask/nano-banana-2",
        "body": {
            "request_type": "callback",
            "callback_url": "https://127.0.0.1:1/hook",
            "input": {"mode": "text-to-image", "prompt": "an owl", "aspect_ratio": "3:2", "resolution": "1k"},
        },
        "status": 200,
        "accepted": True,
        "task_id": first["task_id"],
        "callback_url": "https://127.0.0.1:1/hook",
    }
    assert (second["status"], second["accepted"], second["task_id"]) == (400, False, None)
    assert (third["status"], third["body"]) == (401, {"prompt": "an owl"})
    assert "Bearer" not in json.dumps([first, second, third])
    assert simulators.control("submits", provider="apixo")["submits"] == [first]
    assert simulators.control("submits", prompt_contains="owl")["submits"] == [first, third]


def test_status_reads_are_counted(simulators: Simulators) -> None:
    task_id = simulators.defapi().json()["data"]["task_id"]
    simulators.get("defapi", "/api/task/query", task_id=task_id)
    simulators.get("defapi", "/api/task/query", task_id="ta0")
    assert simulators.control("status_reads", provider="defapi") == {"count": 2, "task_ids": [task_id, "ta0"]}
    assert simulators.control("status_reads", provider="apixo") == {"count": 0, "task_ids": []}


def test_all_can_be_forgotten(simulators: Simulators) -> None:
    url = simulators.defapi_file()
    task_id = simulators.control("submits")["submits"][0]["task_id"]

    simulators.forget()

    assert simulators.control("submits") == {"submits": []}
    assert simulators.get("defapi", "/api/task/query", task_id=task_id).status_code == 404
    assert simulators.http.get(url).status_code == 404


def test_status_tells_the_truth_while_a_task_is_under_way() -> None:
    with running_simulators(Settings(delay_s=600)) as slow:
        apixo_id = slow.apixo().json()["data"]["taskId"]
        status = slow.get("apixo", "/statusTask/nano-banana-2", taskId=apixo_id).json()["data"]
        assert status == {"taskId": apixo_id, "state": "pending", "createTime": status["createTime"]}
        defapi_id = slow.defapi().json()["data"]["task_id"]
        data = slow.get("defapi", "/api/task/query", task_id=defapi_id).json()["data"]
        assert (data["status"], data["result"]) == ("pending", None)


def test_two_submits_at_once_are_two_tasks(simulators: Simulators) -> None:
    answers: list[httpx.Response] = []
    threads = [threading.Thread(target=lambda: answers.append(simulators.defapi())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({answer.json()["data"]["task_id"] for answer in answers}) == 8


def test_first_status_reads_may_be_refused(simulators: Simulators) -> None:
    simulators.misbehave(status={"first": [404, 503]})
    task_id = simulators.defapi().json()["data"]["task_id"]

    reads = [simulators.get("defapi", "/api/task/query", task_id=task_id) for _ in range(3)]

    assert [read.status_code for read in reads] == [404, 503, 200]


def test_first_status_reads_may_be_told_something_else(simulators: Simulators, receiver: Receiver) -> None:
    simulators.misbehave(status={"first": ["running", "unknown", "failed"]})
    task_id = simulators.defapi(callback_url=receiver.url).json()["data"]["task_id"]
    simulators.callbacks(task_id, 1)

    reads = [simulators.get("defapi", "/api/task/query", task_id=task_id).json()["data"] for _ in range(4)]

    assert [read["status"] for read in reads] == ["in_progress", "unknown", "failed", "success"]


def test_task_may_never_end(simulators: Simulators, receiver: Receiver) -> None:
    simulators.misbehave(times=1, result={"never": True}, callback={"before_answer": True})

    task_id = simulators.defapi(callback_url=receiver.url).json()["data"]["task_id"]

    assert simulators.get("defapi", "/api/task/query", task_id=task_id).json()["data"]["status"] == "in_progress"
    assert simulators.control("callbacks", task_id=task_id)["callbacks"] == []
