"""POST /images: refused before anything is spent, or written down and then bought once."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError

from pixhook.aws import dynamodb
from pixhook.documents import moment_text
from pixhook.flows.requests import MAX_BODY_BYTES, MAX_FREE_FORM_BYTES
from pixhook.model import ErrorCode, Outcome, OutcomeState, Status
from pixhook.problems import CONTENT_TYPE
from tests.conftest import SETTINGS
from tests.flow.cloud import ServiceAnswer, aws, service_error
from tests.flow.dialects import EVERYONE, WORDS, Dialect
from tests.flow.outside import Provider
from tests.flow.world import CALLBACK_KEY, PROVIDER_KEYS, Answer, World
from tests.support.builders import ACCOUNT_ID, a_body, a_picture

IMAGE_URL = "https://images.example/a.png"

AWS_TROUBLES = [
    pytest.param(service_error(), id="failing"),
    pytest.param(service_error("ProvisionedThroughputExceededException", 400), id="throttling"),
    pytest.param(EndpointConnectionError(endpoint_url="https://aws.example"), id="unreachable"),
    pytest.param(ReadTimeoutError(endpoint_url="https://aws.example"), id="silent"),
]


def assert_problem(answer: Answer, status: int, code: str, *, field: str | None = None) -> None:
    """The answer is a problem document of this kind, and tells nobody's secret."""
    document = answer.document
    assert (answer.status, document["code"], document.get("field")) == (status, code, field), document
    assert answer.headers["content-type"] == CONTENT_TYPE
    assert document["status"] == status
    assert document["type"] == f"urn:pixhook:problem:{code}"
    assert document["title"]
    assert document["detail"]
    assert isinstance(document["retryable"], bool)
    assert not any(key in answer.body for key in (*PROVIDER_KEYS.values(), CALLBACK_KEY, "Traceback"))


def assert_untouched(world: World) -> None:
    """Nothing was written, nothing sent."""
    assert world.tasks() == []
    assert world.upstream.requests == []
    assert world.is_quiet()


# Accepted


def test_accepted_request_is_answered_with_its_task(world: World, dialect: Dialect) -> None:
    body = a_body(provider=dialect.name, aspect_ratio="16:9", images=[IMAGE_URL], metadata={"order": [7, 1.0, None]})

    answer = world.submit(body)

    [task] = world.tasks()
    assert (answer.status, answer.headers["location"]) == (202, f"{SETTINGS['PUBLIC_BASE_URL']}/images/{task.id}")
    assert (task.status, task.ref, task.account_id) == (Status.PROCESSING, dialect.ref, ACCOUNT_ID)
    assert (
        answer.document.items() >= {**body, "id": task.id, "status": "processing", "files": [], "error": None}.items()
    )
    assert world.get(f"/images/{task.id}").document == answer.document


def test_when_it_will_be_done_is_told_as_the_provider_says(world: World) -> None:
    dialect = EVERYONE["gempix2"]
    world.upstream.answer = lambda _: httpx.Response(200, json=dialect.accepted())

    accepted = world.submit(a_body(model=dialect.model, provider=dialect.name)).document

    in_half_a_minute = datetime.fromisoformat(accepted["processing_at"]) + timedelta(seconds=30)
    assert accepted["estimated_end_at"] == moment_text(in_half_a_minute)
    assert world.get(f"/images/{accepted['id']}").document == accepted


def test_task_is_written_before_anything_is_sent(world: World, dialect: Dialect) -> None:
    found: list[Status] = []

    def look_into_the_table(_: httpx.Request) -> httpx.Response:
        found.extend(task.status for task in world.tasks())
        return httpx.Response(200, json=dialect.accepted())

    world.upstream.answer = look_into_the_table
    world.submit(a_body(provider=dialect.name))

    assert found == [Status.QUEUED]


def test_accepted_submit_makes_no_more_calls_of_aws_than_it_needs(world: World) -> None:
    world.submit(a_body())  # the secrets and the circuit are known from here on
    world.calls.clear()

    world.submit(a_body(), key="k")

    assert [(call.operation, call.params.get("TableName")) for call in world.calls] == [
        ("UpdateItem", SETTINGS["ACCOUNTS_TABLE"]),  # the window
        ("SendMessage", None),  # the deadline
        ("TransactWriteItems", None),  # the task and its price
        ("UpdateItem", SETTINGS["TASKS_TABLE"]),  # what the provider answered
    ]


