"""Webhooks: signed, sent until somebody has taken them, and nobody's trouble is another's."""

import json
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from pixhook import runtime
from pixhook.errors import AddressRejected, NoAnswer, StoreUnavailable
from pixhook.flows import deliver
from pixhook.model import EventType, Task
from tests.conftest import SETTINGS
from tests.flow.cloud import aws
from tests.flow.trouble import Trouble
from tests.flow.world import Died, World
from tests.support.builders import ACCOUNT_ID

URL = "https://shop.example/hooks?from=pixhook"
SCHEDULE = [int(seconds) for seconds in SETTINGS["WEBHOOK_SCHEDULE"].split(",")]
HUGE = "Mon, 1 Jan 99999999999 00:00:00 GMT"
LATER = timedelta(days=1)


def answering(*statuses: int, **headers: str) -> Callable[[httpx.Request], httpx.Response]:
    """A receiver that answers with each status in turn, and with the last for ever."""
    left = list(statuses)
    return lambda _: httpx.Response(left.pop(0) if len(left) > 1 else left[0], headers=headers)


def ended(world: World, url: str = URL, **request: Any) -> Task:
    """A completed task whose webhook goes to `url`."""
    task = world.accepted(callback_url=url, **request)
    world.complete(task)
    return world.task(task.id)


def log(world: World, task: Task) -> list[dict[str, Any]]:
    """The task's delivery log, as its client reads it."""
    return list(world.get(f"/images/{task.id}/deliveries").document["deliveries"])


def hosts(world: World) -> list[str]:
    """Who was sent webhooks, in this order."""
    return [request.headers["host"] for request in world.receivers.requests]


def add_endpoint(world: World, **body: Any) -> dict[str, Any]:
    answer = world.request("POST", "/webhooks", {"url": "https://all.example/", **body})
    assert answer.status == 201, answer
    return answer.document


def dead_letters(world: World) -> list[dict[str, Any]]:
    answer = aws("sqs").receive_message(QueueUrl=SETTINGS["WEBHOOK_DEAD_LETTERS_URL"], MaxNumberOfMessages=10)
    return [json.loads(message["Body"]) for message in answer.get("Messages", [])]


@pytest.mark.parametrize("end", ["completed", "failed"])
def test_the_clients_url_gets_the_document_of_the_bus(world: World, end: str) -> None:
    task = world.accepted(callback_url=URL)
    (world.complete if end == "completed" else world.fail)(task)

    assert world.deliver_all() == []

    [request] = world.receivers.requests
    [event] = world.events()
    assert json.loads(request.content) == event["detail"]
    assert (request.method, str(request.url), request.headers["host"]) == (
        "POST",
        "https://93.184.216.34/hooks?from=pixhook",
        "shop.example",
    )
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-id"] == event["detail"]["id"]
    [entry] = log(world, task)
    [attempt] = entry["attempts"]
    assert (entry["status"], entry["url"], entry["type"]) == ("succeeded", URL, f"images.{end}")
    assert (attempt["status"], attempt["error"], entry["next_attempt_at"]) == (204, None, None)


def test_a_task_without_receivers_sends_nothing(world: World) -> None:
    task = ended(world, url=...)  # type: ignore[arg-type]
    assert world.deliver_all() == []
    assert world.receivers.requests == []
    assert log(world, task) == []


def test_endpoints_hear_of_what_they_have_chosen_and_each_url_once(world: World) -> None:
    add_endpoint(world)
    add_endpoint(world, url="https://failures.example/", events=["images.failed"])
    add_endpoint(world, url=URL)  # where the task's own webhook goes, too
    off = add_endpoint(world, url="https://off.example/")
    world.request("PATCH", f"/webhooks/{off['id']}", {"enabled": False})
    ended(world)

    world.deliver_all()

    assert sorted(hosts(world)) == ["all.example", "shop.example"]


def test_nobody_hears_of_another_accounts_tasks(world: World) -> None:
    add_endpoint(world)
    other = world.open_account(id="acc_other")
    task = world.task(world.submit({"model": "nano-banana-2", "prompt": "a fox"}, caller=other).document["id"])
    world.complete(task)

    world.deliver_all()

    assert hosts(world) == []


