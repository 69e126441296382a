"""The API's document: it is what the code says, it is valid, and its examples are true."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from pydantic import ValidationError

from local import openapi
from local.stack import ROOT, read_template
from pixhook.addresses import AddressGuard
from pixhook.catalogue import MODELS, candidates
from pixhook.errors import InvalidRequest
from pixhook.flows.requests import read_request
from pixhook.model import Json
from pixhook.providers import PROVIDERS
from tests.support.documented import nameless

DOCUMENT: dict[str, Any] = json.loads(openapi.FILE.read_bytes())
OPERATIONS = [
    (f"{method.upper()} {path}", operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]
each_operation = pytest.mark.parametrize(
    "operation", [one for _, one in OPERATIONS], ids=[name for name, _ in OPERATIONS]
)


def resolved(value: Json) -> Json:
    """What a reference leads to."""
    while isinstance(value, dict) and "$ref" in value:
        found: Any = DOCUMENT
        for step in value["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        value = found
    return value


def contents(operation: Json) -> Iterator[tuple[Json, Json]]:
    """Each example in an operation, with its schema."""
    for holder in (operation.get("requestBody", {}), *operation["responses"].values()):
        for content in holder.get("content", {}).values():
            examples = [resolved(example)["value"] for example in content.get("examples", {}).values()]
            for example in [content["example"]] if "example" in content else examples:
                yield example, content["schema"]


def is_valid(document: Json, schema: Json) -> bool:
    return Draft202012Validator({**schema, "components": DOCUMENT["components"]}).is_valid(document)


def test_document_is_what_the_code_says() -> None:
    assert openapi.FILE.read_text() == openapi.text(), "It is not: run make openapi."


def test_document_is_valid() -> None:
    validate(DOCUMENT)


def test_every_route_of_the_template_is_described_but_that_of_providers() -> None:
    routed = {
        (event["Properties"]["Method"], nameless(event["Properties"]["Path"]))
        for resource in read_template()["Resources"].values()
        for event in resource.get("Properties", {}).get("Events", {}).values()
        if event["Type"] == "Api"
    }
    described = {tuple(nameless(name).split(" ", 1)) for name, _ in OPERATIONS}
    assert described == routed - {("POST", "/callbacks/{}")}


@each_operation
def test_operation_has_words_examples_and_errors(operation: Json) -> None:
    assert operation["summary"]
    statuses = operation["responses"].keys()
    assert {"429", "500"} <= statuses
    assert ("401" in statuses) == ("security" not in operation)
    good = next(response for status, response in operation["responses"].items() if status < "400")
    assert not good.get("content") or "example" in next(iter(good["content"].values()))


@each_operation
def test_examples_match_their_schemas(operation: Json) -> None:
    for example, schema in contents(operation):
        assert is_valid(example, schema), example


def test_every_error_that_is_listed_is_documented() -> None:
    page = (ROOT / "docs" / "errors.md").read_text()
    for code, example in DOCUMENT["components"]["examples"].items():
        assert f"| `{code}` | {example['value']['status']} |" in page


REQUEST = {"$ref": "#/components/schemas/ImageRequest"}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"resolution": "4k"},
        {"resolution": "9k"},
        {"aspect_ratio": None},
        {"aspect_ratio": "7:1"},
        {"model": "nano-banana", "resolution": "1k"},
        {"model": "nano-banana", "output_format": "png"},
        {"model": "nano-banana", "output_format": "png", "provider": "defapi"},
        {"model": "gpt-image-3"},
        {"model": "image-upscaler"},
        {"model": "image-upscaler", "prompt": "", "images": ["https://images.example/a.png"]},
        {"model": "image-upscaler", "prompt": ..., "images": ["https://images.example/a.png"], "resolution": "8k"},
        {"prompt": ""},
        {"prompt": "  "},
        {"prompt": ...},
        {"prompt": "x" * 20_000},
        {"prompt": "x" * 20_001},
        {"images": ["https://images.example/a.png"] * 14},
        {"images": ["https://images.example/a.png"] * 15},
        {"images": ["upl_01JNEZ2W3GQK4T5V6X7Y8Z9ABC"]},
        {"images": ["http://images.example/a.png"]},
        {"images": "https://images.example/a.png"},
        {"provider": "gempix2", "prompt": "x" * 2_000},
        {"provider": "gempix2", "prompt": "x" * 2_001},
        {"provider": "nobody"},
        {"provider_options": {}},
        {"provider_options": {"seed": 1}},
        {"provider_options": {"seed": 1}, "provider": "apixo"},
        {"provider": "gempix2ai", "web_search": True},
        {"web_search": False},
        {"web_search": "yes"},
        {"callback_url": "https://shop.example/hooks"},
        {"callback_url": "ftp://shop.example/hooks"},
        {"callback_url": None},
        {"metadata": {"any": [1, None]}},
        {"metadata": []},
        {"colour": "red"},
    ],
    ids=str,
)
def test_schema_takes_what_the_api_takes(changes: dict[str, Any]) -> None:
    """For what is not on the way to an answer: uploads that are not there, and values too large."""
    body = {"model": "nano-banana-2", "prompt": "a fox", **changes}
    body = {name: value for name, value in body.items() if value is not ...}
    try:
        request = read_request("application/json", json.dumps(body).encode(), AddressGuard())
        candidates(request, PROVIDERS.keys())
        is_taken = True
    except (InvalidRequest, ValidationError):
        is_taken = False
    assert is_valid(body, REQUEST) == is_taken


def test_schema_knows_every_offer() -> None:
    offers = [offer for model in MODELS.values() for offer in model.offers]
    assert len(DOCUMENT["components"]["schemas"]["ImageRequest"]["anyOf"]) == len(offers)
