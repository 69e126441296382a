"""How webhooks are signed, so that their receiver knows who sent them: the Standard Webhooks scheme.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import hmac
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime

SECRET_PREFIX = "whsec_"  # noqa: S105 - the scheme's own, before each secret

SECRET_BYTES = 32
"""The scheme asks for 24 to 64."""


def secret_of(key: bytes) -> str:
    """A signing key as it is handed to people."""
    return f"{SECRET_PREFIX}{b64encode(key).decode()}"


def signed_headers(message_id: str, body: bytes, now: datetime, secrets: Sequence[str]) -> Mapping[str, str]:
    """The headers of a webhook that is sent `now`: one signature by each of `secrets`, of which any one is enough."""
    timestamp = str(int(now.timestamp()))
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{_signature(secret, signed)}" for secret in secrets),
    }


def _signature(secret: str, signed: bytes) -> str:
    key = b64decode(secret.removeprefix(SECRET_PREFIX))
    return b64encode(hmac.digest(key, signed, "sha256")).decode()
