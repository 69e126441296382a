"""Nobody gets in: the attack corpus against what API Gateway leads to, case by case.

Whatever is tried, it is answered with an error of the client's own, and nothing is let in, written, queued or fetched.
"""

import json
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import quote

import pytest

from pixhook import callbacks
from pixhook.aws.dynamodb import cursor_of
from pixhook.flows.authorize import digest
from pixhook.model import Image, Status, Task
from pixhook.problems import CONTENT_TYPE
from tests.conftest import SETTINGS
from tests.flow.cloud import proxy_event
from tests.flow.dialects import DIALECTS, Dialect
from tests.flow.world import CALLBACK_KEY, CALLER, PROVIDER_KEYS, Answer, Call, World
from tests.support.attacks import Case, Note, try_all
from tests.support.builders import NOW, TASK_ID, a_body, a_task
from tests.support.counted import COUNTED

BASE = SETTINGS["PUBLIC_BASE_URL"]
OTHER_TASK_ID = "tsk_01JNEZ2W3GQK4T5V6X7Y8Z9ABD"
API_KEY = f"pxk_{'k' * 43}"

READS = {"BatchGetItem", "GetItem", "GetObject", "GetSecretValue", "Query"}


def leaves_a_trace(call: Call) -> bool:
    """Whether the call does more than read, and to count that there was a request."""
    is_count = call.operation == "UpdateItem" and call.params["TableName"] == SETTINGS["ACCOUNTS_TABLE"]
    return call.operation not in READS and not is_count


def assert_nothing_happened(world: World) -> None:
    """Nothing was written, queued or fetched since the last time."""
    traces = [call.operation for call in world.calls if leaves_a_trace(call)]
    requests = [str(request.url) for request in (*world.upstream.requests, *world.image_hosts.requests)]
    forget(world)
    assert (traces, requests) == ([], [])


def forget(world: World) -> None:
    """Has what happened so far count as the case's own."""
    world.calls.clear()
    world.upstream.requests.clear()
    world.image_hosts.requests.clear()


def assert_refused(answer: Answer, status: int) -> None:
    """The answer is a problem document of this status, the client's own fault, and tells nobody's secret."""
    assert (answer.status, answer.headers["content-type"]) == (status, CONTENT_TYPE), answer
    assert 400 <= answer.status < 500
    assert answer.document["status"] == status
    assert not any(secret in answer.body for secret in (*PROVIDER_KEYS.values(), CALLBACK_KEY, "Traceback"))


def assert_log_is_sound(world: World) -> None:
    """Each line is a document of its own, none of them of an error, and none with a secret."""
    assert {line["level"] for line in world.log()} <= {"INFO", "WARNING"}
    assert not any(secret in json.dumps(world.log()) for secret in (*PROVIDER_KEYS.values(), CALLBACK_KEY, API_KEY))


def answered(world: World, method: str, path: str) -> Answer | str:
    """What comes of a client's request; `no route` where none of the template's routes has the path."""
    try:
        return world.request(method, path)
    except LookupError:
        return "no route"


# Callbacks


def mac(provider: str, task_id: str) -> str:
    return callbacks.callback_url(BASE, provider, task_id, [CALLBACK_KEY]).rpartition("/")[2]


def filled(text: str, provider: str) -> str:
    """A case's text with the parts of genuine URLs in their places."""
    [other_provider] = DIALECTS.keys() - {provider}
    parts = {
        "provider": provider,
        "task": TASK_ID,
        "mac": mac(provider, TASK_ID),
        "other provider": other_provider,
        "other task": OTHER_TASK_ID,
        "other provider's mac": mac(other_provider, TASK_ID),
        "other task's mac": mac(provider, OTHER_TASK_ID),
        "account's mac": mac("gempix2ai", callbacks.ACCOUNT),
        "ref": DIALECTS[provider].ref,
    }
    for name, part in parts.items():
        text = text.replace(f"{{{name}}}", part)
    return text


