"""What an operator does with accounts, keys, credits and dead letters. Only IAM lets anybody in.

Each change is made once for its `request_id`, and is written to the audit log with it, all or nothing. A second
request with the id comes to what the first one came to, save that an API key is shown only once.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Literal, Protocol

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from ulid import ULID

from pixhook.callbacks import ACCOUNT, callback_url
from pixhook.documents import account_document, dead_letter_document, key_document, request_document
from pixhook.errors import AlreadyDone, InvalidRequest, NotFound
from pixhook.flows.authorize import SHOWN_CHARACTERS, digest, new_key
from pixhook.flows.search import Moment
from pixhook.model import Account, AdminRequest, ApiKey, DeadLetter, Json, Movement, MovementKind, Page, Scope
from pixhook.plans import PLANS
from pixhook.providers import PROVIDERS
from pixhook.providers.base import Callback

_PAGE = 100

_Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,100}$")]
_Name = Annotated[str, Field(min_length=1, max_length=200)]
_Plan = Annotated[str, AfterValidator(lambda plan: _known(plan))]
_Credits = Annotated[int, Field(ge=-1_000_000_000, le=1_000_000_000)]


def _known(plan: str) -> str:
    if plan not in PLANS:
        raise ValueError(f"must be one of {', '.join(PLANS)}")
    return plan


class _Action(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Change(_Action):
    request_id: _Id | None = None
    """The operator's own, to ask again for the same and not for more of it."""


class CreateAccount(_Change):
    """`{"action": "create_account", "name": "..."}` gives `{"account_id": "..."}`."""

    action: Literal["create_account"]
    name: _Name
    plan: _Plan = "free"


class ShowAccount(_Action):
    """`{"action": "show_account", "account_id": "..."}` gives what `GET /account` does."""

    action: Literal["show_account"]
    account_id: _Id


class Overrides(_Action):
    """Where an account's limits differ from its plan's."""

    requests: Annotated[int, Field(ge=1)] | None = None
    window_seconds: Literal[60, 3600] | None = None
    tasks_in_flight: Annotated[int, Field(ge=0)] | None = None


class SetPlan(_Change):
    """`{"action": "set_plan", "account_id": "...", "plan": "pro", "overrides": {"requests": 300}}`."""

    action: Literal["set_plan"]
    account_id: _Id
    plan: _Plan
    overrides: Overrides = Field(default_factory=lambda: Overrides())
    """In place of those of before; what is left out is as in the plan."""


class SuspendAccount(_Change):
    """`{"action": "suspend_account", "account_id": "..."}`: it buys nothing, and reads what it has."""

    action: Literal["suspend_account"]
    account_id: _Id


class ResumeAccount(_Change):
    """`{"action": "resume_account", "account_id": "..."}` ends a suspension."""

    action: Literal["resume_account"]
    account_id: _Id


class DeleteAccount(_Change):
    """`{"action": "delete_account", "account_id": "..."}`: its keys open nothing; tasks under way still end."""

    action: Literal["delete_account"]
    account_id: _Id


class CreateKey(_Change):
    """`{"action": "create_key", "account_id": "..."}` gives `{"key": "...", "key_id": "..."}`, the key only now."""

    action: Literal["create_key"]
    account_id: _Id
    name: Annotated[str, Field(max_length=200)] = ""
    scopes: Annotated[list[Annotated[Scope, Field(strict=False)]], Field(min_length=1)] = list(Scope)
    expires_at: Annotated[Moment, Field(strict=False)] | None = None


class ListKeys(_Action):
    """`{"action": "list_keys", "account_id": "..."}` gives `{"keys": [...], "next_cursor": null}`."""

    action: Literal["list_keys"]
    account_id: _Id
    cursor: str | None = None


class RevokeKey(_Change):
    """`{"action": "revoke_key", "account_id": "...", "key_id": "..."}`."""

    action: Literal["revoke_key"]
    account_id: _Id
    key_id: _Id


class GrantCredits(_Change):
    """`{"action": "grant_credits", "account_id": "...", "credits": 500}`."""

    action: Literal["grant_credits"]
    account_id: _Id
    credits: Annotated[_Credits, Field(gt=0)]
    note: _Name | None = None


class AdjustCredits(_Change):
    """`{"action": "adjust_credits", "account_id": "...", "credits": -20, "note": "why"}`, not below a balance of 0."""

    action: Literal["adjust_credits"]
    account_id: _Id
    credits: _Credits
    note: _Name


class AuditLog(_Action):
    """`{"action": "audit_log", "month": "2026-03"}` gives `{"requests": [...], "next_cursor": null}`."""

    action: Literal["audit_log"]
    month: Annotated[str, Field(pattern=r"^\d{4}-\d{2}$")]
    cursor: str | None = None


