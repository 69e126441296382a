"""FinishQueue: each task comes to one end, with its images ours and its event out, whatever happens on the way."""

import io
from base64 import b64encode
from datetime import timedelta
from hashlib import sha256
from itertools import count
from typing import Any

import pytest
from PIL import Image as Picture

from local.stack import read_template
from pixhook.errors import ImageUnavailable, NotAnImage, StoreUnavailable, TaskUnknown
from pixhook.flows.finish import COPY_FOR, MAX_IMAGES, ODD_FOR, retry_delay
from pixhook.model import ErrorCode, Failure, Outcome, OutcomeState, Status, Task
from tests.conftest import SETTINGS
from tests.flow.cloud import ServiceAnswer, service_answer
from tests.flow.trouble import Trouble
from tests.flow.world import World
from tests.support.builders import a_picture, a_task

FAILURE = Failure(code=ErrorCode.CONTENT_POLICY, message="apixo failed the task.", native_code="NSFW")
FAILED = Outcome(state=OutcomeState.FAILED, failure=FAILURE, native_charge="0.1")


def succeeded(*images: str, **changes: Any) -> Outcome:
    """The provider has made these images."""
    return Outcome(state=OutcomeState.SUCCEEDED, images=images, **changes)


def a_url(world: World, *answers: bytes | int, name: str = "a.png") -> str:
    """Where an image is, or what its host answers in its place."""
    return world.image_hosts.serve(f"https://images.example/{name}", *answers or (a_picture(),))


def data_uri(content: bytes) -> str:
    """The image itself; its media type is not to be believed."""
    return f"data:image/gif;base64,{b64encode(content).decode()}"


def assert_completed(world: World, task: Task, contents: list[bytes]) -> None:
    """The task holds these images and no others; the bucket and the event agree with it to the byte."""
    task = world.task(task.id)
    assert (task.status, task.failure) == (Status.COMPLETED, None)
    stored = world.stored()
    assert [stored[image.key][0] for image in task.images] == contents
    assert len(stored) == len(contents)
    for number, (image, content) in enumerate(zip(task.images, contents, strict=True)):
        picture = Picture.open(io.BytesIO(content))
        extension = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp"}[picture.format or ""]
        assert (image.bucket, image.key) == (SETTINGS["IMAGES_BUCKET"], f"images/{task.id}/{number}.{extension}")
        assert image.content_type == stored[image.key][1] == picture.get_format_mimetype()
        assert (image.sha256, image.size) == (sha256(content).hexdigest(), len(content))
        assert (image.width, image.height) == picture.size
    assert_one_event(world, task)


def assert_failed(world: World, task: Task, code: ErrorCode) -> None:
    """The task has ended for this reason, without images."""
    task = world.task(task.id)
    assert (task.status, task.failure and task.failure.code, task.images) == (Status.FAILED, code, ())
    assert_one_event(world, task)


def assert_one_event(world: World, task: Task) -> None:
    """The task's end was told, by one event however often it came, and nothing is left to do."""
    assert world.is_quiet()
    assert task.ended_at is not None
    assert task.published_at is not None
    events = world.events()
    assert len({event["detail"]["id"] for event in events}) == 1
    for event in events:
        detail = event["detail"]
        assert event["source"] == "pixhook"
        assert event["detail-type"] == detail["type"] == f"images.{task.status}"
        assert (detail["task_id"], detail["status"], detail["metadata"]) == (task.id, task.status, {"order": 7})
        assert [image["sha256"] for image in detail["images"]] == [image.sha256 for image in task.images]
        assert [image["key"] for image in detail["images"]] == [image.key for image in task.images]
        assert (detail["error"] or {}).get("code") == (task.failure and task.failure.code)


@pytest.fixture
def task(world: World) -> Task:
    """A task that the provider has accepted."""
    return world.accepted(metadata={"order": 7})


# Ends


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_success_ends_with_the_image_in_our_bucket(world: World, task: Task, kind: str) -> None:
    content = a_picture(kind, (120, 40))
    world.put_outcome(task, succeeded(a_url(world, content), native_charge="0.04"))

    assert world.finish_all() == []
    assert_completed(world, task, [content])
    assert world.task(task.id).native_charge == "0.04"


