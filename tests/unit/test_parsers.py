"""Whatever comes from outside is read or refused: from no parser comes anything but its result and its own errors.

What the adapters of providers make of any body is in tests/contract/test_providers.py.
"""

import json
from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pixhook.addresses import AddressGuard
from pixhook.aws.dynamodb import cursor_of, place_of
from pixhook.callbacks import callback_url, verify
from pixhook.errors import AddressRejected, CallbackRejected, ImageRejected, InvalidRequest, NotAnImage, NotFound
from pixhook.flows.admin import administer
from pixhook.flows.authorize import authorize
from pixhook.flows.requests import read_request
from pixhook.flows.search import read_paging, read_patience, read_search
from pixhook.measured import MeasuredImage, from_data_uri
from pixhook.model import Account, AdminRequest, ApiKey, HttpResponse, Json, Page
from pixhook.providers import PROVIDERS
from pixhook.providers.base import parse_json
from pixhook.redaction import redacted
from tests.support.attacks import ATTACKS, attacks
from tests.support.builders import ACCOUNT_ID, NOW, TASK_ID, a_body, an_account
from tests.support.samples import samples

KEYS = ["a-callback-key"]
GENUINE = callback_url("https://pixhook.example", "apixo", TASK_ID, KEYS).partition("/callbacks/")[2]
API_KEY = f"pxk_{'k' * 43}"

anything = st.text(st.characters(exclude_categories=[]))
"""Halves of characters too."""

quick = settings(deadline=None, max_examples=150)


def near(*texts: str) -> st.SearchStrategy[str]:
    """One of these texts with a few of its characters replaced, left out or put in."""

    def damaged(text: str, places: list[tuple[int, int, str]]) -> str:
        for place, length, other in places:
            text = text[: place % (len(text) + 1)] + other + text[place % (len(text) + 1) + length :]
        return text

    places = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 3), anything), max_size=4)
    return st.builds(damaged, st.sampled_from(texts), places)


def a_json(names: st.SearchStrategy[str]) -> st.SearchStrategy[Json]:
    """A JSON value, with numbers that only Python's JSON has."""
    return st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | names | anything,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names | anything, inner, max_size=6),
        max_leaves=10,
    )


# Requests

FIELDS = ("model", "prompt", "images", "provider", "provider_options", "metadata", "aspect_ratio", "web_search")
a_field = st.sampled_from(FIELDS)
BODIES = [json.dumps(a_body(images=["https://a.example/"], metadata={"a": [1.5, None, True]}, provider="apixo"))]


@quick
@given(
    near(*BODIES)
    | st.dictionaries(a_field | anything, a_json(a_field), max_size=6).map(lambda body: json.dumps(a_body() | body))
    | a_json(a_field).map(json.dumps)
    | anything
)
@example("[" * 100_000)
@example('{"model":"m","metadata":{"a":' + "[" * 199 + "]" * 199 + "}}")
@example('{"model":"m","metadata":{"a":' + "9" * 4301 + "}}")
@example('{"model":"m","metadata":{"a":1e999}}')
@example('{"model":"m","images":["https://[::1"]}')
@example('{"model":"m","images":["https://a:b/"]}')
@example('{"model":"m","prompt":"\\ud800"}')
@example("\ud800")
def test_any_body_of_a_request_is_read_or_refused(body: str) -> None:
    try:
        request = read_request("application/json", body.encode("utf-8", "surrogatepass"), AddressGuard())
    except InvalidRequest as fault:
        json.dumps(str(fault)).encode()
        return
    kept = json.dumps([request.metadata, request.provider_options], ensure_ascii=False, allow_nan=False)
    assert json.loads(kept.encode()) == [request.metadata, request.provider_options]


@quick
@given(st.binary())
@example(b"\xff\xfe{\x00}\x00")
@example(b'{"model": "\xed\xa0\x80"}')
def test_any_bytes_of_a_request_are_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read_request("application/json", body, AddressGuard())


@quick
@given(near("application/json", "application/json; charset=utf-8") | anything)
def test_any_content_type_is_read_or_refused(content_type: str) -> None:
    try:
        read_request(content_type, json.dumps(a_body()).encode(), AddressGuard())
    except InvalidRequest:
        return
    assert content_type.strip().lower().startswith("application/json")


PARAMETERS = ("limit", "cursor", "status", "model", "provider", "created_after", "created_before", "metadata.a", "wait")
VALUES = ("5", "failed", "2026-03-01T00:00:00Z", "2026-03-01T00:00:00.123+23:59", "1772366400", "inf", "nan", "-1e9")