def test_only_the_request_to_the_provider_carries_its_key(world: World, dialect: Dialect) -> None:
    task = world.accepted(provider=dialect.name)

    [request] = world.upstream.requests
    key = PROVIDER_KEYS[dialect.name]
    assert request.headers["authorization"] == f"Bearer {key}"
    assert key.encode() not in request.content
    assert key not in json.dumps([world.log(), world.items("TASKS_TABLE")])
    assert f"/callbacks/{dialect.name}/{task.id}/" in world.upstream.callback_url


def test_preferred_provider_is_asked_unless_one_is_pinned(world: World) -> None:
    assert world.accepted().provider == "apixo"
    assert world.accepted(provider="defapi").provider == "defapi"


def test_next_provider_is_asked_where_the_preferred_one_cannot_express_it(world: World) -> None:
    assert world.accepted(model="gpt-image-2", output_format="webp").provider == "defapi"


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON"])
def test_content_type_may_have_parameters_and_any_case(world: World, content_type: str) -> None:
    assert world.submit(a_body(), content_type=content_type).status == 202


def test_provider_is_found_where_the_operator_has_put_it(world: World, dialect: Dialect) -> None:
    secret = {dialect.name: {"api_key": "key", "base_url": f"http://{dialect.host}/sandbox/"}}
    world.store_secret("PROVIDERS_SECRET", secret)

    world.accepted(provider=dialect.name)

    assert str(world.upstream.requests[0].url).startswith(f"http://{dialect.host}/sandbox/")


# Refused before anything is spent

BAD_FIELDS = [
    ("model", "invalid_request", {"model": ...}),
    ("model", "invalid_request", {"model": "nano-banana-9"}),
    ("model", "invalid_request", {"model": ""}),
    ("model", "invalid_request", {"model": 5}),
    ("prompt", "invalid_prompt", {"prompt": ...}),
    ("prompt", "invalid_prompt", {"prompt": ""}),
    ("prompt", "invalid_prompt", {"prompt": " \n\t"}),
    ("prompt", "invalid_prompt", {"prompt": "x" * 20_001}),
    ("prompt", "invalid_request", {"prompt": None}),
    ("prompt", "invalid_request", {"prompt": ["a fox"]}),
    ("aspect_ratio", "unsupported_option", {"aspect_ratio": "7:5"}),
    ("aspect_ratio", "invalid_request", {"aspect_ratio": 1.5}),
    ("resolution", "unsupported_option", {"resolution": "8k"}),
    ("output_format", "unsupported_option", {"output_format": "gif"}),
    ("web_search", "unsupported_option", {"model": "gpt-image-1", "web_search": True}),
    ("web_search", "invalid_request", {"web_search": "yes"}),
    ("web_search", "invalid_request", {"web_search": 1}),
    ("images", "unsupported_option", {"images": [IMAGE_URL] * 15}),
    ("images", "unsupported_option", {"model": "image-upscaler", "prompt": ...}),
    ("images", "invalid_request", {"images": IMAGE_URL}),
    ("images.1", "invalid_request", {"images": [IMAGE_URL, 5]}),
    ("provider", "invalid_request", {"provider": "nobody"}),
    ("provider", "invalid_request", {"model": "gpt-image-1", "provider": "defapi"}),
    ("provider", "invalid_request", {"provider": 5}),
    ("provider", "invalid_request", {"provider_options": {"seed": 7}}),
    ("provider_options.prompt", "invalid_request", {"provider": "apixo", "provider_options": {"prompt": "another"}}),
    (
        "provider_options.callback_url",
        "invalid_request",
        {"provider": "defapi", "provider_options": {"callback_url": IMAGE_URL}},
    ),
    ("provider_options", "invalid_request", {"provider": "apixo", "provider_options": [7]}),
    (
        "provider_options",
        "invalid_request",
        {"provider": "apixo", "provider_options": {"x": "x" * MAX_FREE_FORM_BYTES}},
    ),
    ("metadata", "invalid_request", {"metadata": "order 7"}),
    ("metadata", "invalid_request", {"metadata": None}),
    ("metadata", "invalid_request", {"metadata": {"x": "x" * MAX_FREE_FORM_BYTES}}),
    ("aspectRatio", "invalid_request", {"aspectRatio": "1:1"}),
    ("id", "invalid_request", {"id": "tsk_1"}),
]


