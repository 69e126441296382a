"""The nouns: frozen values that every other module speaks in. Nothing here does I/O.

A *provider* is an image API we call; a *task* is our record of one generation; a *ref* is the provider's own
id for it; an *outcome* is what a provider told us of it, by callback or status read; an *event* is what we
publish. Whatever is in a provider's own words carries the prefix ``native_``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, TypedDict

from pixhook.plans import PLANS, Limits

type Json = Any
"""A JSON value, as `json.loads` gives it."""


class Status(StrEnum):
    """Where a task is on its way; `pixhook.lifecycle` says which may follow which."""

    QUEUED = "queued"
    PROCESSING = "processing"
    STORING = "storing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"


class ErrorCode(StrEnum):
    """Why a task failed or a provider refused it, in one vocabulary for all providers."""

    CONTENT_POLICY = "content_policy"
    INVALID_PROMPT = "invalid_prompt"
    INVALID_IMAGE = "invalid_image"
    INVALID_REQUEST = "invalid_request"
    UNSUPPORTED_OPTION = "unsupported_option"
    RATE_LIMITED = "rate_limited"
    PROVIDER_UNAVAILABLE = "provider_unavailable"
    PROVIDER_ACCOUNT = "provider_account"
    TIMEOUT = "timeout"
    NO_IMAGE = "no_image"
    STORAGE_FAILED = "storage_failed"
    CANCELED = "canceled"
    UNKNOWN = "unknown"

    @property
    def is_retryable(self) -> bool:
        """Whether the same request, sent later as a new one, may succeed."""
        return self not in _WRONG_WHENEVER_SENT

    @property
    def is_providers_trouble(self) -> bool:
        """Whether, as the reason of a refusal, it says nothing of the request: another provider may take it."""
        return self in {ErrorCode.PROVIDER_ACCOUNT, ErrorCode.PROVIDER_UNAVAILABLE, ErrorCode.RATE_LIMITED}


_WRONG_WHENEVER_SENT = frozenset(
    {
        ErrorCode.CONTENT_POLICY,
        ErrorCode.INVALID_PROMPT,
        ErrorCode.INVALID_IMAGE,
        ErrorCode.INVALID_REQUEST,
        ErrorCode.UNSUPPORTED_OPTION,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why there is no image: our code, a sentence for the client, and the provider's own words as they came."""

    code: ErrorCode
    message: str
    native_code: str | None = None
    native_message: str | None = None

    def for_client(self) -> "Failure":
        """The same without what a provider says of the operator's account: a balance, a key."""
        is_operators = self.code is ErrorCode.PROVIDER_ACCOUNT
        return replace(self, native_code=None, native_message=None) if is_operators else self


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRequest:
    """What a client asks for. What a model takes of it is the catalogue's to say."""

    __pydantic_config__ = {"extra": "forbid", "strict": True}  # noqa: RUF012 - pydantic's name, a constant

    model: str
    prompt: str = ""
    images: tuple[str, ...] = ()
    """Reference images, by https URL or as uploads' ids; with any, the request is image-to-image."""
    aspect_ratio: str | None = None
    resolution: str | None = None
    output_format: str | None = None
    web_search: bool | None = None
    provider: str | None = None
    """Pins the provider; by default the catalogue's order of preference decides."""
    provider_options: dict[str, Json] = field(default_factory=dict)
    """Passed through untouched, in the pinned provider's own words."""
    callback_url: str | None = None
    """Where the client wants to hear of the task's end; https."""
    metadata: dict[str, Json] = field(default_factory=dict)
    """The client's own, returned untouched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One stored image. It names the object, never a URL: URLs are presigned when they are asked for."""

    bucket: str
    key: str
    sha256: str
    size: int
    """Bytes."""
    content_type: str
    width: int
    """Pixels, as displayed: a JPEG's EXIF rotation is taken into account. So is `height`."""
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadedFile:
    """What is looked at of a file that a client has uploaded: its two ends."""

    size: int
    """Bytes."""
    head: bytes = field(repr=False)
    tail: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A provider that was asked, or was to be asked, and did not take the request."""

    provider: str
    failure: Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Our record of one generation."""

    id: str
    account_id: str
    status: Status
    request: ImageRequest
    provider: str
    native_model: str
    credits: int
    """What the account pays; it is given back where the task ends without images."""
    created_at: datetime
    updated_at: datetime
    ref: str | None = None
    attempts: tuple[Attempt, ...] = ()
    """At other providers, before `provider`."""
    images: tuple[Image, ...] = ()
    failure: Failure | None = None
    native_charge: str | None = None
    """What the provider says it charged, verbatim and in its own unit."""
    progress: int | None = None
    """Percent, as the provider has said last, if it does."""
    estimated_end_at: datetime | None = None
    """When the provider thinks that it will be done, if it says so."""
    processing_at: datetime | None = None
    storing_at: datetime | None = None
    ended_at: datetime | None = None
    published_at: datetime | None = None
    deleted_at: datetime | None = None
    """When the client had its images and its request erased."""


