"""What a provider is: one file of pure functions and tables.

Rule 1: an adapter builds requests and reads responses. It never sends, waits, or reads a clock or the
environment, so each method is a function that a test can call with no preparation.
Rule 2: differences are data. An adapter writes methods only where documents have another shape.
Rule 3: any document whatever gives a value or `UnexpectedPayload`; no other exception leaves a parser.
Rule 4: a submit's answer is one of three: accepted, definitely refused, or unclear. In doubt it is unclear,
because after a refusal somebody may ask again, and that would buy twice.
"""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import BaseModel, BeforeValidator, ValidationError

from pixhook.catalogue import Offer
from pixhook.errors import InvalidRequest, ProviderInTrouble, ProviderRefused, ProviderUnclear, UnexpectedPayload
from pixhook.model import (
    Credential,
    ErrorCode,
    Failure,
    HttpRequest,
    HttpResponse,
    ImageRequest,
    Json,
    Outcome,
    OutcomeState,
)

REFUSALS_BY_STATUS: Mapping[int, ErrorCode] = {
    401: ErrorCode.PROVIDER_ACCOUNT,
    402: ErrorCode.PROVIDER_ACCOUNT,
    403: ErrorCode.PROVIDER_ACCOUNT,
    425: ErrorCode.RATE_LIMITED,
    429: ErrorCode.RATE_LIMITED,
    500: ErrorCode.PROVIDER_UNAVAILABLE,
    501: ErrorCode.PROVIDER_UNAVAILABLE,
    503: ErrorCode.PROVIDER_UNAVAILABLE,
}
"""What an HTTP status says where the provider says nothing more precise; other 4xx are `INVALID_REQUEST`."""

_ERROR_STATUSES = range(400, 600)

UNCLEAR_BELOW_500 = frozenset({408, 499})
"""Said by a gateway that lost sight of the request; so is every 5xx that is not in `REFUSALS_BY_STATUS`."""

_LONGEST_NATIVE_TEXT = 1_000

_LONGEST_ESTIMATE_SECONDS = 3600
"""After this a task has ended, whatever its provider thinks."""

_LONGEST_REF = 500
"""A task id is part of a key, for which DynamoDB has a limit."""

Text = Annotated[str | None, BeforeValidator(lambda value: _as_text(value))]
"""A field that only describes. Whatever its type is one day, an image is not lost over it."""


Percent = Annotated[int | None, BeforeValidator(lambda value: _as_number(value, 100))]
Seconds = Annotated[int | None, BeforeValidator(lambda value: _as_number(value, _LONGEST_ESTIMATE_SECONDS))]
"""Fields that only describe, too: what is no such number is left out."""


