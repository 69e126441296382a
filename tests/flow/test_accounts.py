"""Accounts, API keys and credits: what operators do with them, and what clients may do with what they have."""

import json
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pixhook import runtime
from pixhook.errors import InvalidRequest, NotFound, StoreUnavailable
from pixhook.model import Caller, Json, Scope
from pixhook.plans import PLANS
from tests.flow.cloud import service_error
from tests.flow.world import CALLER, Answer, World
from tests.support.builders import ACCOUNT_ID, a_body

A_MONTH = runtime.now().strftime("%Y-%m")


def administer(world: World, action: str, **fields: Json) -> dict[str, Any]:
    """What the admin function answers."""
    return dict(world.invoke("admin", {"action": action, **fields}))


def an_account(world: World, **fields: Json) -> str:
    return str(administer(world, "create_account", **{"name": "Ada", **fields})["account_id"])


def a_key(world: World, account_id: str = ACCOUNT_ID, **fields: Json) -> dict[str, str]:
    return administer(world, "create_key", account_id=account_id, **fields)


def assert_unauthorized(world: World, key: str) -> None:
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        world.authorize(f"Bearer {key}")


def code_of(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.document["code"]


# Keys


def test_new_key_opens_the_api_for_its_account(world: World) -> None:
    account_id = an_account(world)
    made = a_key(world, account_id)

    policy = world.authorize(f"Bearer {made['key']}")

    assert policy["principalId"] == policy["context"]["account_id"] == account_id
    assert policy["context"]["key_id"] == made["key_id"]


def test_revoked_key_opens_nothing_and_leaves_the_accounts_others(world: World) -> None:
    first, second = a_key(world), a_key(world)

    for _ in range(2):  # a second time changes nothing
        revoked = administer(world, "revoke_key", account_id=ACCOUNT_ID, key_id=first["key_id"])
        assert revoked == {"key_id": first["key_id"]}

    assert_unauthorized(world, first["key"])
    assert world.authorize(f"Bearer {second['key']}")["principalId"] == ACCOUNT_ID


def test_keys_of_an_account_are_listed_by_what_their_owner_knows_of_them(world: World) -> None:
    expires_at = (runtime.now() + timedelta(days=1)).isoformat()
    first = a_key(world, name="shop", scopes=["images:read"], expires_at=expires_at)
    second = a_key(world)
    administer(world, "revoke_key", account_id=ACCOUNT_ID, key_id=second["key_id"])
    world.authorize(f"Bearer {first['key']}")

    by_id = {key["id"]: key for key in administer(world, "list_keys", account_id=ACCOUNT_ID)["keys"]}

    assert by_id.keys() == {first["key_id"], second["key_id"]}
    known = by_id[first["key_id"]]
    assert (known["name"], known["scopes"], known["revoked_at"]) == ("shop", ["images:read"], None)
    assert first["key"].startswith(known["prefix"])
    assert len(known["prefix"]) == 10
    assert known["expires_at"]
    assert known["last_used_at"]
    assert by_id[second["key_id"]]["revoked_at"]
    assert by_id[second["key_id"]]["scopes"] == sorted(Scope)


def test_key_that_expires_has_to_do_so_later(world: World) -> None:
    with pytest.raises(InvalidRequest, match="expires_at"):
        a_key(world, expires_at="2020-01-01T00:00:00Z")
    with pytest.raises(InvalidRequest, match="expires_at"):
        a_key(world, expires_at="2999-01-01T00:00:00")  # where?


def test_no_key_is_in_any_table_log_event_or_answer(world: World) -> None:
    made = a_key(world, request_id="r-1")
    world.authorize(f"Bearer {made['key']}")
    world.submit(a_body())
    again = a_key(world, request_id="r-1")
    administer(world, "revoke_key", account_id=ACCOUNT_ID, key_id=made["key_id"])
    assert_unauthorized(world, made["key"])

    tables = [world.items(name) for name in ("ACCOUNTS_TABLE", "TASKS_TABLE", "BREAKERS_TABLE")]
    seen = json.dumps([tables, world.log(), world.events(), world.messages(), again])

    assert made["key_id"] in seen
    assert made["key"][: len("pxk_") + 6] in seen
    assert made["key"][: len("pxk_") + 7] not in seen
    assert made["key"][12:] not in seen


# Scopes

ROUTES = [
    ("GET", "/models", Scope.READ),
    ("GET", "/account", Scope.READ),
    ("GET", "/account/movements", Scope.READ),
    ("GET", "/images", Scope.READ),
    ("GET", "/images/tsk_1", Scope.READ),
    ("GET", "/images/tsk_1/files/0", Scope.READ),
    ("POST", "/images", Scope.WRITE),
    ("POST", "/images/tsk_1/cancel", Scope.WRITE),
]


@pytest.mark.parametrize(("method", "path", "scope"), ROUTES)
def test_request_needs_its_scope_and_no_other(world: World, method: str, path: str, scope: Scope) -> None:
    with_it, without = (replace(CALLER, scopes=scopes) for scopes in (frozenset({scope}), frozenset(Scope) - {scope}))

    refused = world.request(method, path, a_body(), caller=without)

    assert code_of(refused) == (403, "scope_missing")
    assert scope in refused.document["detail"]
    assert world.tasks() == []
    assert world.request(method, path, a_body(), caller=with_it).status in {200, 202, 404}


# Limits

LIMIT_HEADERS = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")


def limited(world: World, **overrides: int) -> Caller:
    """The holder of a key of an account with limits of its own."""
    return world.open_account(id="acc_limited", plan="free", overrides=overrides)


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets the clock of the functions to so many seconds after a window's beginning."""
    start = runtime.now().replace(second=0, microsecond=0)

    def set_clock(seconds: float) -> int:
        moment = start + timedelta(seconds=seconds)
        monkeypatch.setattr(runtime, "now", lambda: moment)
        return int(start.timestamp())

    return set_clock


def test_requests_of_a_window_are_as_many_as_the_limit(world: World, at: Any) -> None:
    caller = limited(world, requests=3)
    start = at(0)
    seen = []
    for second in (0, 1, 59.999, 59.9999):
        at(second)
        answer = world.submit(a_body(), caller=caller)
        seen.append((answer.status, *(answer.headers[name] for name in LIMIT_HEADERS)))

    end = str(start + 60)
    assert seen == [(202, "3", "2", end), (202, "3", "1", end), (202, "3", "0", end), (429, "3", "0", end)]
    assert len(world.tasks()) == 3

    at(60)
    answer = world.submit(a_body(), caller=caller)
    assert (answer.status, answer.headers["x-ratelimit-remaining"]) == (202, "2")
    assert answer.headers["x-ratelimit-reset"] == str(start + 120)


@pytest.mark.parametrize(("second", "seconds"), [(0, "60"), (59, "1"), (59.9, "1")])
def test_who_has_made_too_many_learns_when_the_next_window_begins(
    world: World, at: Any, second: float, seconds: str
) -> None:
    caller = limited(world, requests=1)
    at(second)
    world.submit(a_body(), caller=caller)

    refused = world.submit(a_body(), caller=caller)

    assert code_of(refused) == (429, "too_many_requests")
    assert refused.headers["retry-after"] == seconds
    assert refused.document["retryable"]


def test_window_may_be_an_hour(world: World, at: Any) -> None:
    caller = limited(world, requests=1, window_seconds=3600)
    at(0)
    first = world.submit(a_body(), caller=caller)

    assert int(first.headers["x-ratelimit-reset"]) % 3600 == 0
    assert world.submit(a_body(), caller=caller).status == 429


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/images", a_body(), 202),
        ("POST", "/images", "{", 422),
        ("POST", "/images", a_body(model="nobody's"), 422),
        ("GET", "/models", None, 200),
        ("GET", "/account", None, 200),
        ("GET", "/images/tsk_2", None, 404),
        ("GET", "/images/%C3%A4", None, 404),
    ],
)
def test_every_answer_has_the_limits(world: World, method: str, path: str, body: object, status: int) -> None:
    caller = limited(world)

    answer = world.request(method, path, body, caller=caller)

    assert answer.status == status
    limit, remaining, _ = (int(answer.headers[name]) for name in LIMIT_HEADERS)
    assert (limit, remaining) == (PLANS["free"].requests, PLANS["free"].requests - (method == "POST"))


