"""GET: a client's own tasks and files, and the models."""

from dataclasses import asdict
from itertools import count
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from pixhook.catalogue import MODELS
from pixhook.lifecycle import is_terminal
from pixhook.model import ErrorCode, Failure, Image, Status, Task
from pixhook.problems import CONTENT_TYPE
from tests.conftest import SETTINGS
from tests.flow.cloud import ServiceAnswer, service_error
from tests.flow.world import Answer, World
from tests.support.builders import NOW, TASK_ID, a_task

IMAGES = tuple(
    Image(
        bucket=SETTINGS["IMAGES_BUCKET"],
        key=f"images/{TASK_ID}/{number}.{extension}",
        sha256=str(number) * 64,
        size=1000 + number,
        content_type=content_type,
        width=640,
        height=480,
    )
    for number, (extension, content_type) in enumerate((("png", "image/png"), ("jpg", "image/jpeg")))
)
FAILURE = Failure(code=ErrorCode.CONTENT_POLICY, message="apixo failed the task.")


def a_task_in(world: World, status: Status, **changes: Any) -> Task:
    """A task that has come this far, in the table."""
    task = a_task(status=Status.QUEUED)
    world.put_task(task)
    if status is Status.COMPLETED:
        world.table.move(task, Status.STORING, NOW)
    arrive = world.table.end if is_terminal(status) else world.table.move
    return arrive(task, status, NOW, **changes) or task


def assert_problem(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.document["code"]) == (status, code), answer
    assert answer.headers["content-type"] == CONTENT_TYPE


# Models


def test_models_are_those_of_the_catalogue_with_what_is_on_offer_now(world: World) -> None:
    listed = world.get("/models").document["models"]

    assert [model["id"] for model in listed] == list(MODELS)
    for model in listed:
        offers = MODELS[model["id"]].offers
        assert model["available"]
        assert model["credits"] == MODELS[model["id"]].credits
        assert model["credits_by_resolution"] == MODELS[model["id"]].credits_by_resolution
        assert [row["provider"] for row in model["providers"]] == [offer.provider for offer in offers]
        for row, offer in zip(model["providers"], offers, strict=True):
            assert row["available"]
            assert (row["prompt"]["max"], row["images"]["max"]) == (offer.prompt[-1], offer.references[-1])
            assert row["aspect_ratio"] == list(offer.aspect_ratios)
            assert row["resolution"] == list(offer.resolutions)
            assert row["output_format"] == list(offer.output_formats)
            assert row["web_search"] == offer.web_search
            assert row["native_price"] == (offer.native_price and asdict(offer.native_price))
            assert ("text-to-image" in row["modes"]) == (0 in offer.references)
            assert ("image-to-image" in row["modes"]) == (offer.references[-1] > 0)


def test_model_whose_providers_have_no_key_is_not_on_offer(world: World) -> None:
    world.store_secret("PROVIDERS_SECRET", {"defapi": {"api_key": "key"}})
    for model in world.get("/models").document["models"]:
        made_by = [row["provider"] for row in model["providers"] if row["available"]]
        assert set(made_by) <= {"defapi"}
        assert model["available"] == bool(made_by)


# A task


@pytest.mark.parametrize("status", [Status.PROCESSING, Status.STORING, Status.COMPLETED, Status.FAILED])
def test_client_sees_its_own_task(world: World, status: Status) -> None:
    changes: dict[Status, dict[str, Any]] = {Status.COMPLETED: {"images": IMAGES}, Status.FAILED: {"failure": FAILURE}}
    a_task_in(world, status, **changes.get(status, {}))

    answer = world.get(f"/images/{TASK_ID}")

    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    document = answer.document
    assert (document["id"], document["status"]) == (TASK_ID, status)
    assert len(document["files"]) == (len(IMAGES) if status is Status.COMPLETED else 0)
    assert (document["error"] or {}).get("code") == ("content_policy" if status is Status.FAILED else None)
    assert "X-Amz-" not in answer.body


@pytest.mark.parametrize("path", ["", "/files/0"])
def test_another_accounts_task_looks_like_one_that_is_not_there(world: World, path: str) -> None:
    foreign = world.get(f"/images/{a_task_in(world, Status.PROCESSING).id}{path}", account_id="acc_2")
    unknown = world.get(f"/images/tsk_2{path}", account_id="acc_2")

    assert_problem(foreign, 404, "not_found")
    assert foreign.body == unknown.body
    assert foreign.headers == unknown.headers


@pytest.mark.parametrize("path", ["", "/files/0"])
def test_task_that_cannot_be_read_now_may_be_asked_for_again(world: World, path: str) -> None:
    with world.refusing("GetItem"):
        answer = world.get(f"/images/{TASK_ID}{path}")

    assert_problem(answer, 503, "service_unavailable")
    assert answer.document["retryable"] is True


@pytest.mark.parametrize("end", [Status.COMPLETED, Status.FAILED])
def test_who_waits_has_the_task_as_soon_as_it_ends(world: World, end: Status) -> None:
    task = a_task_in(world, Status.STORING)
    looks = count()

    def end_meanwhile() -> None:
        if next(looks) == 2:
            world.table.end(task, end, NOW)

    world.while_it_waits = end_meanwhile
    answer = world.get(f"/images/{TASK_ID}?wait=25")

    assert (answer.status, answer.document["status"]) == (200, end)
    assert next(looks) == 3


