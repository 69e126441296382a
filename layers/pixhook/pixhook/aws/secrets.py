"""The two secrets: the providers' keys, and the keys that sign callback URLs."""

import json
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from aws_lambda_powertools.utilities.parameters import SecretsProvider
from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError

from pixhook.errors import SecretMisconfigured, StoreUnavailable
from pixhook.model import Credential

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

    from pixhook.model import Json

_log = logging.getLogger(__name__)

MAX_AGE_SECONDS = 30
"""How long a value is used before it is read again; the promise is 60 seconds."""


class Secrets:
    """Reads the secrets, and again when they are older than `MAX_AGE_SECONDS`."""

    def __init__(self, secretsmanager: "SecretsManagerClient", providers: str, callback_keys: str) -> None:
        self._reader = SecretsProvider(boto3_client=secretsmanager)
        self._providers = providers
        self._callback_keys = callback_keys
        self._last: dict[str, str] = {}
        """The last text that could be read of each."""

    def credentials(self) -> Mapping[str, Credential]:
        """What the operator stored, by provider name; a provider without a key is left out.

        Raises:
            SecretMisconfigured: the secret is not a JSON object of the documented form.
            StoreUnavailable: the secret cannot be read now.
        """
        stored = self._object(self._providers)
        return {
            name: Credential(api_key=entry["api_key"], base_url=entry.get("base_url") or None)
            for name, entry in stored.items()
            if _check(name, entry)
        }

    def callback_keys(self) -> Sequence[str]:
        """The keys that sign callback URLs: the first signs, all of them verify. Raises as `credentials`."""
        stored = self._object(self._callback_keys)
        for name in ("primary", "secondary"):
            if not isinstance(stored.get(name), str | None) or (name == "primary" and not stored.get(name)):
                raise SecretMisconfigured(f"The callback keys secret has no text under {name!r}.")
        return [key for name in ("primary", "secondary") if (key := stored.get(name))]

    def _object(self, name: str) -> "dict[str, Json]":
        try:
            value = json.loads(self._text(name))
        except ValueError as error:
            raise SecretMisconfigured(f"The secret {name} is not JSON.") from error
        if not isinstance(value, dict):
            raise SecretMisconfigured(f"The secret {name} is not a JSON object.")
        return value

    def _text(self, name: str) -> str:
        """The secret's text; the last one that is known while it cannot be read, so that callbacks are still taken."""
        try:
            self._last[name] = str(self._reader.get(name, max_age=MAX_AGE_SECONDS))
        except GetParameterError as error:
            if "ResourceNotFoundException" in str(error):
                raise SecretMisconfigured(f"There is no secret {name}.") from error
            if name not in self._last:
                raise StoreUnavailable("read a secret") from error
            _log.warning("secret not read; the last known is used", extra={"secret": name, "reason": str(error)})
        return self._last[name]


def _check(name: str, entry: "Json") -> bool:
    """Whether the provider is set up; an entry that is something else than documented is a mistake to report."""
    if not isinstance(entry, dict):
        raise SecretMisconfigured(f"The providers secret has no object under {name!r}.")
    for field in ("api_key", "base_url"):
        if not isinstance(entry.get(field), str | None):
            raise SecretMisconfigured(f"The providers secret has no text under {name}.{field}.")
    api_key = entry.get("api_key") or ""
    if not (api_key.isascii() and api_key.isprintable()) or " " in api_key:  # as a newline at the end of a file
        raise SecretMisconfigured(f"The providers secret has characters that no key has under {name}.api_key.")
    base_url = entry.get("base_url") or "https://"
    if not base_url.startswith(("https://", "http://")):
        raise SecretMisconfigured(f"The providers secret has no http(s) URL under {name}.base_url.")
    return bool(api_key)