def test_refusal_by_scope_has_the_limits_and_counts_nothing(world: World) -> None:
    caller = replace(limited(world), scopes=frozenset({Scope.READ}))
    for _ in range(2):
        answer = world.submit(a_body(), caller=caller)
        assert answer.headers["x-ratelimit-remaining"] == answer.headers["x-ratelimit-limit"]


def test_one_accounts_requests_are_not_anothers(world: World) -> None:
    caller = limited(world, requests=1)
    world.submit(a_body(), caller=caller)

    assert world.submit(a_body(), caller=caller).status == 429
    assert world.submit(a_body()).status == 202


def test_request_that_cannot_be_counted_is_not_made(world: World) -> None:
    with world.refusing("UpdateItem", of="ACCOUNTS_TABLE"):
        answer = world.submit(a_body())

    assert code_of(answer) == (503, "service_unavailable")
    assert set(LIMIT_HEADERS) <= answer.headers.keys()
    assert world.upstream.requests == []


def test_nobody_is_kept_from_reading_by_a_count_that_cannot_be_read(world: World) -> None:
    with world.refusing("GetItem", of="ACCOUNTS_TABLE"):
        answer = world.get("/models")

    assert answer.status == 200
    assert set(LIMIT_HEADERS) <= answer.headers.keys()