class Learnt(TypedDict, total=False):
    """What a provider's word may add to a task, by the names of `Task`; None adds nothing."""

    ref: str | None
    native_charge: str | None
    progress: int | None
    estimated_end_at: datetime | None


class OutcomeState(StrEnum):
    """What a provider's word for a task's state comes to."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    """This one is the client's word, not a provider's."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a provider told us of a task. A callback and a status read that say the same end are equal."""

    state: OutcomeState
    ref: str | None = None
    images: tuple[str, ...] = ()
    """Where the images are: URLs, or data URIs that hold them."""
    failure: Failure | None = None
    native_charge: str | None = None
    progress: int | None = None
    """Percent; only of a task that is running."""
    estimated_seconds: int | None = None
    """For how long it will still run; only of a task that is running."""

    @property
    def is_final(self) -> bool:
        """Whether nothing more will come of this task."""
        return self.state in {OutcomeState.SUCCEEDED, OutcomeState.FAILED, OutcomeState.CANCELED}


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeMessage:
    """An outcome on its way to `finish`."""

    task_id: str | None
    """None for a hint: what came by a URL that a whole account shares. The outcome's `ref` says whose it is, and it is
    believed only after a status read."""
    provider: str
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """A request to be sent. Without credentials until `Provider.authorize` has added them."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = b""

    def with_headers(self, **headers: str) -> "HttpRequest":
        """The same request with these headers added."""
        return replace(self, headers={**self.headers, **headers})


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpResponse:
    """A response as received; header names are lower-case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """What the operator stored for a provider."""

    api_key: str = field(repr=False)
    base_url: str | None = None
    """Replaces the documented base: a simulator, a sandbox or a proxy."""


class Scope(StrEnum):
    """What an API key may be used for."""

    READ = "images:read"
    WRITE = "images:write"
    WEBHOOKS = "webhooks:manage"
    """Webhook endpoints, and the secret that webhooks are signed with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """What is known of an API key; the key itself is nowhere."""

    id: str
    account_id: str
    name: str
    prefix: str
    """Its first characters, by which its owner recognises it."""
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    """To the minute or so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Who pays."""

    id: str
    name: str
    plan: str
    overrides: Mapping[str, int]
    """Where the account's limits differ from its plan's."""
    balance: int = 0
    """Credits; always the sum of the account's movements."""
    tasks_in_flight: int = 0
    created_at: datetime
    suspended_at: datetime | None = None
    deleted_at: datetime | None = None

    @property
    def limits(self) -> Limits:
        """What the account may do."""
        return PLANS[self.plan].with_overrides(self.overrides)