def test_receiver_that_fails_nine_times_is_reached_at_the_tenth(world: World) -> None:
    world.receivers.answers["shop.example"] = answering(*[500] * 9, 200)
    task = ended(world)
    world.deliver_all()
    gaps = []
    for _ in SCHEDULE:
        [entry] = log(world, task)
        assert entry["status"] == "pending"
        last, following = entry["attempts"][-1]["at"], entry["next_attempt_at"]
        gaps.append((datetime.fromisoformat(following) - datetime.fromisoformat(last)).total_seconds())
        world.deliver_all(beyond=timedelta(seconds=SCHEDULE[len(gaps) - 1] * 1.2))

    [entry] = log(world, task)
    assert (entry["status"], entry["attempts_made"], len(world.receivers.requests)) == ("succeeded", 10, 10)
    assert gaps == pytest.approx([seconds * (1 + deliver.JITTER / 2) for seconds in SCHEDULE], abs=0.01)
    assert timedelta(days=2.5) < timedelta(seconds=sum(gaps)) < timedelta(days=3.5)
    assert len({request.headers["webhook-id"] for request in world.receivers.requests}) == 1
    assert dead_letters(world) == []


def test_what_waits_is_not_sent_before_its_time(world: World) -> None:
    world.receivers.answers["shop.example"] = answering(500)
    ended(world)
    world.deliver_all()
    for _ in range(3):
        world.deliver_all(beyond=timedelta(seconds=1))
    assert len(world.receivers.requests) == 1
    assert world.waiting("WEBHOOK_QUEUE_URL") == 1


def test_after_the_last_attempt_a_delivery_goes_to_the_dead_letters_and_begins_anew_from_there(world: World) -> None:
    world.receivers.answers["shop.example"] = answering(500)
    task = ended(world)
    world.deliver_all()
    for _ in range(12):
        world.deliver_all(beyond=LATER)

    [entry] = log(world, task)
    assert (entry["status"], entry["given_up"], entry["attempts_made"]) == ("failed", "exhausted", 10)
    [letter] = dead_letters(world)
    assert world.waiting("WEBHOOK_QUEUE_URL") == world.waiting("ATTEMPT_QUEUE_URL") == 0

    world.receivers.answers.clear()
    aws("sqs").send_message(QueueUrl=SETTINGS["WEBHOOK_QUEUE_URL"], MessageBody=json.dumps(letter))
    world.deliver_all()
    [entry] = log(world, task)
    assert (entry["status"], entry["given_up"], entry["attempts_made"]) == ("succeeded", None, 11)


@pytest.mark.parametrize("status", [100, 199, 301, 302, 304, 307, 308, 400, 401, 404, 422, 500, 502])
def test_whatever_is_not_2xx_is_a_failure_and_no_redirect_is_followed(world: World, status: int) -> None:
    world.receivers.answers["shop.example"] = answering(status, location="https://elsewhere.example/")
    task = ended(world)

    world.deliver_all()

    [entry] = log(world, task)
    assert (entry["status"], entry["attempts"][0]["status"]) == ("pending", status)
    assert hosts(world) == ["shop.example"]


def test_410_ends_the_delivery_and_disables_the_endpoint(world: World) -> None:
    endpoint = add_endpoint(world)
    world.receivers.answers["all.example"] = answering(410)
    task = ended(world, url=...)  # type: ignore[arg-type]
    world.deliver_all()

    [entry] = log(world, task)
    assert (entry["status"], entry["given_up"]) == ("failed", "gone")
    found = world.get(f"/webhooks/{endpoint['id']}").document
    assert found["enabled"] is False
    assert found["disabled_at"] is not None
    world.deliver_all(beyond=LATER)
    ended(world, url=...)  # type: ignore[arg-type]
    world.deliver_all()
    assert len(world.receivers.requests) == 1
    assert dead_letters(world) == []


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_receiver_that_asks_for_it_is_left_alone_for_so_long(world: World, status: int, form: str) -> None:
    soon = runtime.now() + timedelta(seconds=600)
    asked = "600" if form == "seconds" else soon.strftime("%a, %d %b %Y %H:%M:%S GMT")
    world.receivers.answers["shop.example"] = answering(status, 200, **{"retry-after": asked})
    first = ended(world)
    world.deliver_all()
    second = ended(world)

    world.deliver_all()
    world.deliver_all(beyond=timedelta(seconds=500))
    assert len(world.receivers.requests) == 1
    assert [entry["attempts_made"] for entry in log(world, second)] == [0]

    world.deliver_all(beyond=timedelta(seconds=200))
    assert len(world.receivers.requests) == 3
    assert [log(world, task)[0]["status"] for task in (first, second)] == ["succeeded", "succeeded"]