def test_count_outlives_its_window(world: World) -> None:
    end = int(world.submit(a_body()).headers["x-ratelimit-reset"])
    [count] = [item for item in world.items("ACCOUNTS_TABLE") if item["pk"]["S"].startswith("rate#")]
    assert int(count["ttl"]["N"]) > end


def test_tasks_under_way_are_limited_until_they_end(world: World) -> None:
    caller = limited(world, tasks_in_flight=2)
    first = world.submit(a_body(), caller=caller)
    world.submit(a_body(), caller=caller)

    refused = world.submit(a_body(), caller=caller)

    assert code_of(refused) == (429, "too_many_tasks")
    assert int(refused.headers["retry-after"]) > 0
    assert len(world.upstream.requests) == 2
    world.fail(world.task(first.document["id"]))
    assert world.submit(a_body(), caller=caller).status == 202


def test_provider_options_are_a_feature_of_the_plan(world: World) -> None:
    body = a_body(provider="apixo", provider_options={"num_images": 2})

    refused = world.submit(body, caller=limited(world))

    assert code_of(refused) == (403, "not_in_plan")
    assert world.submit(body).status == 202


# Credits


def test_price_is_taken_with_the_task_and_kept_with_its_images(world: World) -> None:
    caller = world.open_account(id="acc_payer", balance=20)
    task = world.task(world.submit(a_body(resolution="2k"), caller=caller).document["id"])
    assert account(world, caller)["balance"] == 12

    world.complete(task)

    assert account(world, caller)["balance"] == 12
    assert ledger(world, caller) == [("settle", 0, task.id), ("reserve", -8, task.id), ("grant", 20, None)]
    shown = world.get(f"/images/{task.id}", account_id="acc_payer").document
    assert (shown["credits"], shown["credits_refunded"]) == (8, 0)


def test_price_comes_back_with_a_failure(world: World) -> None:
    caller = world.open_account(id="acc_payer", balance=20)
    task = world.task(world.submit(a_body(), caller=caller).document["id"])

    world.fail(task)

    assert account(world, caller)["balance"] == 20
    assert ledger(world, caller) == [("refund", 5, task.id), ("reserve", -5, task.id), ("grant", 20, None)]
    shown = world.get(f"/images/{task.id}", account_id="acc_payer").document
    assert (shown["credits"], shown["credits_refunded"]) == (5, 5)


