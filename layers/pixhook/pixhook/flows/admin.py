"""What an operator does with accounts and keys. Only IAM lets anybody in."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from ulid import ULID

from pixhook.callbacks import ACCOUNT, callback_url
from pixhook.errors import InvalidRequest
from pixhook.flows.authorize import digest, new_key
from pixhook.model import Json, KeyHolder
from pixhook.providers import PROVIDERS
from pixhook.providers.base import Callback


class _Action(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class CreateAccount(_Action):
    """`{"action": "create_account", "name": "..."}` gives `{"account_id": "..."}`."""

    action: Literal["create_account"]
    name: Annotated[str, Field(min_length=1, max_length=200)]


class CreateKey(_Action):
    """`{"action": "create_key", "account_id": "..."}` gives `{"key": "...", "key_id": "..."}`, the key only now."""

    action: Literal["create_key"]
    account_id: str


class RevokeKey(_Action):
    """`{"action": "revoke_key", "key_id": "..."}` gives `{"key_id": "..."}`."""

    action: Literal["revoke_key"]
    key_id: str


class CallbackUrl(_Action):
    """`{"action": "callback_url", "provider": "..."}` gives `{"callback_url": "..."}`, to be set at the provider.

    For a provider that takes one URL for the whole account. Anew after each rotation of the callback keys.
    """

    action: Literal["callback_url"]
    provider: str


type _Actions = CreateAccount | CreateKey | RevokeKey | CallbackUrl

_action: TypeAdapter[_Actions] = TypeAdapter(Annotated[_Actions, Field(discriminator="action")])


class Accounts(Protocol):
    """What administration asks of the account store."""

    def add(self, account_id: str, name: str, now: datetime) -> None: ...
    def add_key(self, holder: KeyHolder, key_sha256: str, now: datetime) -> None: ...
    def revoke_key(self, key_id: str, now: datetime) -> None: ...


def administer(
    event: Json,
    *,
    accounts: Accounts,
    callback_keys: Callable[[], Sequence[str]],
    base_url: str,
    clock: Callable[[], datetime],
) -> dict[str, str]:
    """Does what `event` asks for.

    Raises:
        InvalidRequest: it is not one of the actions.
        NotFound: there is no such account or key.
        StoreUnavailable: whether it was done is not known.
    """
    try:
        action = _action.validate_python(event)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        if not isinstance(event, dict):
            raise InvalidRequest(f"event: {fault['msg']}") from None
        _, *place = fault["loc"] or ("", "action")  # pydantic puts the action's name first, or nothing without one
        where = ".".join(map(str, place))
        raise InvalidRequest(f"{where}: {fault['msg']}", field=where) from None
    now = clock()
    match action:
        case CreateAccount(name=name):
            account_id = f"acc_{ULID.from_datetime(now)}"
            accounts.add(account_id, name, now)
            return {"account_id": account_id}
        case CreateKey(account_id=account_id):
            key, key_id = new_key(), f"key_{ULID.from_datetime(now)}"
            accounts.add_key(KeyHolder(account_id=account_id, key_id=key_id), digest(key), now)
            return {"key": key, "key_id": key_id}
        case RevokeKey(key_id=key_id):
            accounts.revoke_key(key_id, now)
            return {"key_id": key_id}
        case CallbackUrl(provider=name):
            takers = [p.name for p in PROVIDERS.values() if p.capabilities.callback is Callback.PER_ACCOUNT]
            if name not in takers:
                raise InvalidRequest(f"provider: must be one of {', '.join(takers) or 'none'}", field="provider")
            return {"callback_url": callback_url(base_url, name, ACCOUNT, callback_keys())}