@pytest.mark.parametrize(("field", "code", "changes"), BAD_FIELDS, ids=lambda value: str(value)[:60])
def test_fault_in_a_field_is_answered_with_its_name(
    world: World, field: str, code: str, changes: dict[str, Any]
) -> None:
    assert_problem(world.submit(a_body(**changes)), 422, code, field=field)
    assert_untouched(world)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.png",
        "//images.example/a.png",
        "http://images.example/a.png",
        "ftp://images.example/a.png",
        "javascript:alert(1)",
        "data:image/png;base64,iVBORw0KGgo=",
        "https://",
        "https:///a.png",
        "https://[::1/a.png",
        "https://images.example:99999/a.png",
        "https://user:secret@images.example/a.png",
        "https://images.example/a b.png",
        "https://images.example\\a.png",
        "https://images.example/\n",
        "https://bücher.example/a.png",
        f"https://images.example/{'a' * 8192}",
    ],
    ids=lambda url: url[:50],
)
def test_reference_image_has_to_have_an_https_url(world: World, url: str) -> None:
    answer = world.submit(a_body(images=[IMAGE_URL, url]))

    assert_problem(answer, 422, "invalid_image", field="images.1")
    assert_untouched(world)


@pytest.mark.parametrize(
    "body", [None, "", "{", "model=nano-banana-2", "[]", '"a fox"', "null", "7", '{"prompt": "\\ud800"}']
)
def test_body_has_to_be_a_json_object(world: World, body: str | None) -> None:
    assert_problem(world.submit(body), 422, "invalid_request")
    assert_untouched(world)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("field", ["metadata", "provider_options"])
def test_number_that_json_does_not_have_is_refused(world: World, field: str, number: str) -> None:
    body = json.dumps(a_body(provider="apixo", **{field: {"x": "here"}})).replace('"here"', number)

    assert world.submit(body).status == 422
    assert_untouched(world)


@pytest.mark.parametrize("content_type", [None, "", "text/plain", "multipart/form-data", "application/jsonp"])
def test_content_type_has_to_be_json(world: World, content_type: str | None) -> None:
    assert_problem(world.submit(a_body(), content_type=content_type), 415, "unsupported_media_type")
    assert_untouched(world)


def test_body_over_the_limit_is_refused(world: World) -> None:
    body = json.dumps(a_body())

    assert_problem(world.submit(body.ljust(MAX_BODY_BYTES + 1)), 413, "payload_too_large")
    assert_untouched(world)
    assert world.submit(body.ljust(MAX_BODY_BYTES)).status == 202


@pytest.mark.parametrize("secret", [{}, {"apixo": {"api_key": ""}}, {"apixo": {}}, {"another": {"api_key": "key"}}])
def test_provider_without_a_key_is_not_on_offer(world: World, secret: object) -> None:
    world.store_secret("PROVIDERS_SECRET", secret)

    assert_problem(world.submit(a_body()), 422, "invalid_request", field="model")
    assert_untouched(world)


def test_longest_and_most_that_a_model_takes_are_taken(world: World) -> None:
    assert world.submit(a_body(prompt="x" * 20_000, images=[IMAGE_URL] * 14)).status == 202


# What the provider answers

REFUSALS = [
    (400, 422, ErrorCode.INVALID_REQUEST),
    (401, 503, ErrorCode.PROVIDER_ACCOUNT),
    (402, 503, ErrorCode.PROVIDER_ACCOUNT),
    (403, 503, ErrorCode.PROVIDER_ACCOUNT),
    (404, 422, ErrorCode.INVALID_REQUEST),
    (429, 503, ErrorCode.RATE_LIMITED),
    (500, 503, ErrorCode.PROVIDER_UNAVAILABLE),
    (503, 503, ErrorCode.PROVIDER_UNAVAILABLE),
]

UNCLEAR: dict[str, Callable[[Dialect], httpx.Response]] = {
    "HTTP 408": lambda _: httpx.Response(408),
    "HTTP 502": lambda _: httpx.Response(502, html="<h1>Bad Gateway</h1>"),
    "HTTP 504": lambda _: httpx.Response(504, html="<h1>Gateway Time-out</h1>"),
    "HTTP 520": lambda _: httpx.Response(520),
    "garbage": lambda _: httpx.Response(200, text="\x00 not JSON"),
    "nothing": lambda _: httpx.Response(200),
    "another document": lambda _: httpx.Response(200, json=[1, 2]),
    "no id": lambda dialect: httpx.Response(200, json=dialect.without_id()),
    "too long": lambda _: httpx.Response(200, content=b" " * (1024 * 1024 + 1)),
}

UNREACHED = [httpx.ConnectError, httpx.ConnectTimeout]