def test_who_cannot_pay_is_told_the_price_and_nothing_is_sent(world: World) -> None:
    caller = world.open_account(id="acc_payer", balance=4)

    answer = world.submit(a_body(), caller=caller)

    assert code_of(answer) == (402, "out_of_credits")
    assert (answer.document["required"], answer.document["balance"]) == (5, 4)
    assert world.upstream.requests == []
    assert world.tasks() == []
    assert account(world, caller)["balance"] == 4


def test_account_is_shown_with_its_plan_and_its_use(world: World) -> None:
    caller = limited(world, requests=7)
    world.submit(a_body(), caller=caller)

    shown = account(world, caller)

    assert shown["id"] == "acc_limited"
    assert (shown["plan"], shown["status"], shown["balance"]) == ("free", "active", 999_995)
    assert shown["limits"] == {"requests": 7, "window_seconds": 60, "tasks_in_flight": 5, "features": []}
    assert shown["usage"] == {"requests": 1, "tasks_in_flight": 1}


def test_ledger_is_read_page_by_page(world: World) -> None:
    caller = world.open_account(id="acc_payer", balance=100)
    for _ in range(5):
        world.submit(a_body(), caller=caller)

    found: list[dict[str, Any]] = []
    path = "/account/movements?limit=2"
    for _ in range(3):
        page = world.get(path, caller=caller).document
        found += page["movements"]
        path = f"/account/movements?limit=2&cursor={page['next_cursor']}"

    assert len(found) == 6
    assert len({movement["task_id"] for movement in found}) == 6
    assert sum(movement["credits"] for movement in found) == 75


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=x", "limit"),
        ("cursor=%FF", "cursor"),
        ("cursor=!!!", "cursor"),
        (f"cursor={'x' * 500}", "cursor"),
    ],
)
def test_page_that_there_is_not_is_refused_with_its_parameter(world: World, query: str, field: str) -> None:
    answer = world.get(f"/account/movements?{query}")
    assert (answer.status, answer.document["field"]) == (422, field)


def account(world: World, caller: Caller) -> dict[str, Any]:
    return world.get("/account", caller=caller).document


def ledger(world: World, caller: Caller) -> list[tuple[str, int, str | None]]:
    movements = world.get("/account/movements", caller=caller).document["movements"]
    return [(movement["kind"], movement["credits"], movement["task_id"]) for movement in movements]


# Whose account has ended

CHANGES: dict[str, dict[str, Json]] = {
    "suspend_account": {},
    "resume_account": {},
    "delete_account": {},
    "create_key": {},
    "set_plan": {"plan": "pro"},
    "grant_credits": {"credits": 5},
    "adjust_credits": {"credits": 5, "note": "why"},
}
"""What can be done with an account that is open."""


def test_suspended_account_buys_nothing_and_reads_what_it_has(world: World) -> None:
    key = a_key(world)["key"]
    task_id = world.submit(a_body()).document["id"]
    administer(world, "suspend_account", account_id=ACCOUNT_ID)

    assert code_of(world.submit(a_body())) == (403, "account_inactive")
    assert len(world.upstream.requests) == 1
    assert world.get(f"/images/{task_id}").status == 200
    assert world.get("/account").document["status"] == "suspended"
    assert world.authorize(f"Bearer {key}")
    world.complete(world.task(task_id))

    administer(world, "resume_account", account_id=ACCOUNT_ID)
    assert world.submit(a_body()).status == 202


def test_deleted_account_opens_nothing_but_its_tasks_end(world: World) -> None:
    caller = world.open_account(id="acc_gone", balance=20)
    key = a_key(world, "acc_gone")["key"]
    task = world.task(world.submit(a_body(), caller=caller).document["id"])
    administer(world, "delete_account", account_id="acc_gone")

    assert_unauthorized(world, key)
    # A key works for as long as API Gateway remembers that it did: even then nothing is bought.
    assert code_of(world.submit(a_body(), caller=caller)) == (403, "account_inactive")
    assert world.get("/account", caller=caller).status == 404
    world.fail(task)
    shown = administer(world, "show_account", account_id="acc_gone")
    assert (shown["status"], shown["balance"], shown["usage"]["tasks_in_flight"]) == ("deleted", 20, 0)
    for action, fields in CHANGES.items():
        with pytest.raises(NotFound):
            administer(world, action, account_id="acc_gone", **fields)


