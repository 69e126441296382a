"""API Gateway's authorizer: a key's holder is let in everywhere, and nobody else anywhere."""

from dataclasses import replace
from datetime import timedelta

import pytest

from pixhook import runtime
from pixhook.errors import StoreUnavailable
from pixhook.flows.authorize import digest, from_context
from pixhook.plans import PLANS
from tests.flow.cloud import API_ARN, service_answer
from tests.flow.world import CALLER, World
from tests.support.builders import ACCOUNT_ID

KEY = f"pxk_{'k' * 43}"


@pytest.fixture(autouse=True)
def key(world: World) -> None:
    """The account's key."""
    world.put_key(KEY)


def test_policy_allows_every_route_of_the_stage_and_says_whose_key_it_is(world: World) -> None:
    policy = world.authorize(f"Bearer {KEY}")

    [statement] = policy["policyDocument"]["Statement"]
    assert (statement["Effect"], statement["Action"]) == ("Allow", "execute-api:Invoke")
    assert statement["Resource"] == [f"{API_ARN}/*/*"]
    assert policy["principalId"] == ACCOUNT_ID
    assert from_context(policy["context"]) == replace(CALLER, limits=PLANS["enterprise"])


def test_use_of_a_key_can_be_seen(world: World) -> None:
    world.authorize(f"Bearer {KEY}")

    [key] = world.accounts.keys(ACCOUNT_ID, limit=10, cursor=None).items
    assert key.last_used_at is not None
    assert abs(runtime.now() - key.last_used_at) < timedelta(minutes=5)


def test_two_reads_tell_whose_key_it_is_and_its_use_is_noted_once(world: World) -> None:
    for _ in range(3):
        world.authorize(f"Bearer {KEY}")

    operations = [call.operation for call in world.calls]
    assert operations == [*LOOK_UP, "UpdateItem", *LOOK_UP, *LOOK_UP]


LOOK_UP = ["GetItem", "BatchGetItem"]


def test_account_that_is_not_read_at_once_is_not_called_wrong(world: World) -> None:
    unread = service_answer({"Responses": {}, "UnprocessedKeys": {}})
    with world.refusing("BatchGetItem", trouble=unread), pytest.raises(StoreUnavailable):
        world.authorize(f"Bearer {KEY}")


@pytest.mark.parametrize("authorization", [f"bearer {KEY}", f"BEARER   {KEY}", f" Bearer {KEY} "])
def test_scheme_may_have_any_case_and_spaces_around_it(world: World, authorization: str) -> None:
    assert world.authorize(authorization)["principalId"] == ACCOUNT_ID


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        KEY,
        f"Basic {KEY}",
        f"Bearer{KEY}",
        f"Bearer {KEY}k",
        f"Bearer {KEY[:-1]}",
        f"Bearer {KEY.upper()}",
        f"Bearer {KEY} {KEY}",
        f"Bearer {KEY}\n{KEY}",
        f"Bearer {KEY[:-1]}é",
        f"Bearer pxk_{'x' * 43}",
        f"Bearer {'k' * 100_000}",
        f"Bearer key#{digest(KEY)}",
    ],
    ids=lambda text: text[:40],
)
def test_anything_but_a_live_key_is_nobodys(world: World, authorization: str) -> None:
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        world.authorize(authorization)


def test_text_that_cannot_be_a_key_costs_no_look_up(world: World) -> None:
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        world.authorize("Bearer something-else")
    assert world.calls == []


@pytest.mark.parametrize("operation", LOOK_UP)
def test_key_that_cannot_be_looked_up_is_not_called_wrong(world: World, operation: str) -> None:
    with world.refusing(operation), pytest.raises(StoreUnavailable):
        world.authorize(f"Bearer {KEY}")


def test_log_names_the_key_by_its_id_alone(world: World) -> None:
    world.authorize(f"Bearer {KEY}")

    [line] = world.log()
    assert (line["message"], line["key_id"]) == ("authorized", "key_1")
    assert KEY not in str(line)