class MovementKind(StrEnum):
    """Why a balance changes."""

    RESERVE = "reserve"
    """With a new task: its price is taken."""
    SETTLE = "settle"
    """With a completed task: what was reserved is spent, and nothing moves."""
    REFUND = "refund"
    """With a task that has ended without images: what was reserved comes back."""
    GRANT = "grant"
    ADJUST = "adjust"


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """One line of an account's ledger."""

    kind: MovementKind
    credits: int
    """Added to the balance; negative where they are taken."""
    at: datetime
    source: str
    """The id of the task, or of the operator's request."""
    note: str | None = None
    """The operator's, for people."""


class EventType(StrEnum):
    """What is told: on the bus, and by webhooks."""

    COMPLETED = "images.completed"
    FAILED = "images.failed"
    TEST = "webhook.test"
    """Only to the endpoint that is to be tested."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where an account wants to hear of all its tasks."""

    id: str
    account_id: str
    url: str
    events: frozenset[EventType]
    created_at: datetime
    updated_at: datetime
    disabled_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningSecrets:
    """What an account's webhooks are signed with: while a secret is replaced, with both."""

    current: str = field(repr=False)
    previous: str | None = field(default=None, repr=False)
    previous_until: datetime | None = None

    def live(self, now: datetime) -> tuple[str, ...]:
        """Those that sign now, the newest first."""
        if self.previous and self.previous_until and now < self.previous_until:
            return (self.current, self.previous)
        return (self.current,)


class DeliveryStatus(StrEnum):
    """Whether a webhook has come to its receiver."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class GivenUp(StrEnum):
    """Why a webhook is not sent any more."""

    EXHAUSTED = "exhausted"
    """It was tried as often as it may be."""
    GONE = "gone"
    """The receiver has said 410."""
    DISABLED = "disabled"
    """The endpoint was disabled or deleted."""
    DELETED = "deleted"
    """What it would tell of was deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryAttempt:
    """One try to deliver a webhook, and what came of it."""

    at: datetime
    duration_ms: int
    status: int | None = None
    """HTTP's; None where there was no answer, and"""
    error: str | None = None
    """then why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One event on its way to one receiver."""

    id: str
    account_id: str
    subject: str
    """What it tells of: a task's id; of a test event, the endpoint's."""
    event_id: str
    event_type: EventType
    url: str
    endpoint_id: str | None = None
    """None for the URL that came with the task."""
    status: DeliveryStatus = DeliveryStatus.PENDING
    given_up: GivenUp | None = None
    created_at: datetime
    began_at: datetime
    """When this round of tries did: there is one, and another with each redelivery."""
    made_before: int = 0
    """Attempts in earlier rounds."""
    made: int = 0
    """Attempts in all."""
    attempts: tuple[DeliveryAttempt, ...] = ()
    """The latest."""
    next_attempt_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryTurn:
    """An attempt that is to be made at a delivery."""

    subject: str
    delivery_id: str
    number: int
    """The how manieth in all, from 1: made once, whoever asks for it how often."""
    lane: str
    """No two of a lane are made side by side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminRequest:
    """What an operator has asked for, as it is remembered."""

    id: str
    action: Mapping[str, Json]
    result: Mapping[str, Json]
    """Without what is shown only once."""
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A message that was tried as often as it may be."""

    id: str
    task_id: str | None
    """Which task it is about, if it tells."""
    sent_at: int
    """Milliseconds in Unix time."""
    body: str


@dataclass(frozen=True, slots=True)
class Page[Item]:
    """Some of a list, and where the rest begins."""

    items: Sequence[Item]
    cursor: str | None
    """None where nothing follows; without it, something may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who makes a request, as the authorizer has found; up to a minute ago."""

    account_id: str
    key_id: str
    scopes: frozenset[Scope]
    limits: Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """How many requests an account has made in the current window."""

    limit: int
    used: int
    resets_at: int
    """Unix seconds."""

    @property
    def remaining(self) -> int:
        """How many more there may be."""
        return max(0, self.limit - self.used)