@pytest.mark.parametrize("stated", ["", "soon", "-5", "Wed, 99 Foo 2026", "1e9", "99999999999", HUGE])
def test_retry_after_that_cannot_be_read_is_as_good_as_none(world: World, stated: str) -> None:
    world.receivers.answers["shop.example"] = answering(503, 200, **{"retry-after": stated})
    task = ended(world)
    world.deliver_all()
    world.deliver_all(beyond=timedelta(seconds=2 * deliver.QUIET_SECONDS))
    assert log(world, task)[0]["status"] == "succeeded"


def test_one_receivers_silence_is_no_other_receivers(world: World) -> None:
    def silent(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("silent", request=request)

    world.receivers.answers["shop.example"] = silent
    tasks = [ended(world) for _ in range(5)]
    fine = ended(world, url="https://fine.example/")

    world.deliver_all()

    assert Counter(hosts(world)) == {"shop.example": 1, "fine.example": 1}
    assert log(world, fine)[0]["status"] == "succeeded"
    errors = [attempt["error"] for task in tasks for entry in log(world, task) for attempt in entry["attempts"]]
    assert errors == [deliver._WORDS[NoAnswer]]


def test_one_accounts_receiver_is_not_kept_quiet_by_anothers(world: World) -> None:
    world.receivers.answers["shop.example"] = answering(503, 200)
    ended(world)
    world.deliver_all()
    other = world.open_account(id="acc_other")
    body = {"model": "nano-banana-2", "prompt": "a fox", "callback_url": URL}
    world.complete(world.task(world.submit(body, caller=other).document["id"]))

    world.deliver_all()

    assert hosts(world) == ["shop.example"] * 2


def test_delivery_that_is_put_off_for_ever_is_given_up(world: World) -> None:
    task = ended(world)
    world.deliver_all()
    world.receivers.answers["shop.example"] = answering(500)
    waiting = ended(world)
    host = "shop.example"
    runtime.webhooks().keep_quiet(ACCOUNT_ID, host, runtime.now() + timedelta(days=30))
    runtime.webhooks().keep_quiet(ACCOUNT_ID, host, runtime.now() + timedelta(seconds=1))  # which shortens nothing

    world.deliver_all()

    assert log(world, task)[0]["status"] == "succeeded"
    [entry] = log(world, waiting)
    assert (entry["status"], entry["given_up"], entry["attempts_made"]) == ("failed", "exhausted", 0)
    assert len(dead_letters(world)) == 1


def test_a_receiver_has_a_few_lanes_and_a_delivery_always_the_same() -> None:
    def lane(number: int, url: str = URL, account: str = ACCOUNT_ID) -> str:
        kind = EventType.COMPLETED
        event = f"evt_{number}"
        return deliver.next_turn(deliver.new_delivery("tsk", account, event, kind, url, None, runtime.now())).lane

    assert len({lane(number) for number in range(100)}) == deliver.LANES
    assert {lane(7) for _ in range(3)} == {lane(7)}
    assert lane(7, "https://SHOP.example/other").split("-")[0] == lane(7).split("-")[0]
    assert not {lane(n) for n in range(100)} & {lane(n, "https://other.example/") for n in range(100)}
    assert not {lane(n) for n in range(100)} & {lane(n, account="acc_other") for n in range(100)}


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "10.0.0.8", "::1", "::ffff:10.0.0.8"])
def test_an_address_that_is_not_public_is_never_called_though_its_name_came_to_be_there_later(
    world: World, address: str
) -> None:
    task = ended(world)
    world.receivers.addresses["shop.example"] = address

    world.deliver_all()

    [entry] = log(world, task)
    assert world.receivers.requests == []
    assert entry["attempts"][0]["error"] == deliver._WORDS[AddressRejected]
    assert address not in json.dumps(entry)
    assert entry["status"] == "pending"


def test_an_event_that_comes_twice_is_delivered_once(world: World) -> None:
    task = ended(world)
    detail = {"detail": {"task_id": task.id}}
    world.deliver_all()
    aws("sqs").send_message(QueueUrl=SETTINGS["WEBHOOK_QUEUE_URL"], MessageBody=json.dumps(detail))
    assert world.deliver_all() == []
    assert len(world.receivers.requests) == 1
    assert len(log(world, task)) == 1


