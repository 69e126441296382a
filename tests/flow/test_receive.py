"""POST /callbacks/...: whoever holds the URL is believed, and what it says of an end is made durable."""

import json
from base64 import b64encode
from typing import Any

import pytest

from pixhook import callbacks, runtime
from pixhook.aws.outcomes import MAX_INLINE_BYTES
from pixhook.model import OutcomeState
from tests.conftest import SETTINGS
from tests.flow.dialects import DIALECTS, Dialect
from tests.flow.world import CALLBACK_KEY, World
from tests.support.builders import TASK_ID

IMAGE_URL = "https://images.example/a.png"


def url_for(provider: str, task_id: str = TASK_ID, key: str = CALLBACK_KEY) -> str:
    """The URL that a provider was given."""
    return callbacks.callback_url(SETTINGS["PUBLIC_BASE_URL"], provider, task_id, [key])


GENUINE = url_for("apixo")
BEFORE_MAC, _, MAC = GENUINE.rpartition("/")


# Believed


@pytest.mark.parametrize("state", [OutcomeState.SUCCEEDED, OutcomeState.FAILED])
def test_end_of_a_task_is_queued_in_the_tasks_own_group(world: World, dialect: Dialect, state: OutcomeState) -> None:
    is_success = state is OutcomeState.SUCCEEDED
    body = dialect.succeeded(IMAGE_URL) if is_success else dialect.failed()

    answer = world.callback(url_for(dialect.name), body)

    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    [message] = world.messages()
    queued = runtime.outcomes().read(message["Body"])
    assert (queued.task_id, queued.provider) == (TASK_ID, dialect.name)
    assert (queued.outcome.state, queued.outcome.ref) == (state, dialect.ref)
    assert queued.outcome.images == ((IMAGE_URL,) if is_success else ())
    assert message["Attributes"]["MessageGroupId"] == TASK_ID


def test_callback_that_comes_twice_is_one_message(world: World, dialect: Dialect) -> None:
    for _ in range(2):
        assert world.callback(url_for(dialect.name), dialect.succeeded(IMAGE_URL)).status == 200

    assert len(world.messages()) == 1


def test_callbacks_that_say_different_things_are_different_messages(world: World, dialect: Dialect) -> None:
    for body in (dialect.succeeded(IMAGE_URL), dialect.failed()):
        world.callback(url_for(dialect.name), body)
    world.callback(url_for(dialect.name, "tsk_2"), dialect.failed())

    sent = [call.params["MessageDeduplicationId"] for call in world.calls if call.operation == "SendMessage"]
    assert len(set(sent)) == 3


def test_callback_is_one_call_of_aws(world: World, dialect: Dialect) -> None:
    world.callback(url_for(dialect.name), dialect.failed())
    world.callback(url_for(dialect.name), dialect.failed())

    assert [call.operation for call in world.calls] == ["GetSecretValue", "SendMessage", "SendMessage"]


@pytest.mark.parametrize("excess", [0, 1])
def test_outcome_too_big_for_a_message_goes_through_s3_and_comes_back_equal(world: World, excess: int) -> None:
    defapi = DIALECTS["defapi"]

    def bytes_queued(image: str) -> int:
        world.callback(url_for("defapi"), defapi.succeeded(image))
        [*_, call] = (call for call in world.calls if call.operation == "SendMessage")
        return len(call.params["MessageBody"])

    envelope = bytes_queued("data:,") - len("data:,")
    image = "data:,".ljust(MAX_INLINE_BYTES - envelope + excess, "x")
    bytes_queued(image)

    body = world.messages()[-1]["Body"]
    assert ("claim" in json.loads(body)) is bool(excess)
    assert len(world.stored()) == excess
    assert runtime.outcomes().read(body).outcome.images == (image,)


def test_both_keys_verify_and_none_else_while_they_are_rotated(world: World, dialect: Dialect) -> None:
    url = url_for(dialect.name, key="old")

    def status(**keys: str) -> int:
        world.store_secret("CALLBACK_KEYS_SECRET", keys)
        return world.callback(url, dialect.going_on(dialect.unfinished[0])).status

    assert status(primary="old") == 200
    assert status(primary="old", secondary="new") == 200
    assert status(primary="new", secondary="old") == 200
    assert status(primary="new", secondary="") == 401
    assert status(primary="new") == 401