def test_callback_by_a_url_that_nobody_was_given_is_turned_away(
    world: World, dialect: Dialect, subtests: pytest.Subtests, record_property: Note
) -> None:
    body = json.dumps(dialect.failed())

    def check(case: Case) -> None:
        try:
            answer = world.request("POST", filled(case["path"], dialect.name), body)
        except LookupError:
            assert case["answer"] == "no route"
            return
        assert_refused(answer, case.get("answer", 401))
        assert_nothing_happened(world)

    try_all("callback-urls", check, subtests, record_property)
    assert_log_is_sound(world)
    assert mac(dialect.name, TASK_ID) not in json.dumps(world.log())


def changes(text: str) -> Iterator[str]:
    """The text with each of its bits changed; each character left out, doubled, swapped with the next; and cut off."""
    for place, character in enumerate(text):
        before, after = text[:place], text[place + 1 :]
        yield from (before + chr(ord(character) ^ 1 << bit) + after for bit in range(8))
        yield from (before + after, before + 2 * character + after, before)
        if after and after[0] != character:
            yield before + after[0] + character + after[1:]


def test_no_change_of_a_genuine_url_gets_in(world: World, dialect: Dialect, record_property: Note) -> None:
    genuine = callbacks.callback_url(BASE, dialect.name, TASK_ID, [CALLBACK_KEY]).removeprefix(f"{BASE}/callbacks/")
    changed = [path for path in changes(genuine) if path]
    record_property(COUNTED, len(changed))
    body = json.dumps(dialect.failed())
    for path in changed:
        assert world.request("POST", f"/callbacks/{quote(path)}", body).status == 401, path
    assert_nothing_happened(world)


def test_whatever_a_genuine_callback_says_it_is_of_its_urls_own_task(
    world: World, dialect: Dialect, subtests: pytest.Subtests, record_property: Note
) -> None:
    url = callbacks.callback_url(BASE, dialect.name, TASK_ID, [CALLBACK_KEY])

    def check(case: Case) -> None:
        assert world.callback(url, filled(case["body"], dialect.name)).status == 200
        assert_of_its_own_task(world)

    try_all("callback-bodies", check, subtests, record_property)
    assert_log_is_sound(world)


def test_callback_that_is_said_to_be_base64_is_kept_as_it_came(world: World, dialect: Dialect) -> None:
    path = callbacks.callback_url("", dialect.name, TASK_ID, [CALLBACK_KEY])
    body = b64encode(json.dumps(dialect.failed()).encode()).decode()
    function, event = proxy_event("POST", path, body, headers={}, caller=CALLER)
    assert world.invoke(function, {**event, "isBase64Encoded": True})["statusCode"] == 200
    assert world.is_quiet()
    assert [content for content, _ in world.stored().values()] == [body.encode()]


def test_no_byte_of_a_genuine_callback_leads_to_another_task(
    world: World, dialect: Dialect, record_property: Note
) -> None:
    url = callbacks.callback_url(BASE, dialect.name, TASK_ID, [CALLBACK_KEY])
    body = json.dumps(dialect.failed())
    places = range(len(body))
    changed = [body[:place] + chr(ord(body[place]) ^ 1) + body[place + 1 :] for place in places]
    record_property(COUNTED, len(changed))
    for text in changed:
        assert world.callback(url, text).status == 200
    assert_of_its_own_task(world)


def assert_of_its_own_task(world: World) -> None:
    """Whatever was queued or kept since the last time is of the one task."""
    kept = f"outcomes/{TASK_ID}/"
    for call in world.calls:
        match call.operation:
            case "SendMessage":
                assert call.params["MessageGroupId"] == TASK_ID
                message = json.loads(call.params["MessageBody"])
                assert message.get("task_id") == TASK_ID or message["claim"].startswith(kept)
            case "PutObject":
                assert call.params["Key"].startswith(kept)
            case operation:
                assert operation in READS
    world.calls.clear()


def test_callback_that_is_replayed_changes_nothing_ever_after(
    world: World, dialect: Dialect, record_property: Note
) -> None:
    task = world.accepted(provider=dialect.name)
    url = world.upstream.callback_url
    image = world.image_hosts.serve("https://images.example/a.png", b"")
    world.callback(url, dialect.failed())
    assert world.finish_all() == []
    ended, movements = world.task(task.id), world.items("ACCOUNTS_TABLE")
    replays = [
        dialect.failed(),
        dialect.succeeded(image),
        dialect.going_on(dialect.unfinished[0]),
        "?",
        dialect.failed(),
    ]
    record_property(COUNTED, len(replays))

    for body in replays:
        assert world.callback(url, body).status == 200
        assert world.finish_all() == []

    assert (world.task(task.id), world.items("ACCOUNTS_TABLE")) == (ended, movements)
    assert world.image_hosts.requests == []
    assert len(world.events()) == 1