def test_account_that_was_never_there_buys_nothing(world: World) -> None:
    stranger = replace(CALLER, account_id="acc_2")
    assert code_of(world.submit(a_body(), caller=stranger)) == (403, "account_inactive")
    assert world.upstream.requests == []


# What operators do


def test_account_gets_another_plan_and_limits_of_its_own(world: World) -> None:
    account_id = an_account(world)
    key = a_key(world, account_id)["key"]

    administer(world, "set_plan", account_id=account_id, plan="pro", overrides={"requests": 300})

    context = world.authorize(f"Bearer {key}")["context"]
    assert (context["requests"], context["tasks_in_flight"]) == ("300", str(PLANS["pro"].tasks_in_flight))
    administer(world, "set_plan", account_id=account_id, plan="pro")
    assert world.authorize(f"Bearer {key}")["context"]["requests"] == str(PLANS["pro"].requests)


def test_credits_are_granted_and_adjusted_but_never_below_nothing(world: World) -> None:
    account_id = an_account(world)
    administer(world, "grant_credits", account_id=account_id, credits=50)
    administer(world, "adjust_credits", account_id=account_id, credits=-20, note="a mistake")

    with pytest.raises(InvalidRequest, match="the balance is 30"):
        administer(world, "adjust_credits", account_id=account_id, credits=-31, note="too much")

    caller = replace(CALLER, account_id=account_id)
    assert account(world, caller)["balance"] == 30
    assert ledger(world, caller) == [("adjust", -20, None), ("grant", 50, None)]


ONCE: list[tuple[str, dict[str, Json]]] = [
    ("create_account", {"name": "Ada"}),
    ("create_key", {"account_id": ACCOUNT_ID}),
    ("grant_credits", {"account_id": ACCOUNT_ID, "credits": 7}),
    ("adjust_credits", {"account_id": ACCOUNT_ID, "credits": -7, "note": "why"}),
    ("suspend_account", {"account_id": ACCOUNT_ID}),
    ("set_plan", {"account_id": ACCOUNT_ID, "plan": "pro"}),
]


@pytest.mark.parametrize(("action", "fields"), ONCE)
def test_request_is_done_once_whatever_its_asker_heard_of_it(
    world: World, action: str, fields: dict[str, Json]
) -> None:
    first = administer(world, action, **fields, request_id="r-1")
    held = world.items("ACCOUNTS_TABLE")

    again = administer(world, action, **fields, request_id="r-1")

    assert again == {name: value for name, value in first.items() if name != "key"}
    assert world.items("ACCOUNTS_TABLE") == held


@pytest.mark.parametrize("number", [7, -1_000_000])
def test_request_that_is_done_by_another_meanwhile_is_not_done_again(world: World, number: int) -> None:
    fields = {"account_id": ACCOUNT_ID, "credits": number, "note": "why", "request_id": "r-1"}
    before = world.get("/account").document["balance"]
    raced: list[str] = []

    def be_overtaken(operation: str) -> None:
        if operation == "TransactWriteItems" and not raced:
            raced.append(operation)
            administer(world, "adjust_credits", **fields)

    with world.disturbed(be_overtaken):
        answer = administer(world, "adjust_credits", **fields)

    assert answer == {"account_id": ACCOUNT_ID}
    assert world.get("/account").document["balance"] == before + number


def test_id_of_a_request_is_not_for_another(world: World) -> None:
    administer(world, "grant_credits", account_id=ACCOUNT_ID, credits=7, request_id="r-1")
    with pytest.raises(InvalidRequest, match="request_id"):
        administer(world, "grant_credits", account_id=ACCOUNT_ID, credits=8, request_id="r-1")


def test_what_operators_do_is_written_down(world: World) -> None:
    account_id = an_account(world, request_id="r-1")
    administer(world, "grant_credits", account_id=account_id, credits=7, note="a gift", request_id="r-2")
    administer(world, "show_account", account_id=account_id)

    log = {entry["id"]: entry for entry in administer(world, "audit_log", month=A_MONTH)["requests"]}

    assert log["r-1"]["result"] == {"account_id": account_id}
    assert (log["r-2"]["action"], log["r-2"]["credits"], log["r-2"]["note"]) == ("grant_credits", 7, "a gift")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT.*Z", log["r-2"]["at"])
    assert not {"show_account"} & {entry["action"] for entry in log.values()}