UNANSWERED = [
    httpx.ReadTimeout,
    httpx.WriteTimeout,
    httpx.ReadError,
    httpx.WriteError,
    httpx.CloseError,
    httpx.RemoteProtocolError,
]


def raising(kind: type[httpx.TransportError]) -> Provider:
    """A provider whose connection breaks."""

    def fail(request: httpx.Request) -> httpx.Response:
        raise kind("the connection broke", request=request)

    return fail


def assert_refused(world: World, answer: Answer, status: int, code: ErrorCode) -> None:
    """The client has the refusal; the task ends with it, in one event; nothing was asked a second time."""
    assert_problem(answer, status, code)
    assert answer.document["retryable"] is code.is_retryable
    assert world.finish_all() == []
    [task] = world.tasks()
    assert task.id == answer.document["task_id"]
    assert (task.status, task.failure and task.failure.code) == (Status.FAILED, code)
    [event] = world.events()
    assert (event["detail-type"], event["detail"]["error"]["code"]) == ("images.failed", code)
    assert event["detail"]["task_id"] == task.id
    assert len(world.upstream.requests) == 1


def assert_unsettled(world: World, answer: Answer) -> None:
    """The client has a task that stays as it is until its callback comes; nothing was asked a second time."""
    assert (answer.status, answer.document["status"]) == (202, "queued")
    assert world.is_quiet()
    assert [task.status for task in world.tasks()] == [Status.QUEUED]
    assert world.events() == []
    assert len(world.upstream.requests) == 1


@pytest.mark.parametrize(("upstream", "status", "code"), REFUSALS)
@pytest.mark.parametrize("says_why", [True, False])
def test_definite_refusal_ends_the_task(
    world: World, dialect: Dialect, upstream: int, status: int, code: ErrorCode, says_why: bool
) -> None:
    said = {"json": dialect.refused(upstream)} if says_why else {"html": "<h1>No</h1>"}
    world.upstream.answer = lambda _: httpx.Response(upstream, **said)

    assert_refused(world, world.submit(a_body(provider=dialect.name)), status, code)


def test_refusal_in_a_body_is_one_whatever_the_http_status(world: World, dialect: Dialect) -> None:
    world.upstream.answer = lambda _: httpx.Response(200, json=dialect.refused(400))

    answer = world.submit(a_body(provider=dialect.name))

    code = dialect.refusal_code(200, dialect.refused(400))
    assert_refused(world, answer, 503 if code.is_retryable else 422, code)
    assert answer.document["native_message"] == WORDS


def test_providers_wish_to_wait_is_passed_on(world: World, dialect: Dialect) -> None:
    world.upstream.answer = lambda _: httpx.Response(429, headers={"Retry-After": "17"})

    answer = world.submit(a_body(provider=dialect.name))

    assert answer.headers["retry-after"] == "17"
    assert_refused(world, answer, 503, ErrorCode.RATE_LIMITED)


def test_what_a_provider_says_of_the_operators_account_is_not_the_clients(world: World, dialect: Dialect) -> None:
    world.upstream.answer = lambda _: httpx.Response(402, json=dialect.refused(402))

    answer = world.submit(a_body(provider=dialect.name))
    world.finish_all()

    assert WORDS not in answer.body
    assert WORDS not in world.get(f"/images/{answer.document['task_id']}").body


@pytest.mark.parametrize("kind", UNREACHED)
def test_provider_that_is_not_reached_ends_the_task(
    world: World, dialect: Dialect, kind: type[httpx.TransportError]
) -> None:
    world.upstream.answer = raising(kind)

    answer = world.submit(a_body(provider=dialect.name))

    assert_refused(world, answer, 503, ErrorCode.PROVIDER_UNAVAILABLE)


@pytest.mark.parametrize("kind", UNANSWERED)
def test_request_that_brings_no_answer_waits_for_its_callback(
    world: World, dialect: Dialect, kind: type[httpx.TransportError]
) -> None:
    world.upstream.answer = raising(kind)

    assert_unsettled(world, world.submit(a_body(provider=dialect.name)))


@pytest.mark.parametrize("said", UNCLEAR.values(), ids=UNCLEAR.keys())
def test_unclear_answer_waits_for_its_callback(
    world: World, dialect: Dialect, said: Callable[[Dialect], httpx.Response]
) -> None:
    world.upstream.answer = lambda _: said(dialect)

    assert_unsettled(world, world.submit(a_body(provider=dialect.name)))


# The callback is faster than the answer