class Callback(StrEnum):
    """How a provider says that a task has ended."""

    PER_REQUEST = "per request"
    """It takes a URL with each request."""
    PER_ACCOUNT = "per account"
    """One URL is set for the whole account, out of band; a callback names the task by its ref."""
    NONE = "none"
    """It does not: it is asked, as its `Polling` says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Polling:
    """When a provider without callbacks is asked what has become of a task; all in seconds."""

    first: int
    """From the submit to the first read."""
    interval: int
    """From the first read to the second; it grows by half from read to read."""
    longest: int
    """Up to this."""
    give_up: int
    """From the submit to where the task fails with `timeout`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a provider can do beyond making an image; the README's table and the contract suite follow it."""

    callback: Callback
    several_images: bool = False
    inline_images: bool = False
    """May answer with data URIs in place of URLs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitReply:
    """What a submit's answer says, whatever its shape."""

    is_accepted: bool = False
    """Whether the envelope says so."""
    ref: str | None = None
    status: int | None = None
    """The provider's own verdict where its envelope holds one in the manner of an HTTP status."""
    native_code: str | None = None
    words: tuple[str, ...] = ()
    """What may be an error identifier beside `native_code`, the most specific first."""
    message: str | None = None
    estimated_seconds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What is known of a task that a provider has taken."""

    ref: str
    estimated_seconds: int | None = None
    """How long it will take."""


class Provider(ABC):
    """An image API that we call. Stateless; every input is an argument and every result a frozen value."""

    name: ClassVar[str]
    """Also the name of its module, samples and docs page."""
    docs_url: ClassVar[str]
    base_url: ClassVar[str]
    capabilities: ClassVar[Capabilities]
    states: ClassVar[Mapping[str, OutcomeState]]
    """The provider's words for a task's state; any other word is `OutcomeState.UNKNOWN`."""
    polling: ClassVar[Polling | None] = None
    """For a provider without callbacks, from its own guidance."""
    refusals: ClassVar[Mapping[str, ErrorCode]]
    """The provider's error and failure identifiers; any other is `ErrorCode.UNKNOWN` for a failed task."""

    # The interface

    @abstractmethod
    def build_submit(self, request: ImageRequest, offer: Offer, callback_url: str) -> HttpRequest:
        """The submit, without credentials. `request` has passed `offer`'s checks.

        Raises:
            InvalidRequest: `provider_options` would overwrite what Pixhook itself sets.
        """

    @abstractmethod
    def build_status_read(self, native_model: str, ref: str) -> HttpRequest:
        """The read of one task's state, without credentials."""

    @abstractmethod
    def read_submit(self, document: Json) -> SubmitReply:
        """What a submit's answer says. Raises `UnexpectedPayload`."""

    @abstractmethod
    def observe(self, document: Json) -> Outcome:
        """What a callback's document says. Raises `UnexpectedPayload`."""

    def parse_callback(self, body: bytes) -> Outcome:
        """What a callback says. Raises `UnexpectedPayload`."""
        return _kept_short(self.observe(parse_json(body)))

    def parse_status_read(self, response: HttpResponse) -> Outcome:
        """What a status read says: by default its document is that of a callback. Raises `UnexpectedPayload`."""
        if not response.is_success:
            raise UnexpectedPayload(f"{self.name} answered a status read with HTTP {response.status}.")
        return _kept_short(self.observe(parse_json(response.body)))

    # What all of them share

    def authorize(self, request: HttpRequest, credential: Credential) -> HttpRequest:
        """`request` as it is sent: with the key, and at the operator's base URL where there is one.

        It comes last, so that a request that is logged or compared holds no secret.
        """
        if credential.base_url is not None:
            url = credential.base_url.rstrip("/") + request.url.removeprefix(self.base_url)
            request = replace(request, url=url)
        return request.with_headers(authorization=f"Bearer {credential.api_key}")

    def parse_submit(self, response: HttpResponse) -> Accepted:
        """The accepted task.

        Raises:
            ProviderRefused: nothing was bought, for certain.
            ProviderUnclear: the task may have been accepted.
        """
        try:
            reply = self.read_submit(parse_json(response.body))
        except UnexpectedPayload as unreadable:
            if response.is_success:
                raise ProviderUnclear(f"{self.name} answered HTTP {response.status}: {unreadable}") from unreadable
            reply = SubmitReply()
        if response.is_success and reply.is_accepted and reply.ref and len(reply.ref) <= _LONGEST_REF:
            return Accepted(ref=reply.ref, estimated_seconds=reply.estimated_seconds)
        if reply.ref or (response.is_success and reply.is_accepted) or _is_unclear(response.status, reply.status):
            raise ProviderUnclear(f"{self.name} answered HTTP {response.status}: it may have accepted the request.")
        raise self._refusal(response, reply)

    def retry_after(self, response: HttpResponse) -> int | None:
        """In how many seconds the provider may be asked again, where it says so."""
        return seconds_in(response.headers.get("retry-after"))

    def failed(self, ref: str | None, code: str | None, message: str | None, charge: str | None = None) -> Outcome:
        """The outcome of a task that the provider ended without an image, for its reason."""
        known = self.refusals.get(code or "", ErrorCode.UNKNOWN)
        failure = self._failure(known, "failed the task", code, message)
        return Outcome(state=OutcomeState.FAILED, ref=ref, failure=failure, native_charge=charge)

    def succeeded(
        self, ref: str | None, images: tuple[str, ...], charge: str | None = None, remark: str | None = None
    ) -> Outcome:
        """The outcome of a task that the provider calls a success; without an image it is none."""
        images = tuple(filter(None, images))
        if not images:
            failure = self._failure(ErrorCode.NO_IMAGE, "reported success without an image", None, remark)
            return Outcome(state=OutcomeState.FAILED, ref=ref, failure=failure, native_charge=charge)
        return Outcome(state=OutcomeState.SUCCEEDED, ref=ref, images=images, native_charge=charge)

    def _refusal(self, response: HttpResponse, reply: SubmitReply) -> ProviderRefused:
        said = (reply.native_code, *reply.words)
        word = next((word for word in said if word in self.refusals), None)
        status = reply.status if reply.status and reply.status in _ERROR_STATUSES else response.status
        if word is not None:
            code = self.refusals[word]
        elif status in REFUSALS_BY_STATUS:
            code = REFUSALS_BY_STATUS[status]
        else:
            code = ErrorCode.INVALID_REQUEST if 400 <= status < 500 else ErrorCode.UNKNOWN
        message = reply.message or f"HTTP {response.status}"
        failure = self._failure(code, "refused the request", word or reply.native_code, message)
        kind = ProviderInTrouble if code.is_providers_trouble else ProviderRefused
        return kind(failure, retry_after=self.retry_after(response))

    def _failure(self, code: ErrorCode, what: str, native_code: str | None, native_message: str | None) -> Failure:
        # An account's words (a balance, a key) are the operator's business: they stay out of the client's sentence.
        is_operators = code is ErrorCode.PROVIDER_ACCOUNT
        native_code, native_message = _cut(native_code), _cut(native_message)
        said = None if is_operators else native_message or native_code
        return Failure(
            code=code,
            message=f"{self.name} {what}{f': {said}' if said else '.'}",
            native_code=native_code,
            native_message=native_message,
        )