@pytest.mark.parametrize(
    ("event", "where"),
    [
        (None, None),
        ([], None),
        ("create_account", None),
        ({}, "action"),
        ({"action": None}, "action"),
        ({"action": "delete_everything"}, "action"),
        ({"action": "create_account"}, "name"),
        ({"action": "create_account", "name": ""}, "name"),
        ({"action": "create_account", "name": "x" * 201}, "name"),
        ({"action": "create_account", "name": 7}, "name"),
        ({"action": "create_account", "name": "Ada", "admin": True}, "admin"),
        ({"action": "create_account", "name": "Ada", "plan": "gold"}, "plan"),
        ({"action": "create_account", "name": "Ada", "request_id": "a#b"}, "request_id"),
        ({"action": "set_plan", "account_id": ACCOUNT_ID, "plan": "pro", "overrides": {"x": 1}}, "overrides.x"),
        (
            {"action": "set_plan", "account_id": ACCOUNT_ID, "plan": "pro", "overrides": {"requests": 0}},
            "overrides.requests",
        ),
        (
            {"action": "set_plan", "account_id": ACCOUNT_ID, "plan": "pro", "overrides": {"window_seconds": 7}},
            "overrides.window_seconds",
        ),
        ({"action": "create_key"}, "account_id"),
        ({"action": "create_key", "account_id": ACCOUNT_ID, "scopes": []}, "scopes"),
        ({"action": "create_key", "account_id": ACCOUNT_ID, "scopes": ["admin"]}, "scopes.0"),
        ({"action": "revoke_key", "account_id": ACCOUNT_ID}, "key_id"),
        ({"action": "grant_credits", "account_id": ACCOUNT_ID, "credits": 0}, "credits"),
        ({"action": "grant_credits", "account_id": ACCOUNT_ID, "credits": -5}, "credits"),
        ({"action": "grant_credits", "account_id": ACCOUNT_ID, "credits": 1.5}, "credits"),
        ({"action": "grant_credits", "account_id": ACCOUNT_ID, "credits": True}, "credits"),
        ({"action": "adjust_credits", "account_id": ACCOUNT_ID, "credits": 5}, "note"),
        ({"action": "audit_log", "month": "2026"}, "month"),
        ({"action": "callback_url", "provider": "apixo"}, "provider"),
    ],
    ids=lambda value: json.dumps(value)[:60],
)
def test_action_that_there_is_not_does_nothing(world: World, event: Json, where: str | None) -> None:
    held = world.items("ACCOUNTS_TABLE")
    with pytest.raises(InvalidRequest, match=where or "event") as refused:
        world.invoke("admin", event)
    assert refused.value.field == where
    assert world.items("ACCOUNTS_TABLE") == held


@pytest.mark.parametrize(("action", "fields"), [*CHANGES.items(), ("show_account", {}), ("list_keys", {})])
def test_account_that_there_is_not_is_named(world: World, action: str, fields: dict[str, Json]) -> None:
    with pytest.raises(NotFound, match="acc_2"):
        administer(world, action, account_id="acc_2", **fields)


def test_key_that_there_is_not_cannot_be_revoked(world: World) -> None:
    made = a_key(world)
    another = an_account(world)
    for account_id, key_id in ((ACCOUNT_ID, "key_2"), (another, made["key_id"])):
        with pytest.raises(NotFound, match=key_id):
            administer(world, "revoke_key", account_id=account_id, key_id=key_id)


@pytest.mark.parametrize("operation", ["GetItem", "TransactWriteItems"])
def test_action_that_aws_does_not_do_fails_aloud(world: World, operation: str) -> None:
    with world.refusing(operation, trouble=service_error()), pytest.raises(StoreUnavailable):
        administer(world, "suspend_account", account_id=ACCOUNT_ID)
