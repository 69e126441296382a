"""What query strings ask for: which part of a list, which of the tasks, and how long one may wait."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, Field, TypeAdapter, ValidationError

from pixhook.errors import InvalidRequest
from pixhook.model import Json, Status, Task

_METADATA = "metadata."


def _of_our_time(moment: datetime) -> datetime:
    if not 1970 < moment.year < 9999:
        raise ValueError("the year has to be between 1971 and 9998")
    return moment


Moment = Annotated[AwareDatetime, AfterValidator(_of_our_time)]
"""One that any clock can show, whatever its zone."""


@dataclass(frozen=True, kw_only=True)
class Paging:
    """So many items, from where a page before has ended."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - pydantic's name, a constant

    limit: Annotated[int, Field(ge=1, le=200)] = 50
    cursor: str | None = None


@dataclass(frozen=True, kw_only=True)
class Search(Paging):
    """Of an account's tasks, those that are all of this."""

    status: Status | None = None
    model: str | None = None
    provider: str | None = None
    created_after: Moment | None = None
    """Or at that moment."""
    created_before: Moment | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    """What is no text there is compared as JSON."""

    def fits(self, task: Task) -> bool:
        """Whether the task is one of them, as far as its moment does not tell."""
        wanted = ((self.status, task.status), (self.model, task.request.model), (self.provider, task.provider))
        return all(value in {None, found} for value, found in wanted) and all(
            name in task.request.metadata and _text(task.request.metadata[name]) == value
            for name, value in self.metadata.items()
        )


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long an answer may be held back until there is something to say."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - pydantic's name, a constant

    wait: Annotated[int, Field(ge=0, le=25)] = 0
    """Seconds; API Gateway gives up after 29."""


@dataclass(frozen=True, kw_only=True)
class Download:
    """How long a file's URL is to be good for."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - pydantic's name, a constant

    expires_in: Annotated[int, Field(ge=1, le=604_800)] = 900
    """Seconds; seven days are the most that S3 signs for."""


_patience = TypeAdapter(Patience)
_download = TypeAdapter(Download)
_paging = TypeAdapter(Paging)
_search = TypeAdapter(Search)


def read_patience(parameters: Mapping[str, str]) -> Patience:
    """What a query string asks for. Raises as `read_paging`."""
    return _read(_patience, parameters)


def read_download(parameters: Mapping[str, str]) -> Download:
    """What a query string asks for. Raises as `read_paging`."""
    return _read(_download, parameters)


def read_paging(parameters: Mapping[str, str]) -> Paging:
    """What a query string asks for. Raises `InvalidRequest` with the parameter at fault."""
    return _read(_paging, parameters)


def read_search(parameters: Mapping[str, str]) -> Search:
    """What a query string asks for; `metadata.<name>` looks for one entry. Raises as `read_paging`."""
    metadata = {name.removeprefix(_METADATA): parameters[name] for name in parameters if name.startswith(_METADATA)}
    others = {name: parameters[name] for name in parameters if not name.startswith(_METADATA)}
    if "metadata" in others:
        raise InvalidRequest("metadata is searched by its entries: metadata.<name>=<value>.", field="metadata")
    return _read(_search, {**others, "metadata": metadata})


def _read[Kind](kind: TypeAdapter[Kind], parameters: Mapping[str, Json]) -> Kind:
    try:
        return kind.validate_python(dict(parameters))
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        if not fault["loc"]:
            raise InvalidRequest("There is a parameter whose name is no text.") from None
        name = str(fault["loc"][0])
        is_unknown = fault["type"] == "unexpected_keyword_argument"
        raise InvalidRequest(f"{name}: {'there is no such parameter' if is_unknown else fault['msg']}.", name) from None


def _text(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value)