def test_event_of_a_task_that_is_no_more_comes_to_nothing(world: World) -> None:
    detail = {"detail": {"task_id": "tsk_01JNEZ2W3GQK4T5V6X7Y8Z9ABC"}}
    aws("sqs").send_message(QueueUrl=SETTINGS["WEBHOOK_QUEUE_URL"], MessageBody=json.dumps(detail))
    assert world.deliver_all() == []
    assert world.receivers.requests == []


def test_message_that_is_none_of_ours_is_not_dropped_in_silence(world: World) -> None:
    with pytest.raises(ValueError, match="none of ours"):
        runtime.deliverer().handle({"something": "else"})


def test_redelivery_by_the_client(world: World) -> None:
    task = ended(world)
    world.deliver_all()
    [entry] = log(world, task)

    answer = world.request("POST", f"/images/{task.id}/deliveries/{entry['id']}/redeliver")

    assert (answer.status, answer.document["status"]) == (202, "pending")
    world.deliver_all()
    first, second = world.receivers.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert [entry["attempts_made"] for entry in log(world, task)] == [2]


def test_redelivery_has_as_many_tries_as_the_first_round(world: World) -> None:
    world.receivers.answers["shop.example"] = answering(500)
    task = ended(world)
    for _ in range(12):
        world.deliver_all(beyond=LATER)
    [entry] = log(world, task)
    world.request("POST", f"/images/{task.id}/deliveries/{entry['id']}/redeliver")
    world.deliver_all()
    for _ in range(12):
        world.deliver_all(beyond=LATER)
    [entry] = log(world, task)
    assert (entry["attempts_made"], len(entry["attempts"])) == (20, 20)
    assert len(dead_letters(world)) == 2


def test_redelivery_of_what_is_pending_does_not_wait(world: World) -> None:
    world.receivers.answers["shop.example"] = answering(500, 200)
    task = ended(world)
    world.deliver_all()
    [entry] = log(world, task)
    world.request("POST", f"/images/{task.id}/deliveries/{entry['id']}/redeliver")
    world.deliver_all()
    assert [entry["status"] for entry in log(world, task)] == ["succeeded"]
    world.deliver_all(beyond=LATER)  # the attempt that was to be made
    assert len(world.receivers.requests) == 2


@pytest.mark.parametrize("path", ["tsk_01JNEZ2W3GQK4T5V6X7Y8Z9ABC/deliveries", "{task}/deliveries/dlv_1/redeliver"])
def test_there_is_no_delivery_of_what_is_not_there(world: World, path: str) -> None:
    task = ended(world)
    method = "POST" if path.endswith("redeliver") else "GET"
    answer = world.request(method, f"/images/{path.format(task=task.id)}")
    assert (answer.status, answer.document["code"]) == (404, "not_found")


def test_deliveries_are_their_accounts_own(world: World) -> None:
    task = ended(world)
    world.deliver_all()
    [entry] = log(world, task)
    other = world.open_account(id="acc_other")
    for method, path in (("GET", ""), ("POST", f"/{entry['id']}/redeliver")):
        assert world.request(method, f"/images/{task.id}/deliveries{path}", caller=other).status == 404


def test_410_from_where_an_endpoint_was_before_does_not_disable_it(world: World) -> None:
    endpoint = add_endpoint(world)
    path = f"/webhooks/{endpoint['id']}"

    def move_and_be_gone(_: httpx.Request) -> httpx.Response:
        world.request("PATCH", path, {"url": "https://new.example/"})
        return httpx.Response(410)

    world.receivers.answers["all.example"] = move_and_be_gone
    ended(world, url=...)  # type: ignore[arg-type]
    world.deliver_all()

    found = world.get(path).document
    assert (found["url"], found["enabled"]) == ("https://new.example/", True)


def test_what_waits_for_an_endpoint_goes_to_where_it_is_then(world: World) -> None:
    endpoint = add_endpoint(world)
    world.receivers.answers["all.example"] = answering(500)
    task = ended(world, url=...)  # type: ignore[arg-type]
    world.deliver_all()
    world.request("PATCH", f"/webhooks/{endpoint['id']}", {"url": "https://new.example/"})

    world.deliver_all(beyond=timedelta(minutes=1))

    assert hosts(world) == ["all.example", "new.example"]
    assert [(entry["url"], entry["status"]) for entry in log(world, task)] == [("https://new.example/", "succeeded")]