def test_images_of_several_kinds_and_sources_keep_their_order(world: World, task: Task) -> None:
    contents = [
        a_picture(kind, (8 + n, 9 + n)) for n, kind in enumerate(("PNG", "JPEG", "WEBP", "PNG", "JPEG", "WEBP"))
    ]
    sources = [
        data_uri(content) if number % 2 else a_url(world, content, name=f"{number}")
        for number, content in enumerate(contents)
    ]
    world.put_outcome(task, succeeded(*sources))

    assert world.finish_all() == []
    assert_completed(world, task, contents)


def test_as_many_images_as_are_taken_are_stored(world: World, task: Task) -> None:
    contents = [a_picture(size=(8 + number, 8)) for number in range(MAX_IMAGES)]
    world.put_outcome(task, succeeded(*map(data_uri, contents)))

    assert world.finish_all() == []
    assert_completed(world, task, contents)


def test_failure_ends_with_the_providers_reason(world: World, task: Task) -> None:
    world.put_outcome(task, FAILED)

    assert world.finish_all() == []
    assert_failed(world, task, ErrorCode.CONTENT_POLICY)
    assert world.task(task.id).native_charge == "0.1"


def test_outcome_may_come_before_the_provider_is_known_to_have_accepted(world: World) -> None:
    task = a_task(id="tsk_2", status=Status.QUEUED, ref=None)
    world.put_task(task)
    world.put_outcome(task, FAILED)

    assert world.finish_all() == []
    assert world.task(task.id).status is Status.FAILED


# Repeated, late, contradictory


def test_repeated_outcome_changes_nothing(world: World, task: Task) -> None:
    content = a_picture()
    for charge in ("1", "2"):
        world.put_outcome(task, succeeded(a_url(world, content), native_charge=charge))

    assert world.finish_all() == []
    assert_completed(world, task, [content])
    assert len(world.events()) == 1
    assert world.task(task.id).native_charge == "1"


@pytest.mark.parametrize("is_success_first", [True, False])
def test_first_of_two_contradictory_outcomes_holds(world: World, task: Task, is_success_first: bool) -> None:
    content = a_picture()
    outcomes = [succeeded(a_url(world, content)), FAILED]
    for outcome in outcomes if is_success_first else reversed(outcomes):
        world.put_outcome(task, outcome)

    assert world.finish_all() == []
    if is_success_first:
        assert_completed(world, task, [content])
    else:
        assert_failed(world, task, ErrorCode.CONTENT_POLICY)
        assert world.stored() == {}
    assert len(world.events()) == 1


def test_late_outcome_changes_nothing_and_publishes_nothing(world: World, task: Task) -> None:
    world.put_outcome(task, FAILED)
    world.finish_all()
    ended, events = world.task(task.id), len(world.events())
    world.calls.clear()

    world.put_outcome(task, succeeded(a_url(world)))

    assert world.finish_all() == []
    assert (world.task(task.id), len(world.events())) == (ended, events)
    assert [call.operation for call in world.calls] == ["GetItem"]


@pytest.mark.parametrize("outcome", [FAILED, succeeded("https://images.example/a.png")])
def test_outcome_of_another_of_the_providers_tasks_changes_nothing(world: World, task: Task, outcome: Outcome) -> None:
    world.put_outcome(task, Outcome(state=outcome.state, ref="another", images=outcome.images, failure=outcome.failure))

    assert world.finish_all() == []
    assert world.task(task.id) == task
    assert world.events() == []


@pytest.mark.parametrize("state", [OutcomeState.RUNNING, OutcomeState.UNKNOWN])
def test_outcome_that_is_no_end_ends_nothing(world: World, task: Task, state: OutcomeState) -> None:
    world.put_outcome(task, Outcome(state=state))

    assert world.finish_all() == []
    assert world.task(task.id) == task
    assert world.events() == []