# API keys


def test_nobody_without_a_key_is_somebody(world: World, subtests: pytest.Subtests, record_property: Note) -> None:
    world.put_key(API_KEY)

    def check(case: Case) -> None:
        header = case["header"].replace("{key}", API_KEY).replace("{digest}", digest(API_KEY))
        with pytest.raises(Exception, match=r"^Unauthorized$"):
            world.authorize(header)
        assert_nothing_happened(world)

    try_all("api-keys", check, subtests, record_property)
    assert_log_is_sound(world)
    assert world.authorize(f"Bearer {API_KEY}")


@pytest.mark.parametrize("part", ["key", "scheme"])
def test_no_change_of_a_key_is_a_key(world: World, part: str, record_property: Note) -> None:
    world.put_key(API_KEY)
    changed = (
        [f"Bearer {text}" for text in changes(API_KEY)] if part == "key" else list(changes(f"Bearer {API_KEY}"))[:70]
    )
    others = [text for text in changed if text.strip().casefold().split() != ["bearer", API_KEY]]
    record_property(COUNTED, len(others))
    for header in others:
        with pytest.raises(Exception, match=r"^Unauthorized$"):
            world.authorize(header)
    assert_nothing_happened(world)


# What a client may not read


@pytest.fixture
def tasks(world: World) -> dict[str, Task]:
    """A completed task of the client's own, and one of another account."""
    image = Image(bucket="b", key="images/a/0.png", sha256="a", size=1, content_type="image/png", width=1, height=1)
    world.open_account(id="acc_2")
    found = {}
    for name, account_id, task_id in (("own", CALLER.account_id, TASK_ID), ("foreign", "acc_2", OTHER_TASK_ID)):
        task = a_task(id=task_id, account_id=account_id, status=Status.QUEUED, created_at=NOW)
        world.put_task(task)
        world.table.move(task, Status.STORING, NOW)
        found[name] = world.table.end(task, Status.COMPLETED, NOW, images=(image,)) or task
    world.calls.clear()
    return found


def test_no_path_leads_to_what_is_not_the_clients(
    world: World, tasks: dict[str, Task], subtests: pytest.Subtests, record_property: Note
) -> None:
    def check(case: Case) -> None:
        path = case["path"].replace("{own}", tasks["own"].id).replace("{foreign}", tasks["foreign"].id)
        answer = answered(world, case.get("method", "GET"), path)
        if isinstance(answer, str):
            assert case["answer"] == answer
            return
        assert_refused(answer, case.get("answer", 404))
        assert "acc_2" not in answer.body
        assert_nothing_happened(world)

    try_all("paths", check, subtests, record_property)
    assert_log_is_sound(world)


def test_no_query_leads_to_what_is_not_the_clients(
    world: World, tasks: dict[str, Task], subtests: pytest.Subtests, record_property: Note
) -> None:
    def check(case: Case) -> None:
        path = case.get("of", "/images").replace("{own}", tasks["own"].id)
        answer = world.get(f"{path}?{case['query']}")
        if "field" in case:
            assert_refused(answer, 422)
            assert answer.document.get("field", "") == case["field"]
        else:
            assert answer.status == 200
        assert tasks["foreign"].id not in answer.body
        assert_nothing_happened(world)

    try_all("queries", check, subtests, record_property)
    assert_log_is_sound(world)


@pytest.mark.parametrize("path", ["/images", "/account/movements"])
def test_no_cursor_leads_to_what_is_not_the_clients(
    world: World, tasks: dict[str, Task], path: str, subtests: pytest.Subtests, record_property: Note
) -> None:
    def check(case: Case) -> None:
        cursor = case["cursor"] if "cursor" in case else cursor_of(case["place"])
        answer = world.get(f"{path}?cursor={quote(cursor)}")
        # The ledger's places are its items' sort keys behind a prefix: every text is one.
        if case.get("is_taken") or (path == "/account/movements" and "place" in case):
            assert answer.status == 200
        else:
            assert_refused(answer, 422)
        assert tasks["foreign"].id not in answer.body
        assert_nothing_happened(world)

    try_all("cursors", check, subtests, record_property)
    assert_log_is_sound(world)


