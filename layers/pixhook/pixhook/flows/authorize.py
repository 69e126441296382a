"""Whose API key it is, and what it may do. What is wrong with one that is nobody's is never said."""

import logging
import re
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Protocol

from pixhook.errors import StoreUnavailable
from pixhook.model import Account, ApiKey, Caller, Scope
from pixhook.plans import Limits

KEY_PREFIX = "pxk_"
"""Lets a secret scanner recognise a key that has leaked."""

SHOWN_CHARACTERS = len(KEY_PREFIX) + 6
"""Of a key, for its owner to recognise it by; far too few to guess the rest."""

_MARK_USED_EVERY = timedelta(minutes=1)

_BEARER = re.compile(rf"(?i:Bearer) +({KEY_PREFIX}[A-Za-z0-9_-]{{43}})")

_log = logging.getLogger(__name__)


class Accounts(Protocol):
    """What authorizing asks of the account store."""

    def holder(self, key_sha256: str) -> tuple[ApiKey, Account] | None: ...
    def mark_used(self, key: ApiKey, now: datetime) -> None: ...


def new_key() -> str:
    """A new API key: 256 random bits in text."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def digest(key: str) -> str:
    """What is stored of a key. It is random, so that a plain hash cannot be searched for it."""
    return sha256(key.encode()).hexdigest()


def authorize(authorization: str, accounts: Accounts, now: datetime) -> Caller | None:
    """Who sent this `Authorization` header; None where nobody did who is known. Raises `StoreUnavailable`."""
    match = _BEARER.fullmatch(authorization.strip())
    found = accounts.holder(digest(match[1])) if match else None
    if found is None:
        return None
    key, account = found
    if key.revoked_at or account.deleted_at or (key.expires_at and key.expires_at <= now):
        return None
    if key.last_used_at is None or now - key.last_used_at >= _MARK_USED_EVERY:
        _mark_used(accounts, key, now)
    return Caller(account_id=account.id, key_id=key.id, scopes=key.scopes, limits=account.limits)


def _mark_used(accounts: Accounts, key: ApiKey, now: datetime) -> None:
    try:
        accounts.mark_used(key, now)
    except StoreUnavailable:
        _log.warning("the use of a key could not be noted", extra={"key_id": key.id})


def to_context(caller: Caller) -> dict[str, str]:
    """The caller as API Gateway passes it on from the authorizer to the functions: in texts."""
    return {
        "account_id": caller.account_id,
        "key_id": caller.key_id,
        "scopes": " ".join(sorted(caller.scopes)),
        "requests": str(caller.limits.requests),
        "window_seconds": str(caller.limits.window_seconds),
        "tasks_in_flight": str(caller.limits.tasks_in_flight),
        "features": " ".join(sorted(caller.limits.features)),
    }


def from_context(context: Mapping[str, str]) -> Caller:
    """What `to_context` was given."""
    return Caller(
        account_id=context["account_id"],
        key_id=context["key_id"],
        scopes=frozenset(map(Scope, context["scopes"].split())),
        limits=Limits(
            requests=int(context["requests"]),
            window_seconds=int(context["window_seconds"]),
            tasks_in_flight=int(context["tasks_in_flight"]),
            features=frozenset(context.get("features", "").split()),
        ),
    )