def test_outcome_of_a_task_that_is_not_there_waits_for_it(world: World) -> None:
    task = a_task(id="tsk_2")
    world.put_outcome(task, FAILED)

    for attempt in (1, 2):
        [error] = world.finish_all()
        assert isinstance(error, TaskUnknown)
        assert delays(world)[-1] == retry_delay(attempt)
        assert not world.is_quiet()
        world.time_passes()

    world.put_task(a_task(id="tsk_2", status=Status.QUEUED))
    assert world.finish_all() == []
    assert world.is_quiet()
    assert world.task("tsk_2").status is Status.FAILED


# Images that cannot be had


def delays(world: World) -> list[int]:
    """After how many seconds the messages that failed were to come back."""
    return [call.params["VisibilityTimeout"] for call in world.calls if call.operation == "ChangeMessageVisibility"]


def test_image_that_cannot_be_had_now_is_fetched_again_later(world: World, task: Task) -> None:
    content = a_picture()
    world.put_outcome(task, succeeded(a_url(world, 503, content)))

    [error] = world.finish_all()
    assert isinstance(error, ImageUnavailable)
    assert world.task(task.id).status is Status.STORING
    assert world.finish_all() == []  # it does not come back before its time
    assert delays(world) == [retry_delay(1)]
    assert world.events() == []

    world.time_passes()
    assert world.finish_all() == []
    assert_completed(world, task, [content])


@pytest.mark.parametrize("number", [0, 1, 2])
def test_one_image_that_cannot_be_had_holds_up_all_of_its_task(world: World, task: Task, number: int) -> None:
    contents = [a_picture(size=(8 + index, 8)) for index in range(3)]
    urls = [
        a_url(world, *([404] if index == number else []), content, name=str(index))
        for index, content in enumerate(contents)
    ]
    world.put_outcome(task, succeeded(*urls))

    assert len(world.finish_all()) == 1
    assert world.task(task.id).images == ()

    world.time_passes()
    assert world.finish_all() == []
    assert_completed(world, task, contents)


def test_image_that_can_never_be_had_fails_the_task_in_the_end(world: World, task: Task) -> None:
    world.put_outcome(task, succeeded(a_url(world, 503)))

    for attempt in range(1, 12):
        assert len(world.finish_all()) == 1
        assert delays(world)[-1] == retry_delay(attempt)
        world.time_passes()

    world.time_passes(beyond=COPY_FOR)
    assert world.finish_all() == []
    assert_failed(world, task, ErrorCode.STORAGE_FAILED)


def test_image_host_that_is_down_for_an_hour_loses_nothing(world: World, task: Task) -> None:
    world.put_outcome(task, succeeded(a_url(world, 503)))
    down_for, attempt = timedelta(0), 0
    while down_for < timedelta(hours=1):
        attempt += 1
        assert len(world.finish_all()) == 1
        world.time_passes(beyond=timedelta(seconds=retry_delay(attempt)))
        down_for += timedelta(seconds=retry_delay(attempt))
    content = a_picture()
    a_url(world, content)

    assert world.finish_all() == []

    assert_completed(world, task, [content])
    finish_queue = read_template()["Resources"]["FinishQueue"]["Properties"]
    assert attempt < finish_queue["RedrivePolicy"]["maxReceiveCount"]


def test_task_is_kept_for_as_long_as_the_template_says_after_its_end(world: World, task: Task) -> None:
    assert "expires_at" not in world.items("TASKS_TABLE")[0]
    world.complete(task)
    ended_at = world.task(task.id).ended_at
    assert ended_at is not None
    expires_at = int((ended_at + timedelta(days=int(SETTINGS["RETENTION_DAYS"]))).timestamp())
    assert world.items("TASKS_TABLE")[0]["expires_at"] == {"N": str(expires_at)}


def test_bucket_that_never_takes_an_image_fails_the_task_in_the_end(world: World, task: Task) -> None:
    world.put_outcome(task, succeeded(a_url(world)))

    with world.refusing("PutObject"):
        [error] = world.finish_all()
        assert isinstance(error, StoreUnavailable)
        world.time_passes(beyond=COPY_FOR)
        assert world.finish_all() == []

    assert_failed(world, task, ErrorCode.STORAGE_FAILED)
    assert world.task(task.id).failure == Failure(
        code=ErrorCode.STORAGE_FAILED, message="The image could not be stored."
    )