def calling_back_first(world: World, dialect: Dialect, then: httpx.Response) -> Provider:
    """A provider whose task is done, and its images copied, before it answers the submit."""
    url = world.image_hosts.serve(IMAGE_URL, a_picture())

    def call_back(_: httpx.Request) -> httpx.Response:
        assert world.callback(world.upstream.callback_url, dialect.succeeded(url)).status == 200
        assert world.finish_all() == []
        return then

    return call_back


def test_callback_before_the_answer_wins(world: World, dialect: Dialect) -> None:
    world.upstream.answer = calling_back_first(world, dialect, httpx.Response(200, json=dialect.accepted()))

    answer = world.submit(a_body(provider=dialect.name))

    assert (answer.status, answer.document["status"]) == (202, "completed")
    assert [task.status for task in world.tasks()] == [Status.COMPLETED]
    assert len(world.events()) == 1


@pytest.mark.parametrize("status", [400, 502])
def test_bad_answer_after_the_callback_changes_nothing(world: World, dialect: Dialect, status: int) -> None:
    world.upstream.answer = calling_back_first(world, dialect, httpx.Response(status))

    world.submit(a_body(provider=dialect.name))

    assert world.finish_all() == []
    assert [task.status for task in world.tasks()] == [Status.COMPLETED]
    assert [event["detail-type"] for event in world.events()] == ["images.completed"]


# AWS's troubles


@pytest.mark.parametrize("trouble", AWS_TROUBLES)
def test_nothing_is_sent_when_the_task_cannot_be_written(world: World, trouble: ServiceAnswer | Exception) -> None:
    with world.refusing("TransactWriteItems", trouble=trouble):
        answer = world.submit(a_body())

    assert_problem(answer, 503, "service_unavailable")
    assert_untouched(world)


def test_task_whose_writing_got_no_answer_but_took_effect_is_sent(world: World) -> None:
    with world.losing_the_answer("TransactWriteItems"):
        answer = world.submit(a_body())

    assert answer.status == 202
    assert len(world.upstream.requests) == len(world.tasks()) == 1


def test_write_that_others_stand_in_the_way_of_is_made_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dynamodb, "sleep", lambda _: None)
    met: set[str] = set()

    def conflict_once(operation: str) -> ServiceAnswer | None:
        if operation in met or operation not in {"TransactWriteItems", "UpdateItem"}:
            return None
        if operation == "UpdateItem" and SETTINGS["TASKS_TABLE"] not in world.calls[-1].params.values():
            return None
        met.add(operation)
        return in_the_way(operation)

    with world.disturbed(conflict_once):
        answer = world.submit(a_body())
    assert (answer.status, met) == (202, {"TransactWriteItems", "UpdateItem"})

    met.clear()
    with world.disturbed(conflict_once):
        world.complete(world.task(answer.document["id"]))
    assert met == {"TransactWriteItems", "UpdateItem"}
    assert world.task(answer.document["id"]).status is Status.COMPLETED


def in_the_way(operation: str) -> ServiceAnswer:
    """What DynamoDB says of a write that meets a transaction on the same item."""
    if operation == "UpdateItem":
        return service_error("TransactionConflictException", 400)
    answer, document = service_error("TransactionCanceledException", 400)
    return answer, document | {"CancellationReasons": [{"Code": "None"}, {"Code": "TransactionConflict"}]}


def test_nobody_is_asked_when_no_time_is_left(world: World) -> None:
    world.seconds_left = 6

    answer = world.submit(a_body())

    assert_problem(answer, 503, ErrorCode.PROVIDER_UNAVAILABLE)
    assert world.upstream.requests == []
    assert world.finish_all() == []
    assert [task.status for task in world.tasks()] == [Status.FAILED]


@pytest.mark.parametrize("trouble", AWS_TROUBLES)
def test_acceptance_that_cannot_be_noted_is_still_an_acceptance(
    world: World, dialect: Dialect, trouble: ServiceAnswer | Exception
) -> None:
    with world.refusing("UpdateItem", trouble=trouble, of="TASKS_TABLE"):
        answer = world.submit(a_body(provider=dialect.name))

    assert (answer.status, answer.document["status"]) == (202, "processing")
    url = world.image_hosts.serve(IMAGE_URL, a_picture())
    world.callback(world.upstream.callback_url, dialect.succeeded(url))
    assert world.finish_all() == []
    assert world.task(answer.document["id"]).status is Status.COMPLETED
    assert len(world.upstream.requests) == 1


