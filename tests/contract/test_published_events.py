"""What subscribers of the bus and receivers of webhooks read, against the schemas that they were promised."""

import json
from collections.abc import Iterator

import pytest
from jsonschema import Draft202012Validator, ValidationError

from pixhook.documents import EVENT_VERSION, event_detail, event_type, webhook_test_detail
from pixhook.errors import ProviderRefused
from pixhook.flows.deliver import new_delivery
from pixhook.model import ErrorCode, EventType, Failure, Image, Json, Outcome, OutcomeState, Status, Task
from tests.support.builders import NOW, TASK_ID, a_request, a_task
from tests.support.promised import FOLDER, SCHEMAS, VALIDATORS
from tests.support.samples import Sample, samples

TERMINAL = [
    sample
    for sample in samples("callback", "status", "submit_response")
    if not {"refused", "failure", "images"}.isdisjoint(sample.expected)
]

each_kind = pytest.mark.parametrize("kind", SCHEMAS)


def an_image(**changes: Json) -> Image:
    return Image(
        **{
            "bucket": "images",
            "key": f"images/{TASK_ID}/0.png",
            "sha256": "0" * 64,
            "size": 1,
            "content_type": "image/png",
            "width": 64,
            "height": 48,
            **changes,
        }
    )


def an_ended_task(status: Status, **changes: Json) -> Task:
    return a_task(status=status, ended_at=NOW, **changes)


def task_after(outcome: Outcome) -> Task:
    """The task that the outcome ends, its images stored."""
    ended = Status.COMPLETED if outcome.state is OutcomeState.SUCCEEDED else Status.FAILED
    stored = tuple(an_image(key=f"images/{TASK_ID}/{number}.png") for number, _ in enumerate(outcome.images))
    return an_ended_task(ended, images=stored, failure=outcome.failure, native_charge=outcome.native_charge)


def end_of(sample: Sample) -> Outcome:
    """The outcome that ends the task: what was reported of it, or the refusal to take it."""
    try:
        outcome = sample.read()
    except ProviderRefused as refusal:
        return Outcome(state=OutcomeState.FAILED, failure=refusal.failure)
    assert isinstance(outcome, Outcome)
    return outcome


def damaged(detail: Json) -> Iterator[Json]:
    """The detail with one thing wrong, at any depth; what is in `metadata` is not ours to judge."""
    match detail:
        case dict():
            yield detail | {"another": None}
            for name, value in detail.items():
                yield {other: kept for other, kept in detail.items() if other != name}
                yield detail | {name: ["wrong"]}
                if name != "metadata":
                    yield from (detail | {name: worse} for worse in damaged(value))
        case [first, *rest]:
            yield from ([worse, *rest] for worse in damaged(first))


@each_kind
def test_schema_is_valid_and_named_after_what_it_describes(kind: str) -> None:
    schema = SCHEMAS[kind]
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"urn:pixhook:schema:{kind}:v{EVENT_VERSION}"
    assert schema["properties"]["type"]["const"] == kind
    assert schema["properties"]["version"]["const"] == EVENT_VERSION


def test_every_schema_is_tested() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {f"{kind}.v{EVENT_VERSION}.schema.json" for kind in SCHEMAS}


@each_kind
def test_every_property_is_described(kind: str) -> None:
    described = [SCHEMAS[kind]]
    for schema in described:
        assert schema["description"]
        described += schema.get("properties", {}).values()
        described += [schema["items"]] if "items" in schema else []


@each_kind
def test_example_matches_its_schema(kind: str) -> None:
    (example,) = SCHEMAS[kind]["examples"]
    VALIDATORS[kind].validate(example)


@each_kind
def test_damaged_event_does_not_match(kind: str) -> None:
    (example,) = SCHEMAS[kind]["examples"]
    assert [worse for worse in damaged(example) if VALIDATORS[kind].is_valid(worse)] == []


@pytest.mark.parametrize("sample", TERMINAL, ids=str)
def test_event_after_each_terminal_sample_matches(sample: Sample) -> None:
    task = task_after(end_of(sample))
    VALIDATORS[event_type(task)].validate(json.loads(json.dumps(event_detail(task))))


@pytest.mark.parametrize("code", ErrorCode)
def test_event_of_every_failure_matches(code: ErrorCode) -> None:
    detail = event_detail(an_ended_task(Status.FAILED, failure=Failure(code=code, message="It failed.")))
    VALIDATORS["images.failed"].validate(detail)


def test_no_error_code_is_promised_that_does_not_exist() -> None:
    codes = SCHEMAS["images.failed"]["properties"]["error"]["properties"]["code"]["enum"]
    assert codes == list(ErrorCode)


@pytest.mark.parametrize(
    "metadata", [{}, {"depth": [{"any": None}], "": 1.5}, {"version": "2", "status": "processing"}]
)
def test_metadata_is_free_and_comes_back_untouched(metadata: Json) -> None:
    task = an_ended_task(Status.COMPLETED, request=a_request(metadata=metadata), images=(an_image(),))
    detail = event_detail(task)
    VALIDATORS["images.completed"].validate(detail | {"images": json.loads(json.dumps(detail["images"]))})
    assert detail["metadata"] == metadata


def test_event_of_one_kind_does_not_match_the_other() -> None:
    completed = event_detail(an_ended_task(Status.COMPLETED, images=(an_image(),)))
    with pytest.raises(ValidationError):
        VALIDATORS["images.failed"].validate(completed)


@pytest.mark.parametrize("status", [Status.QUEUED, Status.PROCESSING, Status.STORING])
def test_event_of_a_task_that_goes_on_does_not_match(status: Status) -> None:
    detail = event_detail(a_task(status=status))
    assert not any(validator.is_valid(detail) for validator in VALIDATORS.values())


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED])
def test_event_id_follows_from_the_task(status: Status) -> None:
    assert event_detail(an_ended_task(status))["id"] == f"evt_{TASK_ID.removeprefix('tsk_')}"


def test_event_that_tests_an_endpoint_matches() -> None:
    endpoint, event = f"whk_{TASK_ID.removeprefix('tsk_')}", f"evt_{TASK_ID.removeprefix('tsk_')}"
    delivery = new_delivery(endpoint, "acc_1", event, EventType.TEST, "https://shop.example/", endpoint, NOW)
    VALIDATORS["webhook.test"].validate(webhook_test_detail(delivery))