def _cut(text: str | None) -> str | None:
    return text and text[:_LONGEST_NATIVE_TEXT]


def json_post(url: str, document: Mapping[str, Json]) -> HttpRequest:
    """A POST of a JSON document, the same bytes for the same document."""
    body = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    return HttpRequest(method="POST", url=url, headers={"content-type": "application/json"}, body=body)


def with_options(fields: Mapping[str, Json], options: Mapping[str, Json]) -> Mapping[str, Json]:
    """Those of `fields` that have a value, and the client's `provider_options`.

    Raises:
        InvalidRequest: an option is one of `fields`, which are Pixhook's own to set and the catalogue's to check.
            Capitals make no other of it: some parsers of JSON, Go's for one, do not tell them apart.
    """
    own = {name.casefold() for name in fields}
    if taken := sorted(name for name in options if name.casefold() in own):
        raise InvalidRequest(
            f"Pixhook itself sets {taken[0]!r}; use the request's own fields for it.",
            field=f"provider_options.{taken[0]}",
        )
    return {name: value for name, value in fields.items() if value is not None} | dict(options)


def parse_json(body: bytes | str) -> Json:
    """The JSON value in `body`, all its texts encodable. Raises `UnexpectedPayload`."""
    try:
        return _encodable(json.loads(body))
    except (ValueError, RecursionError) as error:
        raise UnexpectedPayload(f"not JSON: {error}") from error


def _encodable(value: Json) -> Json:
    """The value with `?` for each half of a character: a provider that cuts its messages short may cut one in two."""
    match value:
        case str():
            return value.encode("utf-8", "replace").decode("utf-8")
        case list():
            return [_encodable(item) for item in value]
        case dict():
            return {_encodable(name): _encodable(item) for name, item in value.items()}
        case _:
            return value


def read_as[Document: BaseModel](kind: type[Document], document: Json) -> Document:
    """`document` read as `kind`. Raises `UnexpectedPayload`, which never quotes the document."""
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        places = ", ".join(sorted({".".join(map(str, fault["loc"])) or "document" for fault in error.errors()}))
        raise UnexpectedPayload(f"not as documented: {places}") from error


def _is_unclear(*statuses: int | None) -> bool:
    """Whether one of them leaves open what became of the request; other numbers than HTTP's say nothing."""
    return any(
        status in UNCLEAR_BELOW_500 or (status >= 500 and status not in REFUSALS_BY_STATUS)
        for status in statuses
        if status and status in _ERROR_STATUSES
    )


def _as_text(value: Json) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _as_number(value: Json, most: int) -> int | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return round(value) if is_number and 0 <= value <= most else None


def _kept_short(outcome: Outcome) -> Outcome:
    """The outcome with nothing in it that is too long to be stored. Raises `UnexpectedPayload`."""
    if len(outcome.ref or "") > _LONGEST_REF:
        raise UnexpectedPayload("a task id that is too long")
    return replace(outcome, native_charge=_cut(outcome.native_charge))


def seconds_in(retry_after: str | None) -> int | None:
    """What a `Retry-After` header says in seconds; its other form, a date, and what nobody waits for are left out."""
    return int(retry_after) if retry_after and re.fullmatch("[0-9]{1,6}", retry_after) else None
