"""Idempotency-Key: however often a request is made, there is one task, one purchase, one charge."""

from dataclasses import replace
from itertools import count
from typing import Any

import httpx
import pytest

from pixhook.flows import submit
from pixhook.flows.submit import keyed_task_id
from pixhook.model import Status
from pixhook.plans import PLANS
from tests.flow.cloud import service_error
from tests.flow.dialects import Dialect
from tests.flow.test_submit import assert_problem, assert_untouched
from tests.flow.world import CALLER, World
from tests.support.builders import ACCOUNT_ID, a_body

REPLAYED = "idempotent-replayed"


def balance(world: World) -> int:
    return int(world.get("/account").document["balance"])


def test_same_request_again_is_its_task_as_it_is_now(world: World, dialect: Dialect) -> None:
    body = a_body(provider=dialect.name, metadata={"order": 7})
    before = balance(world)
    first = world.submit(body, key="order-7")
    charged = before - balance(world)

    again = world.submit(body, key="order-7")

    assert (again.status, again.headers[REPLAYED]) == (202, "true")
    assert REPLAYED not in first.headers
    assert again.document == first.document
    assert again.headers["location"] == first.headers["location"]
    world.complete(world.task(first.document["id"]))
    assert world.submit(body, key="order-7").document["status"] == "completed"
    assert len(world.upstream.requests) == len(world.tasks()) == 1
    assert before - balance(world) == charged > 0


@pytest.mark.parametrize(
    "change", [{"prompt": "a wolf"}, {"metadata": {"order": 7.0}}, {"metadata": {"order": True}}, {"resolution": "1k"}]
)
def test_another_request_with_the_same_key_is_refused(world: World, change: dict[str, Any]) -> None:
    body = a_body(metadata={"order": 7})
    world.submit(body, key="order-7")
    paid = balance(world)

    answer = world.submit({**body, **change}, key="order-7")

    assert_problem(answer, 422, "idempotency_key_reused", field="Idempotency-Key")
    assert len(world.upstream.requests) == len(world.tasks()) == 1
    assert balance(world) == paid


def test_bodies_that_say_the_same_are_the_same(world: World) -> None:
    first = world.submit('{"model": "nano-banana-2", "prompt": "a fox", "metadata": {"a": 1, "b": 2}}', key="k")
    again = world.submit('{"metadata":{"b":2,"a":1},"prompt":"a f\\u006fx","model":"nano-banana-2"}', key="k")
    assert again.headers[REPLAYED] == "true"
    assert again.document["id"] == first.document["id"]


def test_keys_and_accounts_do_not_meet(world: World) -> None:
    other = world.open_account(id="acc_2")
    answers = [
        world.submit(a_body(), key="k"),
        world.submit(a_body(), key="K"),
        world.submit(a_body(), key="k", caller=other),
        world.submit(a_body()),
        world.submit(a_body()),
    ]
    assert len({answer.document["id"] for answer in answers}) == len(answers)
    assert len(world.upstream.requests) == len(answers)


@pytest.mark.parametrize("key", ["", " ", "a b", "\t", "é", "x" * 256, "a\nb"], ids=repr)
def test_key_is_visible_ascii_of_some_length(world: World, key: str) -> None:
    assert_problem(world.submit(a_body(), key=key), 422, "invalid_request", field="Idempotency-Key")
    assert_untouched(world)


@pytest.mark.parametrize("key", ["!", "~" * 255, "0f8b1a5e-7d0c-4a57-9d59-6a9b1a0d9b5e"], ids=lambda key: key[:8])
def test_task_under_a_key_has_an_id_like_any_other(world: World, key: str) -> None:
    task_id = world.submit(a_body(), key=key).document["id"]
    assert task_id == keyed_task_id(ACCOUNT_ID, key)
    assert world.get(f"/images/{task_id}").status == 200


def test_request_that_was_refused_before_it_had_a_task_has_not_used_its_key(world: World) -> None:
    poor = world.open_account(id="acc_poor", balance=0)
    assert world.submit(a_body(), key="k", caller=poor).status == 402
    assert world.submit(a_body(resolution="9k"), key="k").status == 422
    assert world.submit(a_body(), key="k").status == 202


def test_refused_task_stays_refused(world: World) -> None:
    world.upstream.answer = lambda _: httpx.Response(400)
    refused = world.submit(a_body(), key="k")
    world.finish_all()

    again = world.submit(a_body(), key="k")

    assert (again.status, again.document["status"]) == (202, "failed")
    assert again.document["id"] == refused.document["task_id"]
    assert len(world.upstream.requests) == 1