def test_overtaken_acceptance_that_cannot_be_read_is_still_an_acceptance(world: World, dialect: Dialect) -> None:
    world.upstream.answer = calling_back_first(world, dialect, httpx.Response(200, json=dialect.accepted()))

    def refuse_the_last_read(operation: str) -> ServiceAnswer | None:
        is_last = operation == "GetItem" and bool(world.tasks()) and world.is_quiet()
        return service_error() if is_last and world.tasks()[0].status is Status.COMPLETED else None

    with world.disturbed(refuse_the_last_read):
        answer = world.submit(a_body(provider=dialect.name))

    assert (answer.status, answer.document["status"]) == (202, "processing")


def test_refusal_reaches_the_client_when_the_tasks_end_cannot_be_queued(world: World, dialect: Dialect) -> None:
    world.upstream.answer = lambda _: httpx.Response(400, json=dialect.refused(400))

    with world.refusing("SendMessage", of="FINISH_QUEUE_URL"):
        answer = world.submit(a_body(provider=dialect.name))

    assert_problem(answer, 422, "invalid_request")
    assert [task.status for task in world.tasks()] == [Status.QUEUED]


# The operator's mistakes

KEY = "planted-key"

BAD_SECRETS = [
    "not JSON, but planted-key",
    '{"apixo": {"api_key": "planted-key"}',
    [KEY],
    '"planted-key"',
    "null",
    {"apixo": KEY},
    {"apixo": [KEY]},
    {"apixo": None, "defapi": {"api_key": KEY}},
    {"apixo": {"api_key": 7}},
    {"apixo": {"api_key": [KEY]}},
    {"apixo": {"api_key": KEY, "base_url": 7}},
    {"apixo": {"api_key": KEY, "base_url": "api.apixo.ai"}},
    {"apixo": {"api_key": KEY, "base_url": "ftp://api.apixo.ai"}},
    {"apixo": {"api_key": f"{KEY}\n"}},
    {"apixo": {"api_key": f"{KEY}\r\nX-Other: 1"}},
    {"apixo": {"api_key": f"{KEY}é"}},
    {"apixo": {"api_key": f"{KEY} "}},
]


@pytest.mark.parametrize("secret", BAD_SECRETS, ids=lambda secret: json.dumps(secret)[:60])
def test_malformed_providers_secret_is_told_to_the_operator_alone(world: World, secret: object) -> None:
    world.store_secret("PROVIDERS_SECRET", secret)

    answer = world.submit(a_body())

    assert_problem(answer, 503, "misconfigured")
    assert_untouched(world)
    [line] = world.log()
    assert (line["level"], line["exception_name"]) == ("ERROR", "SecretMisconfigured")
    assert "secret" in line["exception"].splitlines()[-1]
    assert KEY not in answer.body + json.dumps(line)


@pytest.mark.parametrize("secret", ["not JSON", "[]", {}, {"primary": ""}, {"primary": 7}, {"secondary": "key"}])
def test_malformed_callback_keys_stop_a_submit_before_it_is_sent(world: World, secret: object) -> None:
    world.store_secret("CALLBACK_KEYS_SECRET", secret)

    assert_problem(world.submit(a_body()), 503, "misconfigured")
    assert_untouched(world)


@pytest.mark.parametrize("setting", ["PROVIDERS_SECRET", "CALLBACK_KEYS_SECRET"])
def test_secret_that_is_missing_is_told_to_the_operator(world: World, setting: str) -> None:
    aws("secretsmanager").delete_secret(SecretId=SETTINGS[setting], ForceDeleteWithoutRecovery=True)

    assert_problem(world.submit(a_body()), 503, "misconfigured")
    assert_untouched(world)
    [line] = world.log()
    assert SETTINGS[setting] in line["exception"].splitlines()[-1]


@pytest.mark.parametrize("trouble", AWS_TROUBLES)
def test_secret_that_cannot_be_read_stops_a_submit_before_it_is_sent(
    world: World, trouble: ServiceAnswer | Exception
) -> None:
    with world.refusing("GetSecretValue", trouble=trouble):
        answer = world.submit(a_body())

    assert_problem(answer, 503, "service_unavailable")
    assert_untouched(world)


def test_foreign_outcome_on_the_queue_does_not_buy_again(world: World) -> None:
    task = world.accepted()
    world.put_outcome(task, Outcome(state=OutcomeState.FAILED, ref="another"))

    assert world.finish_all() == []
    assert len(world.upstream.requests) == 1