def test_nobody_waits_for_what_has_ended_or_without_asking(world: World) -> None:
    world.while_it_waits = lambda: pytest.fail("it waited")
    task = a_task_in(world, Status.STORING)
    assert world.get(f"/images/{TASK_ID}").document["status"] == "storing"
    assert world.get(f"/images/{TASK_ID}?wait=0").document["status"] == "storing"
    world.table.end(task, Status.COMPLETED, NOW)
    assert world.get(f"/images/{TASK_ID}?wait=25").document["status"] == "completed"


def test_trouble_while_somebody_waits_gives_the_task_as_it_was_seen(world: World) -> None:
    a_task_in(world, Status.PROCESSING)
    waiting = count()

    def refuse_once_it_waits(operation: str) -> ServiceAnswer | None:
        return service_error() if operation == "GetItem" and next(waiting) > 1 else None

    with world.disturbed(refuse_once_it_waits):
        answer = world.get(f"/images/{TASK_ID}?wait=25")

    assert (answer.status, answer.document["status"]) == (200, "processing")


def test_nobody_waits_longer_than_the_function_has(world: World) -> None:
    a_task_in(world, Status.PROCESSING)
    world.seconds_left = 4.0
    world.while_it_waits = lambda: pytest.fail("it waited")
    assert world.get(f"/images/{TASK_ID}?wait=25").document["status"] == "processing"


def test_who_has_waited_long_enough_has_the_task_as_it_is(world: World) -> None:
    a_task_in(world, Status.PROCESSING)
    assert world.get(f"/images/{TASK_ID}?wait=1").document["status"] == "processing"


@pytest.mark.parametrize(
    ("query", "field"), [("wait=26", "wait"), ("wait=-1", "wait"), ("wait=x", "wait"), ("w=1", "w")]
)
def test_wait_that_is_none_is_refused(world: World, query: str, field: str) -> None:
    a_task_in(world, Status.PROCESSING)
    answer = world.get(f"/images/{TASK_ID}?{query}")
    assert (answer.status, answer.document["field"]) == (422, field)


# A file


@pytest.mark.parametrize("number", range(len(IMAGES)))
def test_file_is_a_redirect_to_where_it_can_be_read_for_a_while(world: World, number: int) -> None:
    a_task_in(world, Status.COMPLETED, images=IMAGES)

    answer = world.get(f"/images/{TASK_ID}/files/{number}")

    assert (answer.status, answer.body, answer.headers["cache-control"]) == (302, "", "no-store")
    url = urlsplit(answer.headers["location"])
    asked = {name: value for name, [value] in parse_qs(url.query).items()}
    assert url.scheme == "https"
    assert f"{url.hostname}{url.path}".endswith(f"/{IMAGES[number].key}")
    assert SETTINGS["IMAGES_BUCKET"] in f"{url.hostname}{url.path.removesuffix(IMAGES[number].key)}"
    assert (asked["X-Amz-Algorithm"], asked["X-Amz-Expires"]) == ("AWS4-HMAC-SHA256", "900")
    filename = f"{TASK_ID}-{number}.{IMAGES[number].key[-3:]}"
    assert asked["response-content-disposition"] == f'inline; filename="{filename}"'


@pytest.mark.parametrize("seconds", [1, 7 * 24 * 3600])
def test_file_is_to_be_had_for_as_long_as_was_asked(world: World, seconds: int) -> None:
    a_task_in(world, Status.COMPLETED, images=IMAGES)
    answer = world.get(f"/images/{TASK_ID}/files/0?expires_in={seconds}")
    assert parse_qs(urlsplit(answer.headers["location"]).query)["X-Amz-Expires"] == [str(seconds)]


@pytest.mark.parametrize("seconds", ["0", "604801", "-1", "1.5", "soon", ""])
def test_file_is_not_to_be_had_for_longer_than_a_week_or_no_time(world: World, seconds: str) -> None:
    a_task_in(world, Status.COMPLETED, images=IMAGES)
    answer = world.get(f"/images/{TASK_ID}/files/0?expires_in={seconds}")
    assert (answer.status, answer.document["field"]) == (422, "expires_in")


@pytest.mark.parametrize("status", [Status.QUEUED, Status.PROCESSING, Status.STORING])
def test_file_of_a_task_that_goes_on_is_not_ready(world: World, status: Status) -> None:
    if status is Status.QUEUED:
        world.put_task(a_task(status=status))
    else:
        a_task_in(world, status)

    answer = world.get(f"/images/{TASK_ID}/files/0")

    assert_problem(answer, 409, "not_ready")
    assert answer.document["retryable"] is True


def test_failed_task_has_no_file(world: World) -> None:
    a_task_in(world, Status.FAILED, failure=FAILURE)

    assert_problem(world.get(f"/images/{TASK_ID}/files/0"), 404, "not_found")


@pytest.mark.parametrize(
    "number", ["2", "-1", "+0", "0.0", "0x0", "1e0", "zero", "%20", "%D9%A0", "%C2%B2", "0,1", "9" * 20, "9" * 5000]
)
def test_file_is_named_by_its_number_alone(world: World, number: str) -> None:
    a_task_in(world, Status.COMPLETED, images=IMAGES)

    assert_problem(world.get(f"/images/{TASK_ID}/files/{number}"), 404, "not_found")