def test_time_before_the_result_was_known_is_not_taken_from_the_copying(world: World, task: Task) -> None:
    world.put_outcome(task, succeeded(a_url(world, 503, a_picture())))
    with world.refusing("GetItem"):
        assert len(world.finish_all()) == 1
    world.time_passes(beyond=COPY_FOR)

    assert len(world.finish_all()) == 1
    world.time_passes()
    assert world.finish_all() == []
    assert world.task(task.id).status is Status.COMPLETED


def test_host_that_answers_with_something_else_for_a_moment_costs_a_retry(world: World, task: Task) -> None:
    world.put_outcome(task, succeeded(a_url(world, b"<html>Just a moment...</html>", a_picture())))

    assert [type(error) for error in world.finish_all()] == [NotAnImage]
    world.time_passes()
    assert world.finish_all() == []
    assert world.task(task.id).status is Status.COMPLETED


def test_host_that_goes_on_answering_with_something_else_fails_the_task(world: World, task: Task) -> None:
    world.put_outcome(task, succeeded(a_url(world, b"<html>Gone</html>")))

    assert len(world.finish_all()) == 1
    world.time_passes(beyond=ODD_FOR)
    assert world.finish_all() == []
    assert_failed(world, task, ErrorCode.STORAGE_FAILED)


PRIVATE = ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fd00::1", "::ffff:169.254.169.254"]


@pytest.mark.parametrize("address", PRIVATE)
def test_image_at_a_private_address_is_never_fetched(world: World, task: Task, address: str) -> None:
    world.image_hosts.addresses["images.example"] = address
    world.put_outcome(task, succeeded(a_url(world)))

    assert world.finish_all() == []
    assert_failed(world, task, ErrorCode.STORAGE_FAILED)
    assert world.stored() == {}


@pytest.mark.parametrize(
    "source",
    [
        "http://images.example/a.png",
        "file:///etc/passwd",
        "a.png",
        "",
        "data:image/png;base64,????",
        "data:image/png",
        data_uri(b""),
        data_uri(b"<html><body>Not found</body></html>"),
        data_uri(b"GIF89a" + bytes(300)),
        data_uri(b"\x89PNG\r\n\x1a\n" + bytes(300)),
    ],
)
def test_source_that_will_never_be_an_image_fails_the_task_at_once(world: World, task: Task, source: str) -> None:
    world.put_outcome(task, succeeded(source))

    assert world.finish_all() == []
    assert_failed(world, task, ErrorCode.STORAGE_FAILED)
    assert delays(world) == []


def test_more_images_than_are_taken_fail_the_task_at_once(world: World, task: Task) -> None:
    world.put_outcome(task, succeeded(*[data_uri(a_picture(size=(8, 8)))] * (MAX_IMAGES + 1)))

    assert world.finish_all() == []
    assert_failed(world, task, ErrorCode.STORAGE_FAILED)
    assert world.stored() == {}


# Crashes

END = ["TransactWriteItems", "GetItem", "PutEvents", "UpdateItem"]
STEPS = {
    "success": ["GetItem", "UpdateItem", "PutObject", "PutObject", *END],
    "failure": ["GetItem", *END],
}
EACH_STEP = [
    pytest.param(end, number, id=f"{end}-{number}-{operation}")
    for end, operations in STEPS.items()
    for number, operation in enumerate(operations)
]


def begin(world: World, task: Task, end: str) -> list[bytes]:
    """Puts an outcome of this kind on the queue; the contents of its images."""
    contents = [a_picture(size=(8, 8)), a_picture("JPEG", size=(9, 9))]
    urls = [a_url(world, content, name=str(number)) for number, content in enumerate(contents)]
    world.put_outcome(task, succeeded(*urls) if end == "success" else FAILED)
    world.calls.clear()
    return contents