def test_request_at_the_same_moment_waits_for_the_first_ones_answer(world: World, dialect: Dialect) -> None:
    body = a_body(provider=dialect.name)
    task_id = keyed_task_id(ACCOUNT_ID, "k")
    seen: list[Status] = []

    def answer_meanwhile() -> None:
        seen.append(world.task(task_id).status)
        if len(seen) == 3:
            world.table.move(world.task(task_id), Status.PROCESSING, world.task(task_id).created_at, ref=dialect.ref)

    def ask_again_first(_: httpx.Request) -> httpx.Response:
        world.while_it_waits = answer_meanwhile
        world.upstream.answer = lambda _: pytest.fail("it was asked a second time")
        second = world.submit(body, key="k")
        assert (second.status, second.document["status"], second.headers[REPLAYED]) == (202, "processing", "true")
        return httpx.Response(200, json=dialect.accepted())

    world.upstream.answer = ask_again_first
    first = world.submit(body, key="k")

    assert (first.status, first.document["status"]) == (202, "processing")
    assert seen == [Status.QUEUED] * 3
    assert len(world.upstream.requests) == 1


def test_nobody_waits_for_a_request_whose_process_is_dead(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.upstream.answer = lambda _: httpx.Response(502)
    world.submit(a_body(), key="k")
    world.while_it_waits = lambda: pytest.fail("it waited")
    monkeypatch.setattr(submit, "ANSWER_SECONDS", 0)

    again = world.submit(a_body(), key="k")

    assert (again.status, again.document["status"]) == (202, "queued")
    assert len(world.upstream.requests) == 1


def test_nobody_waits_longer_than_there_is_time(world: World) -> None:
    world.upstream.answer = lambda _: httpx.Response(502)
    world.submit(a_body(), key="k")
    waits = count()

    def time_runs_out() -> None:
        if next(waits) == 5:
            world.seconds_left = 1.0

    world.while_it_waits = time_runs_out
    assert world.submit(a_body(), key="k").document["status"] == "queued"
    assert next(waits) == 6


def test_task_whose_writing_got_no_answer_but_took_effect_is_no_replay(world: World) -> None:
    before = balance(world)
    with world.losing_the_answer("TransactWriteItems"):
        answer = world.submit(a_body(), key="k")

    assert answer.status == 202
    assert REPLAYED not in answer.headers
    assert len(world.upstream.requests) == 1
    assert before - balance(world) == answer.document["credits"]


def test_account_that_has_spent_all_is_still_answered_with_what_it_bought(world: World) -> None:
    caller = world.open_account(id="acc_poor", balance=5, overrides={"tasks_in_flight": 1})
    first = world.submit(a_body(), key="k", caller=caller)
    again = world.submit(a_body(), key="k", caller=caller)
    assert (again.status, again.headers[REPLAYED], again.document["id"]) == (202, "true", first.document["id"])


def test_request_that_meets_the_first_ones_writing_is_answered_with_its_task(world: World) -> None:
    """DynamoDB may show the account as charged already, and the task as being written."""
    caller = world.open_account(id="acc_poor", balance=5)
    first = world.submit(a_body(), key="k", caller=caller)
    answer, document = service_error("TransactionCanceledException", 400)
    reasons = [{"Code": "TransactionConflict"}, {"Code": "ConditionalCheckFailed", "Item": {"balance": {"N": "0"}}}]
    charged = (answer, document | {"CancellationReasons": reasons})

    with world.refusing("TransactWriteItems", trouble=charged):
        again = world.submit(a_body(), key="k", caller=caller)

    assert (again.status, again.document["id"]) == (202, first.document["id"])


def test_what_was_taken_once_is_not_refused_by_another_plan_or_without_its_provider(world: World) -> None:
    options = a_body(provider="apixo", provider_options={"num_images": 2})
    first = world.submit(options, key="k")
    poorer = replace(CALLER, limits=PLANS["free"])
    assert world.submit(options, key="k", caller=poorer).document["id"] == first.document["id"]

    world.store_secret("PROVIDERS_SECRET", {"defapi": {"api_key": "key"}})
    assert world.submit(options, key="k").document["id"] == first.document["id"]
    assert_problem(
        world.submit({**options, "prompt": "a wolf"}, key="k"), 422, "idempotency_key_reused", field="Idempotency-Key"
    )
    assert world.submit(options, key="another").status == 422