_Queue = Literal["finish", "deadlines", "webhooks", "attempts"]


class ListDeadLetters(_Action):
    """`{"action": "list_dead_letters", "queue": "finish"}` gives `{"dead_letters": [...]}`, 500 at most."""

    action: Literal["list_dead_letters"]
    queue: _Queue
    task_id: _Id | None = None
    """Only those of this task, here and below."""


class RedriveDeadLetters(_Change):
    """`{"action": "redrive_dead_letters", "queue": "finish"}` gives `{"redriven": 3}`; again, if it was 500."""

    action: Literal["redrive_dead_letters"]
    queue: _Queue
    task_id: _Id | None = None


class DropDeadLetters(_Change):
    """`{"action": "drop_dead_letters", "queue": "finish", "task_id": "tsk_..."}` gives `{"dropped": 1}`."""

    action: Literal["drop_dead_letters"]
    queue: _Queue
    task_id: _Id | None = None


class CallbackUrl(_Action):
    """`{"action": "callback_url", "provider": "..."}` gives `{"callback_url": "..."}`, to be set at the provider.

    For a provider that takes one URL for the whole account. Anew after each rotation of the callback keys.
    """

    action: Literal["callback_url"]
    provider: str


# No `type` statements: a discriminator sees the members of plain unions only.
_Reads = ShowAccount | ListKeys | AuditLog | CallbackUrl | ListDeadLetters
_AccountChanges = (
    CreateAccount
    | SetPlan
    | SuspendAccount
    | ResumeAccount
    | DeleteAccount
    | CreateKey
    | RevokeKey
    | GrantCredits
    | AdjustCredits
)
_Changes = _AccountChanges | RedriveDeadLetters | DropDeadLetters

_action: TypeAdapter[_Reads | _Changes] = TypeAdapter(Annotated[_Reads | _Changes, Field(discriminator="action")])


class Accounts(Protocol):
    """What administration asks of the account store."""

    def get(self, account_id: str) -> Account | None: ...
    def keys(self, account_id: str, *, limit: int, cursor: str | None) -> Page[ApiKey]: ...
    def audit_log(self, month: str, *, limit: int, cursor: str | None) -> Page[AdminRequest]: ...
    def request(self, request_id: str) -> AdminRequest | None: ...
    def add(self, account: Account, request: AdminRequest) -> None: ...
    def set_plan(self, account_id: str, plan: str, overrides: Mapping[str, int], request: AdminRequest) -> None: ...
    def suspend(self, account_id: str, request: AdminRequest) -> None: ...
    def resume(self, account_id: str, request: AdminRequest) -> None: ...
    def delete(self, account_id: str, request: AdminRequest) -> None: ...
    def add_key(self, key: ApiKey, key_sha256: str, request: AdminRequest) -> None: ...
    def revoke_key(self, account_id: str, key_id: str, request: AdminRequest) -> None: ...
    def move_credits(self, account_id: str, movement: Movement, request: AdminRequest) -> None: ...
    def remember(self, request: AdminRequest) -> None: ...


class DeadLetters(Protocol):
    """What administration asks of the dead-letter queues."""

    def look(self, queue: str, concerns: Callable[[DeadLetter], bool]) -> list[DeadLetter]: ...
    def redrive(self, queue: str, concerns: Callable[[DeadLetter], bool]) -> int: ...
    def drop(self, queue: str, concerns: Callable[[DeadLetter], bool]) -> int: ...


def administer(
    event: Json,
    *,
    accounts: Accounts,
    dead_letters: DeadLetters,
    callback_keys: Callable[[], Sequence[str]],
    base_url: str,
    request_id: str,
    clock: Callable[[], datetime],
) -> dict[str, Json]:
    """Does what `event` asks for; `request_id` is for an event that has none of its own.

    Raises:
        InvalidRequest: it is not one of the actions, or cannot be done.
        NotFound: there is no such account or key.
        StoreUnavailable: whether it was done is not known.
    """
    action = _parsed(event)
    match action:
        case ShowAccount():
            return dict(account_document(_account(action.account_id, accounts)))
        case ListKeys():
            _account(action.account_id, accounts)
            keys = accounts.keys(action.account_id, limit=_PAGE, cursor=action.cursor)
            return {"keys": [key_document(key) for key in keys.items], "next_cursor": keys.cursor}
        case AuditLog():
            log = accounts.audit_log(action.month, limit=_PAGE, cursor=action.cursor)
            return {"requests": [request_document(request) for request in log.items], "next_cursor": log.cursor}
        case CallbackUrl():
            takers = [p.name for p in PROVIDERS.values() if p.capabilities.callback is Callback.PER_ACCOUNT]
            if action.provider not in takers:
                raise InvalidRequest(f"provider: must be one of {', '.join(takers) or 'none'}", field="provider")
            return {"callback_url": callback_url(base_url, action.provider, ACCOUNT, callback_keys())}
        case ListDeadLetters():
            found = dead_letters.look(action.queue, _concerning(action.task_id))
            return {"dead_letters": [dead_letter_document(letter) for letter in found]}
        case _:
            return _once(action, accounts, dead_letters, action.request_id or request_id, clock())


