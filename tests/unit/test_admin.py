"""Operators make accounts and keys; a key is seen once and never stored."""

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import pytest

from pixhook.errors import InvalidRequest, NotFound
from pixhook.flows.admin import administer
from pixhook.flows.authorize import authorize, digest
from pixhook.model import Json, KeyHolder
from tests.support.builders import NOW


@dataclass
class Accounts:
    """An account store in memory."""

    names: dict[str, str] = field(default_factory=dict)
    keys: dict[str, KeyHolder] = field(default_factory=dict)
    times: list[datetime] = field(default_factory=list)

    def add(self, account_id: str, name: str, now: datetime) -> None:
        self.names[account_id] = name
        self.times.append(now)

    def add_key(self, holder: KeyHolder, key_sha256: str, now: datetime) -> None:
        if holder.account_id not in self.names:
            raise NotFound(f"There is no account {holder.account_id!r}.")
        self.keys[key_sha256] = holder
        self.times.append(now)

    def revoke_key(self, key_id: str, now: datetime) -> None:
        self.keys = {sha: holder for sha, holder in self.keys.items() if holder.key_id != key_id}
        self.times.append(now)


@pytest.fixture
def accounts() -> Accounts:
    return Accounts()


def _do(accounts: Accounts, event: Json) -> dict[str, str]:
    return administer(
        event, accounts=accounts, callback_keys=lambda: ["key"], base_url="https://api.example", clock=lambda: NOW
    )


def _an_account(accounts: Accounts) -> str:
    return _do(accounts, {"action": "create_account", "name": "Foxes"})["account_id"]


def test_an_account_is_created_under_an_id_of_its_own(accounts: Accounts) -> None:
    first, second = _an_account(accounts), _an_account(accounts)
    assert accounts.names == {first: "Foxes", second: "Foxes"}
    assert first.startswith("acc_")
    assert accounts.times == [NOW, NOW]


def test_a_key_opens_its_account_until_it_is_revoked(accounts: Accounts) -> None:
    account_id = _an_account(accounts)
    made = _do(accounts, {"action": "create_key", "account_id": account_id})
    header = f"Bearer {made['key']}"

    assert authorize(header, accounts.keys.get) == KeyHolder(account_id=account_id, key_id=made["key_id"])
    assert _do(accounts, {"action": "revoke_key", "key_id": made["key_id"]}) == {"key_id": made["key_id"]}
    assert authorize(header, accounts.keys.get) is None


def test_of_a_key_only_its_digest_is_stored(accounts: Accounts) -> None:
    made = _do(accounts, {"action": "create_key", "account_id": _an_account(accounts)})

    assert made["key"] not in json.dumps(asdict(accounts), default=str)
    assert list(accounts.keys) == [digest(made["key"])]


def test_a_key_of_no_account_is_not_made(accounts: Accounts) -> None:
    with pytest.raises(NotFound):
        _do(accounts, {"action": "create_key", "account_id": "acc_none"})
    assert not accounts.keys


ACTIONS: dict[str, dict[str, Any]] = {
    "create_account": {"name": "Foxes"},
    "create_key": {"account_id": "acc_1"},
    "revoke_key": {"key_id": "key_1"},
}


@pytest.mark.parametrize(
    ("event", "where"),
    [
        *(({"action": action}, field) for action, fields in ACTIONS.items() for field in fields),
        *(({"action": action, **fields, "extra": 1}, "extra") for action, fields in ACTIONS.items()),
        *(({"action": action, field: 7}, field) for action, fields in ACTIONS.items() for field in fields),
        ({"action": "create_account", "name": ""}, "name"),
        ({"action": "create_account", "name": "x" * 201}, "name"),
        ({"action": "drop_account"}, "action"),
        ({"action": None}, "action"),
        ({}, "action"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_wrong_action_is_refused_with_its_field(accounts: Accounts, event: Json, where: str) -> None:
    with pytest.raises(InvalidRequest, match=where) as refused:
        _do(accounts, event)
    assert refused.value.field == where
    assert accounts == Accounts()


@pytest.mark.parametrize("event", [None, [], "create_account", 1], ids=repr)
def test_an_event_that_is_no_object_is_refused(accounts: Accounts, event: Json) -> None:
    with pytest.raises(InvalidRequest, match="event"):
        _do(accounts, event)
