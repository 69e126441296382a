"""The field types and the one reading of a validation failure that all simulated dialects share."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError


class Strict(BaseModel):
    """A JSON object with exactly the declared fields, whose values are never coerced."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def is_local(url: str) -> bool:
    """Whether the URL's host is this machine, by name or by address."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def public_url(value: str) -> str:
    """The value, if it is an https URL; plain http passes for this machine, where nobody has a certificate.

    Raises ValueError for anything else.
    """
    parts = urlsplit(value)
    _ = parts.port  # raises for one that is none
    if parts.hostname and (parts.scheme == "https" or (parts.scheme == "http" and is_local(value))):
        return value
    raise ValueError("must be a public HTTPS URL")


PublicUrl = Annotated[str, AfterValidator(public_url)]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a document: the first field at fault, dotted, and how."""

    field: str
    kind: Literal["missing", "unknown", "invalid"]
    reason: str


def first_fault(error: ValidationError) -> Fault:
    first = error.errors(include_url=False, include_input=False)[0]
    kinds: dict[str, Literal["missing", "unknown"]] = {"missing": "missing", "extra_forbidden": "unknown"}
    return Fault(
        field=dotted(first["loc"]),
        kind=kinds.get(first["type"], "invalid"),
        reason=first["msg"].removeprefix("Value error, "),
    )


def dotted(location: Sequence[str | int]) -> str:
    """A place in a document as people write it: `input.image_urls[0]`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location).lstrip(".")