def _concerning(task_id: str | None) -> Callable[[DeadLetter], bool]:
    return lambda letter: task_id is None or letter.task_id == task_id


def _account(account_id: str, accounts: Accounts) -> Account:
    account = accounts.get(account_id)
    if account is None:
        raise NotFound(f"There is no account {account_id!r}.")
    return account


def _once(
    action: _Changes, accounts: Accounts, dead_letters: DeadLetters, request_id: str, now: datetime
) -> dict[str, Json]:
    asked = action.model_dump(mode="json", exclude={"request_id"})
    earlier = accounts.request(request_id)
    if earlier is None:
        with suppress(AlreadyDone):
            request = AdminRequest(id=request_id, action=asked, result={}, at=now)
            if isinstance(action, RedriveDeadLetters | DropDeadLetters):
                return _take(action, accounts, dead_letters, request)
            return _change(action, accounts, request)
        earlier = accounts.request(request_id)
    if earlier is None or earlier.action != asked:
        raise InvalidRequest("request_id: it came with another action before", field="request_id")
    return dict(earlier.result)


def _take(
    action: RedriveDeadLetters | DropDeadLetters, accounts: Accounts, dead_letters: DeadLetters, request: AdminRequest
) -> dict[str, Json]:
    """Takes dead letters from their queue, and then remembers it: a second try takes those that are left."""
    concerns = _concerning(action.task_id)
    if isinstance(action, RedriveDeadLetters):
        result = {"redriven": dead_letters.redrive(action.queue, concerns)}
    else:
        result = {"dropped": dead_letters.drop(action.queue, concerns)}
    accounts.remember(replace(request, result=result))
    return dict(result)


def _change(action: _AccountChanges, accounts: Accounts, request: AdminRequest) -> dict[str, Json]:
    now = request.at
    if isinstance(action, CreateAccount):
        account = Account(
            id=f"acc_{ULID.from_datetime(now)}", name=action.name, plan=action.plan, overrides={}, created_at=now
        )
        request = replace(request, result={"account_id": account.id})
        accounts.add(account, request)
        return dict(request.result)
    account_id = action.account_id
    if isinstance(action, CreateKey):
        if action.expires_at and action.expires_at <= now:
            raise InvalidRequest("expires_at: it is past already", field="expires_at")
        secret = new_key()
        key = ApiKey(
            id=f"key_{ULID.from_datetime(now)}",
            account_id=account_id,
            name=action.name,
            prefix=secret[:SHOWN_CHARACTERS],
            scopes=frozenset(action.scopes),
            created_at=now,
            expires_at=action.expires_at,
        )
        request = replace(request, result={"key_id": key.id})
        accounts.add_key(key, digest(secret), request)
        return {**request.result, "key": secret}
    request = replace(request, result={"account_id": account_id})
    match action:
        case SetPlan():
            accounts.set_plan(account_id, action.plan, action.overrides.model_dump(exclude_none=True), request)
        case SuspendAccount():
            accounts.suspend(account_id, request)
        case ResumeAccount():
            accounts.resume(account_id, request)
        case DeleteAccount():
            accounts.delete(account_id, request)
        case RevokeKey():
            request = replace(request, result={"key_id": action.key_id})
            accounts.revoke_key(account_id, action.key_id, request)
        case GrantCredits() | AdjustCredits():
            kind = MovementKind.GRANT if isinstance(action, GrantCredits) else MovementKind.ADJUST
            movement = Movement(kind=kind, credits=action.credits, at=now, source=request.id, note=action.note)
            accounts.move_credits(account_id, movement, request)
    return dict(request.result)


def _parsed(event: Json) -> _Reads | _Changes:
    try:
        return _action.validate_python(event)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        if not isinstance(event, dict):
            raise InvalidRequest(f"event: {fault['msg']}") from None
        _, *place = fault["loc"] or ("", "action")  # pydantic puts the action's name first, or nothing without one
        where = ".".join(map(str, place))
        raise InvalidRequest(f"{where}: {fault['msg']}", field=where) from None
