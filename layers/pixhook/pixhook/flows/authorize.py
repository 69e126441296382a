"""Whose API key it is. What is wrong with one that is nobody's is never said."""

import re
import secrets
from collections.abc import Callable
from hashlib import sha256

from pixhook.model import KeyHolder

KEY_PREFIX = "pxk_"
"""Lets a secret scanner recognise a key that has leaked."""

_BEARER = re.compile(rf"(?i:Bearer) +({KEY_PREFIX}[A-Za-z0-9_-]{{43}})")


def new_key() -> str:
    """A new API key: 256 random bits in text."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def digest(key: str) -> str:
    """What is stored of a key. It is random, so that a plain hash cannot be searched for it."""
    return sha256(key.encode()).hexdigest()


def authorize(authorization: str, find_holder: Callable[[str], KeyHolder | None]) -> KeyHolder | None:
    """Who sent this `Authorization` header; None where nobody did. Raises `StoreUnavailable`."""
    match = _BEARER.fullmatch(authorization.strip())
    return find_holder(digest(match[1])) if match else None