@quick
@pytest.mark.parametrize("read", [read_search, read_paging, read_patience])
@given(st.dictionaries(st.sampled_from(PARAMETERS) | near(*PARAMETERS), near(*VALUES) | anything, max_size=4))
@example({"created_after": "0001-01-01T00:00:00+23:59"})
@example({"created_before": "9999-12-31T23:59:59-23:59"})
@example({"created_before": "9998-12-31T23:59:59-23:59"})
@example({"limit": "9" * 5000})
@example({"": ""})
def test_any_query_is_read_or_refused(read: Callable[[Mapping[str, str]], object], parameters: dict[str, str]) -> None:
    try:
        found = read(parameters)
    except InvalidRequest:
        return
    for name in ("created_after", "created_before"):
        if (moment := getattr(found, name, None)) is not None:
            assert isinstance(moment, datetime)
            assert moment.astimezone(NOW.tzinfo)


@quick
@given(near(cursor_of("2026-03-01T12:00:00.000+00:00 tsk_1")) | anything)
@example("_-_-")
@example("A")
@example("=")
def test_any_cursor_is_a_place_or_refused(cursor: str) -> None:
    try:
        place = place_of(cursor)
    except InvalidRequest:
        return
    assert place_of(cursor_of(place)) == place


# Callers


@quick
@given(near(GENUINE) | near(f"/{GENUINE}", f"{GENUINE}/{GENUINE}") | anything)
@example(GENUINE)
@example(GENUINE.replace("/", "\n"))
@example(GENUINE[:-1] + "\ud800")
def test_any_path_but_the_genuine_one_is_turned_away(path: str) -> None:
    try:
        found = verify(path, KEYS)
    except CallbackRejected:
        return
    assert (path, found) == (GENUINE, ("apixo", TASK_ID))


class NoAccounts:
    """Knows nobody."""

    def holder(self, key_sha256: str) -> tuple[ApiKey, Account] | None:
        assert len(key_sha256) == 64
        return None

    def mark_used(self, key: ApiKey, now: datetime) -> None:
        raise AssertionError(key)


@quick
@given(near(f"Bearer {API_KEY}", f"bearer  {API_KEY}") | anything)
@example("Bearer " * 50_000)
@example("\ud800")
def test_any_authorization_is_looked_up_or_nobodys(header: str) -> None:
    assert authorize(header, NoAccounts(), NOW) is None


class NoLetters:
    """Dead-letter queues in which there is nothing."""

    def look(self, *_: Any) -> list[Any]:
        return []

    def redrive(self, *_: Any) -> int:
        return 0

    drop = redrive


class OneAccount:
    """The account store of an operator who has made one account; what is asked of it is done at once."""

    def get(self, account_id: str) -> Account | None:
        return an_account() if account_id == ACCOUNT_ID else None

    def request(self, request_id: str) -> AdminRequest | None:
        return None

    def keys(self, account_id: str, *, limit: int, cursor: str | None) -> Page[ApiKey]:
        place_of(cursor or "AAAA")
        return Page([], None)

    audit_log: Any = keys

    def __getattr__(self, name: str) -> Any:
        assert name in {
            "add",
            "set_plan",
            "suspend",
            "resume",
            "delete",
            "add_key",
            "revoke_key",
            "move_credits",
            "remember",
        }
        return self._take

    def _take(self, *arguments: Any) -> None:
        for argument in arguments:
            if isinstance(argument, AdminRequest):
                json.dumps(argument.action, allow_nan=False).encode()
            if isinstance(argument, ApiKey) and argument.expires_at:
                argument.expires_at.astimezone(NOW.tzinfo)


ACTIONS = (
    {"action": "create_account", "name": "x", "plan": "pro"},
    {"action": "show_account", "account_id": ACCOUNT_ID},
    {"action": "set_plan", "account_id": ACCOUNT_ID, "plan": "pro", "overrides": {"requests": 5}},
    {"action": "suspend_account", "account_id": ACCOUNT_ID},
    {"action": "create_key", "account_id": ACCOUNT_ID, "scopes": ["images:read"], "expires_at": "2030-01-01T00:00:00Z"},
    {"action": "list_keys", "account_id": ACCOUNT_ID, "cursor": "AAAA"},
    {"action": "revoke_key", "account_id": ACCOUNT_ID, "key_id": "key_1"},
    {"action": "grant_credits", "account_id": ACCOUNT_ID, "credits": 5, "request_id": "r"},
    {"action": "adjust_credits", "account_id": ACCOUNT_ID, "credits": -5, "note": "x"},
    {"action": "audit_log", "month": "2026-03"},
    {"action": "callback_url", "provider": "gempix2ai"},
    {"action": "list_dead_letters", "queue": "finish", "task_id": "tsk_1"},
    {"action": "redrive_dead_letters", "queue": "webhooks"},
    {"action": "drop_dead_letters", "queue": "attempts", "task_id": "tsk_1"},
)
an_argument = st.sampled_from(sorted({name for action in ACTIONS for name in action} | {"overrides"}))
A_MOMENT = ("2030-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59", "9999-12-31T23:59:59Z", "253402300799", "1e400")