def test_a_test_that_nobody_takes_is_no_operators_business(world: World) -> None:
    endpoint = add_endpoint(world)
    world.receivers.answers["all.example"] = answering(500)
    world.request("POST", f"/webhooks/{endpoint['id']}/test")
    for _ in range(12):
        world.deliver_all(beyond=LATER)
    [entry] = world.get(f"/webhooks/{endpoint['id']}/deliveries").document["deliveries"]
    assert entry["given_up"] == "exhausted"
    assert dead_letters(world) == []


def test_receiver_that_says_a_lot_is_not_quoted(world: World) -> None:
    def babble(_: httpx.Request) -> httpx.Response:
        raise httpx.RemoteProtocolError("SSH-2.0 " * 100_000)

    world.receivers.answers["shop.example"] = babble
    task = ended(world)
    world.deliver_all()
    [entry] = log(world, task)
    assert entry["attempts"][0]["error"] == deliver._WORDS[NoAnswer]
    assert max(len(json.dumps(line)) for line in world.log()) < 10_000


# Whatever happens at any AWS call


@pytest.mark.parametrize("trouble", ["dying_before", "dying_after", "refusal", "unheard"])
@pytest.mark.parametrize("step", range(16))
def test_trouble_at_any_call_loses_no_webhook(
    world: World, monkeypatch: pytest.MonkeyPatch, trouble: str, step: int
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)  # as the SDK does before it tries again
    world.receivers.answers["shop.example"] = answering(500, 200)
    task = ended(world)
    with getattr(Trouble(world, step), trouble)():
        raised = world.deliver_all()
    assert all(isinstance(error, StoreUnavailable | Died) for error in raised)

    for _ in range(3):
        assert world.deliver_all(beyond=LATER) == []

    [entry] = log(world, task)
    assert entry["status"] == "succeeded"
    assert 2 <= len(world.receivers.requests) <= 3
    assert world.waiting("WEBHOOK_QUEUE_URL") == world.waiting("ATTEMPT_QUEUE_URL") == 0


@pytest.mark.parametrize("step", range(12))
def test_answer_that_is_lost_below_the_sdks_own_tries_loses_no_webhook(
    world: World, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """The SDK makes the call again, and a condition does not hold any more, for the first one took effect."""
    monkeypatch.setattr("time.sleep", lambda _: None)
    world.receivers.answers["shop.example"] = answering(500, 200)
    task = ended(world)
    with Trouble(world, step).unheard_by_the_sdk():
        assert world.deliver_all() == []

    for _ in range(3):
        assert world.deliver_all(beyond=LATER) == []

    assert [entry["status"] for entry in log(world, task)] == ["succeeded"]
    assert 2 <= len(world.receivers.requests) <= 3


@pytest.mark.parametrize("trouble", ["dying_before", "dying_after", "refusal", "unheard"])
@pytest.mark.parametrize("step", range(5))
@pytest.mark.parametrize("by", ["client", "dead letter"])
def test_delivery_that_begins_anew_is_made_whatever_happens_on_the_way(
    world: World, monkeypatch: pytest.MonkeyPatch, by: str, trouble: str, step: int
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    world.receivers.answers["shop.example"] = answering(500)
    task = ended(world)
    for _ in range(12):
        world.deliver_all(beyond=LATER)
    world.receivers.answers.clear()
    [entry] = log(world, task)
    letter = {"redeliver": {"subject": task.id, "delivery_id": entry["id"]}}
    if by == "dead letter":
        aws("sqs").send_message(QueueUrl=SETTINGS["WEBHOOK_QUEUE_URL"], MessageBody=json.dumps(letter))
    is_asked = False
    with getattr(Trouble(world, step), trouble)(), suppress(Died):
        if by == "client":
            answer = world.request("POST", f"/images/{task.id}/deliveries/{entry['id']}/redeliver")
            is_asked = answer.status == 202
        else:
            world.deliver_all()

    for _ in range(3):
        world.deliver_all(beyond=LATER)

    [entry] = log(world, task)
    # A client whose request went wrong before anything was done has no good answer, and asks again.
    assert entry["status"] == "succeeded" or (by == "client" and not is_asked and entry["status"] == "failed")
