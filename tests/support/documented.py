"""Whether the API answers as its document says it does."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from local.openapi import FILE
from pixhook.model import Json


def assert_documented(method: str, resource: str, status: int, headers: Mapping[str, str], body: str) -> None:
    """The answer is one that the document has for this operation, and holds nothing that it does not name."""
    operation = _operations()[method, nameless(resource)]
    name = f"{operation['operationId']} {status}"
    assert str(status) in operation["responses"], f"{name} is not documented: {body}"
    response = operation["responses"][str(status)]
    for header in response.get("headers", {}):
        assert header.lower() in headers or header == "Idempotent-Replayed", f"{name} has no {header}"
    if not response.get("content"):
        assert not body, name
        return
    content_type = headers["content-type"].partition(";")[0]
    assert content_type in response["content"], f"{name} is {content_type}"
    content = response["content"][content_type]
    if content_type.endswith("json"):
        fault = next(_validator(json.dumps(content["schema"])).iter_errors(json.loads(body)), None)
        assert fault is None, f"{name}: {fault}"
    if content_type == "application/problem+json":
        assert json.loads(body)["code"] in content["examples"], f"{name}: {body}"


def nameless(path: str) -> str:
    """The path, whatever its parameters are called."""
    return "/".join("{}" if part.startswith("{") else part for part in path.split("/"))


@cache
def _document() -> dict[str, Any]:
    return dict(_closed(json.loads(FILE.read_bytes())))


@cache
def _operations() -> Mapping[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), nameless(path)): operation
        for path, methods in _document()["paths"].items()
        for method, operation in methods.items()
    }


@cache
def _validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator({**json.loads(schema), "components": _document()["components"]})


def _closed(value: Json) -> Json:
    """The document with objects that have the named properties only: clients have to bear more, our tests do not."""
    if isinstance(value, list):
        return [_closed(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    closed = {name: _closed(inner) for name, inner in value.items()}
    if isinstance(value.get("properties"), dict) and value.get("type") == "object":
        closed.setdefault("additionalProperties", False)
    return closed
