"""A key opens its account, and nothing else does."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest

from pixhook.errors import StoreUnavailable
from pixhook.flows.authorize import authorize, digest, from_context, new_key, to_context
from pixhook.model import Account, ApiKey, Caller, Scope
from pixhook.plans import PLANS, Limits
from tests.support.builders import ACCOUNT_ID, NOW, an_account

KEY = "pxk_" + "aB3_-" * 8 + "xyz"
KNOWN = ApiKey(
    id="key_1", account_id=ACCOUNT_ID, name="shop", prefix=KEY[:10], scopes=frozenset({Scope.READ}), created_at=NOW
)


@dataclass
class Accounts:
    """One account that holds `KEY`."""

    key: ApiKey = KNOWN
    account: Account = field(default_factory=an_account)
    looked_up: list[str] = field(default_factory=list)
    used: list[datetime] = field(default_factory=list)

    def holder(self, key_sha256: str) -> tuple[ApiKey, Account] | None:
        self.looked_up.append(key_sha256)
        return (self.key, self.account) if key_sha256 == digest(KEY) else None

    def mark_used(self, key: ApiKey, now: datetime) -> None:
        assert key == self.key
        self.used.append(now)


@pytest.mark.parametrize(
    "header",
    [f"Bearer {KEY}", f"bearer {KEY}", f"BEARER {KEY}", f"Bearer   {KEY}", f"  Bearer {KEY} \n"],
    ids=repr,
)
def test_a_key_is_its_holders(header: str) -> None:
    caller = authorize(header, Accounts(), NOW)
    assert caller == Caller(
        account_id=ACCOUNT_ID, key_id="key_1", scopes=frozenset({Scope.READ}), limits=PLANS["enterprise"]
    )


def test_an_unknown_key_is_nobodys() -> None:
    assert authorize(f"Bearer {new_key()}", Accounts(), NOW) is None


LATER = NOW + timedelta(seconds=1)


@pytest.mark.parametrize(
    ("of_key", "of_account", "is_known"),
    [
        ({"revoked_at": NOW}, {}, False),
        ({"revoked_at": LATER}, {}, False),
        ({"expires_at": NOW}, {}, False),
        ({"expires_at": LATER}, {}, True),
        ({}, {"deleted_at": NOW}, False),
        ({}, {"suspended_at": NOW}, True),
    ],
    ids=str,
)
def test_a_key_opens_what_it_still_may(of_key: dict[str, Any], of_account: dict[str, Any], is_known: bool) -> None:
    accounts = Accounts(replace(KNOWN, **of_key), an_account(**of_account))
    assert (authorize(f"Bearer {KEY}", accounts, NOW) is not None) is is_known
    assert bool(accounts.used) is is_known


def test_an_accounts_limits_are_its_plans_save_where_they_differ() -> None:
    accounts = Accounts(account=an_account(plan="free", overrides={"requests": 30, "window_seconds": 3600}))
    caller = authorize(f"Bearer {KEY}", accounts, NOW)
    assert caller is not None
    assert caller.limits == Limits(
        requests=30, window_seconds=3600, tasks_in_flight=PLANS["free"].tasks_in_flight, features=frozenset()
    )


@pytest.mark.parametrize(("ago", "is_noted"), [(None, True), (59, False), (60, True)])
def test_use_of_a_key_is_noted_to_the_minute(ago: int | None, is_noted: bool) -> None:
    last_used = None if ago is None else NOW - timedelta(seconds=ago)
    accounts = Accounts(replace(KNOWN, last_used_at=last_used))
    authorize(f"Bearer {KEY}", accounts, NOW)
    assert accounts.used == ([NOW] if is_noted else [])


def test_a_use_that_cannot_be_noted_keeps_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise StoreUnavailable("mark the API key as used: ThrottlingException")

    monkeypatch.setattr(Accounts, "mark_used", fail)
    assert authorize(f"Bearer {KEY}", Accounts(), NOW)


@pytest.mark.parametrize("scopes", [frozenset(), frozenset({Scope.WRITE}), frozenset(Scope)])
@pytest.mark.parametrize("limits", [*PLANS.values(), Limits(requests=1, window_seconds=3600, tasks_in_flight=0)])
def test_a_caller_comes_through_api_gateway_as_it_was(scopes: frozenset[Scope], limits: Limits) -> None:
    caller = Caller(account_id=ACCOUNT_ID, key_id="key_1", scopes=scopes, limits=limits)
    context = to_context(caller)
    assert from_context({**context, "principalId": ACCOUNT_ID}) == caller
    assert all(isinstance(value, str) for value in context.values())


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        KEY,
        f"Basic {KEY}",
        f"Bearer{KEY}",
        f"Bearer\t{KEY}",
        f"Bearer Bearer {KEY}",
        f"Bearer {KEY[:-1]}",
        f"Bearer {KEY}x",
        f"Bearer {KEY},",
        f"Bearer {KEY} {KEY}",
        f"Bearer {KEY}\nX-Account: acc_2",
        f"Bearer {KEY.removeprefix('pxk_')}",
        f"Bearer sk_{KEY.removeprefix('pxk_')}x",
        f"Bearer {KEY[:-1]}=",
        f"Bearer {KEY[:-1]}é",
        f"Bearer {KEY.upper()}",
        f"Bearer {KEY[:-1]}\N{KELVIN SIGN}",
        f"Bearer {KEY[:-1]}\N{LATIN SMALL LETTER LONG S}",
    ],
    ids=ascii,
)
def test_a_malformed_header_is_not_even_looked_up(header: str) -> None:
    accounts = Accounts()
    assert authorize(header, accounts, NOW) is None
    assert accounts.looked_up == []


def test_a_new_key_is_one_that_can_be_looked_up() -> None:
    key, accounts = new_key(), Accounts()

    authorize(f"Bearer {key}", accounts, NOW)

    assert accounts.looked_up == [digest(key)]


def test_no_key_is_made_twice() -> None:
    assert len({new_key() for _ in range(100)}) == 100


def test_what_is_stored_of_a_key_is_its_sha_256() -> None:
    assert digest(KEY) == sha256(KEY.encode()).hexdigest()