def test_new_urls_are_signed_with_the_primary_key(world: World, dialect: Dialect) -> None:
    world.store_secret("CALLBACK_KEYS_SECRET", {"primary": "new", "secondary": "old"})

    task = world.accepted(provider=dialect.name)

    assert world.upstream.callback_url == url_for(dialect.name, task.id, key="new")


# Not believed

FORGED = {
    "one character changed": f"{BEFORE_MAC}/{MAC[:-1]}{'A' if MAC[-1] != 'A' else 'B'}",
    "truncated": GENUINE[:-1],
    "prolonged": f"{GENUINE}=",
    "case changed": f"{BEFORE_MAC}/{MAC.swapcase()}",
    "of another task": GENUINE.replace(TASK_ID, f"{TASK_ID}X"),
    "of another provider": GENUINE.replace("/apixo/", "/defapi/"),
    "by a foreign key": url_for("apixo", key="foreign"),
    "by no key": url_for("apixo", key=""),
    "missing": BEFORE_MAC,
    "empty": f"{BEFORE_MAC}/",
    "with a path behind it": f"{GENUINE}/more",
    "not ASCII": f"{GENUINE[:-1]}%C3%A9",
    "not UTF-8": f"{GENUINE[:-1]}%FF",
    "with a line end": f"{GENUINE}%0A",
    "with a zero byte": f"{GENUINE}%00",
    "long": f"{GENUINE}{'A' * 8000}",
    "nothing but a word": f"{SETTINGS['PUBLIC_BASE_URL']}/callbacks/apixo",
}


@pytest.mark.parametrize("url", FORGED.values(), ids=FORGED.keys())
def test_callback_whose_url_is_not_ours_is_turned_away(world: World, url: str) -> None:
    answer = world.callback(url, DIALECTS["apixo"].succeeded(IMAGE_URL))

    assert (answer.status, answer.document["code"]) == (401, "callback_rejected")
    assert world.is_quiet()


# Believed, but not of an end


def test_provider_that_is_no_more_need_not_call_again(world: World) -> None:
    assert world.callback(url_for("nobody"), {}).status == 200
    assert world.is_quiet()


BODIES: dict[str, Any] = {
    "none": None,
    "empty": "",
    "not JSON": "state=success",
    "truncated": '{"task_id": "ta1", "status": "succ',
    "a list": [],
    "a text": '"success"',
    "null": "null",
    "another document": {"hello": "world"},
    "wrong types": {"code": "x", "task_id": 5, "status": {}, "data": 7},
    "nested too deep": "[" * 100_000,
    "a lone surrogate": "\ud800",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_body_that_cannot_be_understood_is_answered_and_kept(world: World, dialect: Dialect, body: object) -> None:
    assert world.callback(url_for(dialect.name), body).status == 200
    assert world.is_quiet()
    [line] = world.log()
    assert {line["kept_as"]} == world.stored().keys()


def test_task_that_goes_on_is_answered_and_not_queued(world: World, dialect: Dialect) -> None:
    for word in (*dialect.unfinished, "levitating"):
        assert world.callback(url_for(dialect.name), dialect.going_on(word)).status == 200

    assert world.is_quiet()


# Our own failures


def test_outcome_that_cannot_be_queued_is_asked_for_again(world: World, dialect: Dialect) -> None:
    with world.refusing("SendMessage"):
        answer = world.callback(url_for(dialect.name), dialect.failed())

    assert (answer.status, answer.document["code"]) == (503, "service_unavailable")
    assert world.callback(url_for(dialect.name), dialect.failed()).status == 200
    assert len(world.messages()) == 1


def test_outcome_that_cannot_be_stored_is_asked_for_again(world: World) -> None:
    image = f"data:image/png;base64,{b64encode(bytes(MAX_INLINE_BYTES)).decode()}"

    with world.refusing("PutObject"):
        answer = world.callback(url_for("defapi"), DIALECTS["defapi"].succeeded(image))

    assert answer.status == 503
    assert world.is_quiet()


def test_callback_is_asked_for_again_while_the_keys_cannot_be_read(world: World, dialect: Dialect) -> None:
    with world.refusing("GetSecretValue"):
        assert world.callback(url_for(dialect.name), dialect.failed()).status == 503
