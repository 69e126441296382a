"""The URL that a provider calls back on, and the MAC in it that says it was we who made it.

No provider signs its callbacks, so the secret travels in the URL: an HMAC-SHA256 over provider and task id.
Two keys are live. The first signs; every live key verifies; so a key is replaced without dropping a callback
that is under way (`docs/decisions/0004-callback-authentication.md`).
"""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Sequence

from pixhook.errors import CallbackRejected

_PURPOSE = "pixhook/callback/v1"
"""Keeps these MACs apart from whatever else the keys may one day sign."""


ACCOUNT = "account"
"""Stands in place of the task id in the URL that is set for a whole account."""


def callback_url(base_url: str, provider: str, task_id: str, keys: Sequence[str]) -> str:
    """Where `provider` shall call back for the task, under the first of `keys`."""
    return f"{base_url.rstrip('/')}/callbacks/{provider}/{task_id}/{_mac(keys[0], provider, task_id)}"


def verify(path: str, keys: Sequence[str]) -> tuple[str, str]:
    """The provider and the task id in what follows `/callbacks/`, if one of `keys` made its MAC.

    Raises:
        CallbackRejected: for any other string whatever.
    """
    provider, _, rest = path.partition("/")
    task_id, _, mac = rest.partition("/")
    given = mac.encode("utf-8", "surrogatepass")  # bytes: compare_digest refuses text that is not ASCII
    if not any(hmac.compare_digest(given, _mac(key, provider, task_id).encode()) for key in keys):
        raise CallbackRejected("The callback URL does not carry a valid MAC.")
    return provider, task_id


def _mac(key: str, provider: str, task_id: str) -> str:
    message = "\n".join((_PURPOSE, provider, task_id))
    digest = hmac.digest(key.encode(), message.encode("utf-8", "surrogatepass"), "sha256")
    return urlsafe_b64encode(digest).rstrip(b"=").decode()