# Requests


def test_no_body_buys_anything_that_is_no_request(
    world: World, subtests: pytest.Subtests, record_property: Note
) -> None:
    def check(case: Case) -> None:
        answer = world.submit(case["body"])
        assert_refused(answer, case.get("status", 422))
        assert answer.document["code"] == case.get("code", "invalid_request")
        assert_nothing_happened(world)

    try_all("requests", check, subtests, record_property)
    assert_log_is_sound(world)


def test_no_reference_image_is_fetched_by_us(world: World, subtests: pytest.Subtests, record_property: Note) -> None:
    def check(case: Case) -> None:
        answer = world.submit(a_body(images=[case["url"]]))
        if case.get("is_passed_on"):
            assert answer.status == 202
            [request] = world.upstream.requests
            assert json.loads(request.content)["input"]["image_urls"] == [case["url"]]
            assert world.image_hosts.requests == []
            forget(world)
        else:
            assert_refused(answer, 422)
            assert (answer.document["code"], answer.document["field"]) == ("invalid_image", "images.0")
        assert_nothing_happened(world)

    try_all("reference-images", check, subtests, record_property)
    assert_log_is_sound(world)


def test_metadata_comes_back_as_it_was_sent_and_does_nothing(
    world: World, subtests: pytest.Subtests, record_property: Note
) -> None:
    def check(case: Case) -> None:
        sent = json.dumps(case["metadata"])
        task = world.accepted(metadata=case["metadata"])
        world.fail(task)
        assert json.dumps(world.get(f"/images/{task.id}").document["metadata"]) == sent
        assert json.dumps(world.events()[-1]["detail"]["metadata"]) == sent
        assert (task.account_id, task.credits) == (CALLER.account_id, 5)
        assert sent not in str(world.upstream.requests[-1].content)

    try_all("free-form", check, subtests, record_property)
    assert_log_is_sound(world)


def test_no_header_or_flag_makes_a_request_another(
    world: World, subtests: pytest.Subtests, record_property: Note
) -> None:
    def check(case: Case) -> None:
        method, path = case["of"].split()
        headers = case.get("headers", {"Content-Type": "application/json"})
        body = json.dumps(a_body()) if method == "POST" else None
        function, event = proxy_event(method, path, body, headers=headers, caller=CALLER)
        raw = world.invoke(function, {**event, **case.get("change", {})})
        received = {name.lower(): ", ".join(values) for name, values in raw["multiValueHeaders"].items()}
        answer = Answer(status=raw["statusCode"], headers=received, body=raw["body"])
        if case["status"] == 202:
            [request] = world.upstream.requests
            assert answer.status == 202
            assert answer.headers["location"] == f"{BASE}/images/{answer.document['id']}"
            assert request.url.host == DIALECTS["apixo"].host
            assert world.upstream.callback_url.startswith(f"{BASE}/callbacks/apixo/{answer.document['id']}/")
            assert world.task(answer.document["id"]).account_id == CALLER.account_id
            forget(world)
        elif case["status"] == 200:
            assert answer.status == 200
            assert answer.document.get("id", CALLER.account_id) == CALLER.account_id
        else:
            assert_refused(answer, case["status"])
        assert_nothing_happened(world)

    try_all("events", check, subtests, record_property)
    assert_log_is_sound(world)


def test_key_that_may_only_read_writes_by_no_method(world: World, record_property: Note) -> None:
    reader = replace(CALLER, scopes=frozenset({next(scope for scope in CALLER.scopes if scope.endswith("read"))}))
    methods = ("POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "post", "get", "")
    record_property(COUNTED, len(methods))
    headers = {"Content-Type": "application/json"}
    function, event = proxy_event("POST", "/images", json.dumps(a_body()), headers=headers, caller=reader)
    for method in methods:
        assert world.invoke(function, {**event, "httpMethod": method})["statusCode"] == 403
    assert_nothing_happened(world)