def assert_ended(world: World, task: Task, end: str, contents: list[bytes]) -> None:
    """The task came to the end that its outcome leads to."""
    if end == "success":
        assert_completed(world, task, contents)
    else:
        assert_failed(world, task, ErrorCode.CONTENT_POLICY)


@pytest.mark.parametrize(("end", "operations"), STEPS.items())
def test_undisturbed_end_takes_these_steps(world: World, task: Task, end: str, operations: list[str]) -> None:
    contents = begin(world, task, end)

    assert world.finish_all() == []
    assert [call.operation for call in world.calls] == operations
    assert_ended(world, task, end, contents)
    assert len(world.events()) == 1


@pytest.mark.parametrize("trouble", [Trouble.dying_before, Trouble.dying_after, Trouble.refusal])
@pytest.mark.parametrize(("end", "step"), EACH_STEP)
def test_trouble_at_any_step_is_overcome_by_the_next_try(
    world: World, task: Task, end: str, step: int, trouble: Any
) -> None:
    contents = begin(world, task, end)

    with trouble(Trouble(world, step)):
        assert len(world.finish_all()) == 1
    world.time_passes()

    assert world.finish_all() == []
    assert_ended(world, task, end, contents)


@pytest.mark.parametrize("step", range(len(STEPS["success"])))
def test_dying_after_every_step_in_turn_still_ends_the_task_once(world: World, task: Task, step: int) -> None:
    contents = begin(world, task, "success")

    for later_step in range(step, len(STEPS["success"])):
        with Trouble(world, later_step).dying_after():
            world.finish_all()
        world.time_passes()

    assert world.finish_all() == []
    assert_completed(world, task, contents)


def test_contradiction_does_not_overtake_an_interrupted_copy(world: World, task: Task) -> None:
    contents = begin(world, task, "success")
    with Trouble(world, STEPS["success"].index("PutObject")).dying_before():
        assert len(world.finish_all()) == 1
    assert world.task(task.id).status is Status.STORING

    world.put_outcome(task, FAILED)
    assert world.finish_all() == []  # it waits behind the copy
    world.time_passes()

    assert world.finish_all() == []
    assert_completed(world, task, contents)


@pytest.mark.parametrize("step", [STEPS["success"].index(name) for name in ("UpdateItem", "TransactWriteItems")])
def test_of_two_ends_at_the_same_moment_one_holds(world: World, task: Task, step: int) -> None:
    begin(world, task, "success")
    calls = count()

    def end_it_elsewhere(_: str) -> None:
        if next(calls) == step:
            world.table.end(task, Status.FAILED, task.created_at, failure=FAILURE)

    with world.disturbed(end_it_elsewhere):
        assert world.finish_all() == []

    assert_failed(world, task, ErrorCode.CONTENT_POLICY)


# The event


def test_event_that_the_bus_refuses_goes_out_on_the_next_try(world: World, task: Task) -> None:
    world.put_outcome(task, FAILED)
    refused = service_answer({"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure"}]})

    def refuse(operation: str) -> ServiceAnswer | None:
        return refused if operation == "PutEvents" else None

    with world.disturbed(refuse):
        [error] = world.finish_all()
    assert isinstance(error, StoreUnavailable)
    assert "InternalFailure" in str(error)
    assert world.task(task.id).published_at is None
    assert world.events() == []

    world.time_passes()
    assert world.finish_all() == []
    assert_failed(world, task, ErrorCode.CONTENT_POLICY)


def test_task_that_ended_unpublished_is_published_by_whatever_comes_next(world: World, task: Task) -> None:
    world.put_outcome(task, FAILED)
    with world.refusing("PutEvents"):
        world.finish_all()
    world.time_passes()

    world.put_outcome(task, succeeded(a_url(world)))

    assert world.finish_all() == []
    assert_failed(world, task, ErrorCode.CONTENT_POLICY)
    assert len(world.events()) == 1


def test_line_of_the_log_says_what_happened(world: World, task: Task) -> None:
    world.put_outcome(task, FAILED)
    world.finish_all()

    line = world.log()[-1]
    told = {"task_id": task.id, "provider": "apixo", "from": "processing", "to": "failed", "attempt": 1}
    assert line.items() >= told.items()