@quick
@given(
    st.builds(
        lambda action, changes: action | changes,
        st.sampled_from(ACTIONS),
        st.dictionaries(an_argument | anything, a_json(an_argument) | near(*A_MOMENT), max_size=3),
    )
    | a_json(an_argument)
)
@example({"action": "create_key", "account_id": ACCOUNT_ID, "expires_at": "9999-12-31T23:59:59-23:59"})
@example({"action": "create_key", "account_id": ACCOUNT_ID, "expires_at": "0001-01-01T00:00:00+23:59"})
@example({"action": "create_key", "account_id": ACCOUNT_ID, "expires_at": 10**12})
@example({"action": "create_key", "account_id": ACCOUNT_ID, "name": "\ud800"})
@example({"action": "create_account", "name": "\ud800"})
@example({"action": {}})
@example({"action": "\ud800"})
def test_any_event_of_an_operator_is_done_or_refused(event: Json) -> None:
    try:
        administer(
            event,
            accounts=OneAccount(),
            dead_letters=NoLetters(),
            callback_keys=lambda: KEYS,
            base_url="https://pixhook.example",
            request_id="r",
            clock=lambda: NOW,
        )
    except (InvalidRequest, NotFound) as fault:
        json.dumps(str(fault)).encode()


# Images

URLS = tuple(str(case["url"]) for kind in ("reference-images", "result-urls") for case in attacks(kind))
ANSWERS = ("127.0.0.1", "::1", "fe80::1%eth0", "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1")


@quick
@given(near(*URLS) | anything)
def test_any_url_is_read_or_rejected_and_leads_nowhere_inside(url: str) -> None:
    guard = AddressGuard()
    try:
        parts = guard.parse(url)
    except AddressRejected:
        return
    assert parts.scheme == "https"
    assert parts.hostname
    for address in ANSWERS:
        with pytest.raises(AddressRejected):
            guard.choose(parts, ["1.1.1.1", address])


IMAGES = [
    path.read_bytes() for path in sorted((ATTACKS / "images").iterdir()) if path.suffix in {".png", ".jpg", ".webp"}
]


@quick
@given(
    content=st.sampled_from(IMAGES),
    changes=st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=4), st.integers(0, 4)), max_size=6),
    end=st.integers(0, 5_000),
)
def test_any_bytes_are_an_image_or_none(content: bytes, changes: list[tuple[int, bytes, int]], end: int) -> None:
    for place, other, length in changes:
        content = content[:place] + other + content[place + length :]
    content = content[: len(content) - end] if end < len(content) else content
    try:
        image = MeasuredImage([content])
    except NotAnImage:
        return
    assert 0 < image.width < 2**32
    assert 0 < image.height < 2**32
    assert image.read() == content


DATA_URIS = tuple(str(case["uri"]) for case in attacks("data-uris"))


@quick
@given(near(*DATA_URIS) | st.binary().map(lambda data: f"data:;base64,{b64encode(data).decode()}") | anything)
def test_any_data_uri_is_decoded_or_rejected(uri: str) -> None:
    try:
        assert isinstance(from_data_uri(uri), bytes)
    except ImageRejected:
        return


# Providers

HEADERS = ("retry-after", "date", "x-ratelimit-remaining", "x-ratelimit-reset")
DATES = (
    "Wed, 21 Oct 2026 07:28:00 GMT",
    "0",
    "120",
    "1772366400",
    "Sun, 06 Nov 1994 08:49:37 +9999",
    "Mon, 1 Jan 0001",
)


@quick
@pytest.mark.parametrize("name", sorted(PROVIDERS))
@given(st.dictionaries(st.sampled_from(HEADERS), near(*DATES) | anything))
@example({"date": "Wed, 21 Oct 99999 07:28:00 GMT", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "5"})
@example({"date": "Wed, 21 Oct 2026 07:28:00 GMT", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "9" * 5000})
@example({"date": "Wed, 21 Oct 2026 07:28:00 GMT", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "\u0665"})
@example({"date": "", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "5"})
def test_any_headers_of_a_provider_are_understood(name: str, headers: dict[str, str]) -> None:
    seconds = PROVIDERS[name].retry_after(HttpResponse(status=429, headers=headers))
    assert seconds is None or 0 <= seconds < 10**6


BODIES_OF_CALLBACKS = [sample.body.decode("utf-8", "replace") for sample in samples("callback", "status")]


@quick
@given(near(*BODIES_OF_CALLBACKS) | anything, st.text("abc019+/=_-", min_size=8))
@example('{"message": "sk-live\\/key"}', "sk-live/key")
def test_no_text_holds_a_secret_once_that_is_taken_out(body: str, secret: str) -> None:
    clean = redacted((body + secret).encode("utf-8", "surrogatepass"), [secret])
    assert secret.encode() not in clean
    assert redacted(body.encode("utf-8", "surrogatepass"), ["a", "", "status"]) == body.encode("utf-8", "surrogatepass")


@quick
@given(a_json(st.sampled_from(("\ud800", "a"))))
def test_whatever_is_read_as_json_can_be_written_again(document: Json) -> None:
    json.dumps(parse_json(json.dumps(document)), ensure_ascii=False).encode()
