"""The API's document, OpenAPI 3.1, from the code: `make openapi` writes it, a test compares it.

Routes come from the functions, by Powertools; what they take and answer from the types that they use; what models take
from the catalogue; errors from `pixhook.problems` and the template. What no code says stands in `OPERATIONS`. It is
written beforehand and not by the functions, none of which has a use for it at its start (decision 0020).
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from importlib import import_module
from typing import Any

from pydantic import TypeAdapter

from local.stack import ROOT, read_template
from pixhook import documents, errors
from pixhook.catalogue import MODELS, Offer
from pixhook.flows.search import Download, Paging, Patience, Search
from pixhook.flows.uploads import NewUpload
from pixhook.flows.webhooks import EndpointChange, NewEndpoint
from pixhook.model import ErrorCode, Failure, ImageRequest, Json
from pixhook.problems import CONTENT_TYPE, problem
from pixhook.runtime import Settings

FILE = ROOT / "functions" / "docs" / "openapi.json"

_REFS = "#/components/schemas/{model}"

_HTTPS = r"^https://[A-Za-z0-9.-]+(:[1-9][0-9]{0,3})?(/[!-\[\]-~]*)?$"
_UPLOAD = "^upl_[0-9A-HJKMNP-TV-Z]{26}$"

_TASK = {
    "id": "tsk_01JNEZ2W3GQK4T5V6X7Y8Z9ABC",
    "status": "completed",
    "model": "nano-banana-2",
    "prompt": "a fox in the snow, watercolor",
    "aspect_ratio": "3:2",
    "callback_url": "https://shop.example/hooks",
    "metadata": {"order": 4711},
    "provider": "apixo",
    "credits": 5,
    "credits_refunded": 0,
    "progress": None,
    "estimated_end_at": None,
    "created_at": "2026-03-01T12:00:00.000Z",
    "updated_at": "2026-03-01T12:00:41.388Z",
    "processing_at": "2026-03-01T12:00:01.204Z",
    "storing_at": "2026-03-01T12:00:39.911Z",
    "ended_at": "2026-03-01T12:00:41.388Z",
    "deleted_at": None,
    "files": [
        {
            "path": "/images/tsk_01JNEZ2W3GQK4T5V6X7Y8Z9ABC/files/0",
            "content_type": "image/png",
            "size": 1482193,
            "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "width": 1024,
            "height": 683,
        }
    ],
    "error": None,
    "attempts": [],
    "native_charge": None,
}
_QUEUED = _TASK | {
    "status": "processing",
    "aspect_ratio": "16:9",
    "provider": "gempix2",
    "estimated_end_at": "2026-03-01T12:00:31.204Z",
    "updated_at": _TASK["processing_at"],
    "storing_at": None,
    "ended_at": None,
    "files": [],
}
_CANCELED = _QUEUED | {
    "status": "canceled",
    "credits_refunded": 5,
    "estimated_end_at": None,
    "updated_at": "2026-03-01T12:00:09.000Z",
    "ended_at": "2026-03-01T12:00:09.000Z",
    "error": {
        "code": "canceled",
        "message": "The client has canceled the task.",
        "native_code": None,
        "native_message": None,
        "retryable": True,
    },
}
_ENDPOINT = {
    "id": "whk_01JNEZ2W3GQK4T5V6X7Y8Z9ABC",
    "url": "https://shop.example/hooks",
    "events": ["images.completed", "images.failed"],
    "enabled": True,
    "created_at": "2026-03-01T11:00:00.000Z",
    "disabled_at": None,
}
_DELIVERY = {
    "id": "dlv_01JNEZ2W3GQK4T5V6X7Y8Z9ABC",
    "event_id": "evt_01JNEZ2W3GQK4T5V6X7Y8Z9ABC",
    "type": "images.completed",
    "url": "https://shop.example/hooks",
    "webhook_id": None,
    "status": "pending",
    "given_up": None,
    "attempts_made": 1,
    "attempts": [{"at": "2026-03-01T12:00:41.620Z", "duration_ms": 184, "status": 500, "error": None}],
    "next_attempt_at": "2026-03-01T12:00:46.860Z",
    "created_at": "2026-03-01T12:00:41.501Z",
}
_SECRETS = {
    "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=",
    "previous_secret": None,
    "previous_valid_until": None,
}


@dataclass(frozen=True, kw_only=True)
class Operation:
    """What no code says of an operation."""

    id: str
    tag: str
    summary: str
    description: str = ""
    status: int = 200
    answers: Any = None
    """The type of the answer's document; None where there is none."""
    example: Json = None
    body: Any = None
    body_example: Json = None
    query: Any = None
    errors: tuple[str, ...] = ()
    """Codes, beside those that any operation may have."""
    other: Mapping[int, str] = field(default_factory=dict)
    """Other good answers with the same document."""
    is_open: bool = False


_REQUEST_ERRORS = ("invalid_request", "payload_too_large", "unsupported_media_type")

OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("POST", "/images"): Operation(
        id="submitImage",
        tag="Images",
        summary="Ask for an image",
        description="It is bought once: with an `Idempotency-Key` a repeated request is answered with the task that "
        "the first one made. What a model takes is in `GET /models`; anything else is refused, never dropped.",
        status=202,
        answers=documents.TaskDocument,
        example=_QUEUED,
        body=ImageRequest,
        body_example={
            "model": "nano-banana-2",
            "prompt": "a fox in the snow, watercolor",
            "aspect_ratio": "3:2",
            "callback_url": "https://shop.example/hooks",
            "metadata": {"order": 4711},
        },
        errors=(
            *_REQUEST_ERRORS,
            *(code for code in ErrorCode if code not in {ErrorCode.INVALID_REQUEST, ErrorCode.CANCELED}),
            *("out_of_credits", "account_inactive", "not_in_plan", "idempotency_key_reused"),
            *("too_many_requests", "too_many_tasks", "deleted", "misconfigured"),
        ),
    ),
    ("GET", "/images"): Operation(
        id="listImages",
        tag="Images",
        summary="Find images",
        description="The latest first. `metadata.<name>=<value>` finds those whose metadata have that entry. A page "
        "may be short, even empty, and have more behind it: only a `next_cursor` of null is the end.",
        answers=documents.TaskPage,
        example={"images": [_TASK], "next_cursor": None},
        query=Search,
        errors=("invalid_request",),
    ),
    ("GET", "/images/{task_id}"): Operation(
        id="getImage",
        tag="Images",
        summary="See what has become of an image",
        description="With `wait` the answer comes as soon as the task ends, or after so many seconds.",
        answers=documents.TaskDocument,
        example=_TASK,
        query=Patience,
        errors=("invalid_request", "not_found", "deleted"),
    ),
    ("DELETE", "/images/{task_id}"): Operation(
        id="deleteImage",
        tag="Images",
        summary="Erase an image and its request",
        description="What is left is that there was a task, and what it has cost. A second time changes nothing.",
        answers=documents.TaskDocument,
        example={name: value for name, value in _TASK.items() if name not in {"prompt", "aspect_ratio", "callback_url"}}
        | {"metadata": {}, "files": [], "deleted_at": "2026-03-02T09:00:00.000Z"},
        errors=("not_found", "not_ready", "too_many_requests"),
    ),
    ("POST", "/images/{task_id}/cancel"): Operation(
        id="cancelImage",
        tag="Images",
        summary="Cancel a task whose result is not known yet",
        description="Its price comes back. A second time changes nothing.",
        answers=documents.TaskDocument,
        example=_CANCELED,
        other={202: "It will be canceled, if nobody is faster."},
        errors=("not_found", "too_late", "too_many_requests"),
    ),
    ("GET", "/images/{task_id}/files/{number}"): Operation(
        id="getFile",
        tag="Images",
        summary="Download an image",
        description="Files count from 0. The URL that it redirects to is good for `expires_in` seconds; but S3 ends it "
        "with the credentials that have signed it, which on AWS may be after some hours.",
        status=302,
        query=Download,
        errors=("invalid_request", "not_found", "not_ready", "deleted"),
    ),
    ("GET", "/images/{task_id}/deliveries"): Operation(
        id="listDeliveries",
        tag="Webhooks",
        summary="See what came of telling of an image",
        answers=documents.DeliveryList,
        example={"deliveries": [_DELIVERY]},
        errors=("not_found",),
    ),
    ("POST", "/images/{task_id}/deliveries/{delivery_id}/redeliver"): Operation(
        id="redeliver",
        tag="Webhooks",
        summary="Deliver once more",
        description="At once, and with as many attempts as the first time.",
        status=202,
        answers=documents.DeliveryDocument,
        example=_DELIVERY,
        errors=("not_found", "too_many_requests"),
    ),
    ("POST", "/uploads"): Operation(
        id="createUpload",
        tag="Uploads",
        summary="Upload a reference image",
        description="The answer is a form: POST its `fields`, and then the file as `file`, to its `url` as "
        "`multipart/form-data`, within an hour. After that `upload` stands for the file in `images`, for a day.",
        status=201,
        answers=documents.UploadDocument,
        example={
            "upload": "upl_01JNEZ2W3GQK4T5V6X7Y8Z9ABC",
            "url": "https://pixhook-images.s3.amazonaws.com/",
            "fields": {
                "Content-Type": "image/png",
                "key": "uploads/acc_01JNEYZH0M5R7D2S8T4W6X9QBK/upl_01JNEZ2W3GQK4T5V6X7Y8Z9ABC",
                "policy": "eyJleHBpcmF0aW9uIjog...",
                "x-amz-signature": "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
            },
            "max_bytes": 52428800,
            "expires_at": "2026-03-01T13:00:00.000Z",
        },
        body=NewUpload,
        body_example={"content_type": "image/png"},
        errors=(*_REQUEST_ERRORS, "too_many_requests"),
    ),
    ("GET", "/models"): Operation(
        id="listModels",
        tag="Account",
        summary="See what is on offer",
        answers=documents.ModelList,
        example={
            "models": [
                {
                    "id": "gpt-image-1",
                    "available": True,
                    "credits": 4,
                    "credits_by_resolution": {},
                    "providers": [
                        {
                            "provider": "apixo",
                            "available": True,
                            "native_model": "gpt-image-1",
                            "callback": "per request",
                            "modes": ["text-to-image", "image-to-image"],
                            "prompt": {"min": 1, "max": 10000},
                            "images": {"min": 0, "max": 5},
                            "aspect_ratio": ["1:1", "3:2", "2:3"],
                            "resolution": [],
                            "output_format": [],
                            "web_search": False,
                            "native_price": None,
                        }
                    ],
                }
            ]
        },
        errors=("misconfigured",),
    ),
    ("GET", "/account"): Operation(
        id="getAccount",
        tag="Account",
        summary="See plan, balance and usage",
        answers=documents.AccountDocument,
        example={
            "id": "acc_01JNEYZH0M5R7D2S8T4W6X9QBK",
            "name": "shop",
            "plan": "pro",
            "status": "active",
            "balance": 495,
            "limits": {
                "requests": 100,
                "window_seconds": 60,
                "tasks_in_flight": 50,
                "features": ["provider_options"],
            },
            "usage": {"tasks_in_flight": 1, "requests": 3},
            "created_at": "2026-02-01T09:00:00.000Z",
        },
        errors=("not_found",),
    ),
    ("GET", "/account/movements"): Operation(
        id="listMovements",
        tag="Account",
        summary="See every credit",
        description="The latest first.",
        answers=documents.MovementPage,
        example={
            "movements": [
                {"kind": "settle", "credits": 0, "task_id": _TASK["id"], "created_at": _TASK["ended_at"]},
                {"kind": "reserve", "credits": -5, "task_id": _TASK["id"], "created_at": _TASK["created_at"]},
            ],
            "next_cursor": None,
        },
        query=Paging,
        errors=("invalid_request",),
    ),
    ("POST", "/webhooks"): Operation(
        id="createWebhook",
        tag="Webhooks",
        summary="Hear of all tasks",
        description="An account may have ten endpoints. A URL hears of each event once, also where it is a task's "
        "`callback_url`.",
        status=201,
        answers=documents.EndpointDocument,
        example=_ENDPOINT,
        body=NewEndpoint,
        body_example={"url": "https://shop.example/hooks", "events": ["images.completed", "images.failed"]},
        errors=(*_REQUEST_ERRORS, "too_many_webhooks", "too_many_requests"),
    ),
    ("GET", "/webhooks"): Operation(
        id="listWebhooks",
        tag="Webhooks",
        summary="See all endpoints",
        answers=documents.EndpointList,
        example={"webhooks": [_ENDPOINT]},
    ),
    ("GET", "/webhooks/secret"): Operation(
        id="getWebhookSecret",
        tag="Webhooks",
        summary="See what webhooks are signed with",
        description="By the scheme of standardwebhooks.com, in the headers `webhook-id`, `webhook-timestamp` and "
        "`webhook-signature`.",
        answers=documents.SecretsDocument,
        example=_SECRETS,
    ),
    ("POST", "/webhooks/secret/rotate"): Operation(
        id="rotateWebhookSecret",
        tag="Webhooks",
        summary="Replace the secret",
        description="For 24 hours webhooks are signed with both. Another rotation within that time ends the older one.",
        answers=documents.SecretsDocument,
        example=_SECRETS
        | {
            "previous_secret": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDYvKFvCCmCyk=",
            "previous_valid_until": "2026-03-02T12:00:00.000Z",
        },
        errors=("too_many_requests",),
    ),
    ("GET", "/webhooks/{webhook_id}"): Operation(
        id="getWebhook",
        tag="Webhooks",
        summary="See an endpoint",
        answers=documents.EndpointDocument,
        example=_ENDPOINT,
        errors=("not_found",),
    ),
    ("PATCH", "/webhooks/{webhook_id}"): Operation(
        id="changeWebhook",
        tag="Webhooks",
        summary="Change an endpoint",
        description="What is left out, or null, stays.",
        answers=documents.EndpointDocument,
        example=_ENDPOINT | {"enabled": False, "disabled_at": "2026-03-01T12:30:00.000Z"},
        body=EndpointChange,
        body_example={"enabled": False},
        errors=(*_REQUEST_ERRORS, "not_found", "too_many_requests"),
    ),
    ("DELETE", "/webhooks/{webhook_id}"): Operation(
        id="deleteWebhook",
        tag="Webhooks",
        summary="Forget an endpoint",
        description="A second time changes nothing.",
        status=204,
        errors=("not_found", "too_many_requests"),
    ),
    ("POST", "/webhooks/{webhook_id}/test"): Operation(
        id="testWebhook",
        tag="Webhooks",
        summary="Send a test event",
        description="To this endpoint only, enabled or not.",
        status=202,
        answers=documents.DeliveryDocument,
        example=_DELIVERY
        | {
            "type": "webhook.test",
            "webhook_id": _ENDPOINT["id"],
            "attempts_made": 0,
            "attempts": [],
            "next_attempt_at": _DELIVERY["created_at"],
        },
        errors=("not_found", "too_many_requests"),
    ),
    ("GET", "/webhooks/{webhook_id}/deliveries"): Operation(
        id="listTestDeliveries",
        tag="Webhooks",
        summary="See what came of an endpoint's test events",
        answers=documents.DeliveryList,
        example={"deliveries": [_DELIVERY | {"type": "webhook.test", "webhook_id": _ENDPOINT["id"]}]},
        errors=("not_found",),
    ),
    ("GET", "/openapi.json"): Operation(
        id="getOpenapi",
        tag="Documentation",
        summary="Get this document",
        answers=dict[str, Json],
        example={"openapi": "3.1.0"},
        is_open=True,
    ),
    ("GET", "/docs"): Operation(
        id="getDocs", tag="Documentation", summary="Read this document, and try it", is_open=True, errors=()
    ),
}

_EVERYWHERE = ("throttled", "internal_error")
_WITH_A_KEY = ("unauthorized", "scope_missing", "service_unavailable")


def document() -> dict[str, Json]:
    """The whole document."""
    paths: dict[str, dict[str, Json]] = {}
    schemas = _Schemas()
    for (method, path), parameters in sorted(_routes().items()):
        operation = OPERATIONS[method, path]
        paths.setdefault(path, {})[method.lower()] = _operation(operation, parameters, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Pixhook",
            "version": "1",
            "summary": "One API in front of many image-generation providers",
            "description": "A task is bought once, ends once, and is told of once, whatever happens on the way.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "."}],
        "security": [{"apiKey": []}],
        "tags": [{"name": name} for name in dict.fromkeys(operation.tag for operation in OPERATIONS.values())],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "apiKey": {"type": "http", "scheme": "bearer", "description": "An API key, `pxk_...`."}
            },
            "headers": _headers(),
            "schemas": schemas.definitions,
            "examples": {code: {"value": example} for code, example in sorted(_problems().items())},
        },
    }


def text() -> str:
    """The whole document as it is written."""
    return json.dumps(document(), indent=2) + "\n"


def _routes() -> dict[tuple[str, str], list[Json]]:
    """Method and path of each route, with the path's parameters, as Powertools describes them."""
    for setting in fields(Settings):  # the functions are looked at, not run
        if setting.default is MISSING:
            os.environ.setdefault(setting.name.upper(), "0")
    os.environ.setdefault("WEBHOOK_SCHEDULE", "0")
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    found = {}
    for name in ("docs", "query", "submit", "webhooks"):
        app = import_module(f"functions.{name}.app").app
        described = json.loads(app.get_openapi_json_schema(title="", version=""))
        for path, methods in described["paths"].items():
            for method, operation in methods.items():
                found[method.upper(), path] = operation.get("parameters", [])
    return found


class _Schemas:
    """The schemas of types, and the definitions that they share."""

    def __init__(self) -> None:
        self.definitions: dict[str, Json] = {
            "Moment": {"type": "string", "format": "date-time"},
            "Problem": _problem_schema(),
        }

    def of(self, kind: Any, mode: Any) -> Json:
        """The schema of a type, as it is validated or as it is answered."""
        schema = TypeAdapter(kind).json_schema(ref_template=_REFS, mode=mode)
        for name, definition in schema.pop("$defs", {}).items():
            if name != "Moment":
                self.definitions[name] = _tidy(definition)
        title = schema.get("title", "")
        if "properties" not in schema or title.startswith("_"):
            return _tidy(schema)
        self.definitions[title] = _tidy(schema)
        return {"$ref": _REFS.format(model=title)}


def _tidy(schema: Json) -> Json:
    """Without titles that only repeat names."""
    if isinstance(schema, dict):
        return {
            name: {key: _tidy(value) for key, value in inner.items()} if name == "properties" else _tidy(inner)
            for name, inner in schema.items()
            if name != "title" or not isinstance(inner, str)
        }
    return [_tidy(inner) for inner in schema] if isinstance(schema, list) else schema


def _operation(operation: Operation, parameters: list[Json], schemas: _Schemas) -> dict[str, Json]:
    found: dict[str, Json] = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        **({"description": operation.description} if operation.description else {}),
        **({"security": []} if operation.is_open else {}),
    }
    asked = [*map(_tidy, parameters), *_query(operation.query)]
    if operation.id == "submitImage":
        asked.append(_IDEMPOTENCY_KEY)
    if asked:
        found["parameters"] = asked
    if operation.body:
        found["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _body(operation, schemas), "example": operation.body_example}},
        }
    found["responses"] = _responses(operation, schemas)
    return found


_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The client's own, for one purchase.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
}


def _query(kind: Any) -> Iterator[Json]:
    if kind is None:
        return
    schema = TypeAdapter(kind).json_schema(ref_template=_REFS)
    definitions = schema.pop("$defs", {})
    for name, described in schema["properties"].items():
        if name == "metadata":  # no parameter's style has names such as metadata.order
            continue
        one = next((choice for choice in described.pop("anyOf", []) if choice != {"type": "null"}), described)
        if "$ref" in one:
            one = definitions[one["$ref"].rpartition("/")[2]]
        schema_of_it = {key: value for key, value in _tidy(one).items() if key not in {"description"}}
        if schema_of_it.get("default", ...) is None:
            del schema_of_it["default"]
        yield {"name": name, "in": "query", "required": False, "schema": schema_of_it}


def _body(operation: Operation, schemas: _Schemas) -> Json:
    reference = schemas.of(operation.body, "validation")
    name = reference["$ref"].rpartition("/")[2]
    properties = schemas.definitions[name]["properties"]
    for field_name in ("url", "callback_url"):
        if field_name in properties:
            _constrain(properties[field_name])
    if operation.body is ImageRequest:
        properties["images"]["items"] = {
            "anyOf": [{"type": "string", "pattern": _HTTPS}, {"type": "string", "pattern": _UPLOAD}]
        }
        schemas.definitions[name]["anyOf"] = [
            _taken(model, offer) for model, described in MODELS.items() for offer in described.offers
        ]
    return reference


def _constrain(schema: dict[str, Json]) -> None:
    """Says of a URL, which may be null, how it looks."""
    for choice in schema.get("anyOf", [schema]):
        if choice.get("type") == "string":
            choice["pattern"] = _HTTPS


def _taken(model: str, offer: Offer) -> dict[str, Json]:
    """What one provider takes for a model."""
    prompt, references = offer.prompt, offer.references
    choices = {
        "aspect_ratio": offer.aspect_ratios,
        "resolution": offer.resolutions,
        "output_format": offer.output_formats,
    }
    written: dict[str, Json] = {"type": "string", "minLength": prompt[0], "maxLength": prompt[-1]}
    return {
        "title": f"{model} by {offer.provider}",
        "properties": {
            "model": {"const": model},
            "provider": {"enum": [offer.provider, None]},
            "prompt": written | ({"pattern": r"\S"} if prompt[0] else {}),
            "images": {"minItems": references[0], "maxItems": references[-1]},
            **{name: {"enum": [*values, None]} for name, values in choices.items()},
            **({} if offer.web_search else {"web_search": {"enum": [False, None]}}),
        },
        "required": [
            "model",
            *(["prompt"] if prompt[0] else []),
            *(["images"] if references[0] else []),
        ],
        "dependentSchemas": {
            "provider_options": {
                "if": {"properties": {"provider_options": {"minProperties": 1}}},
                "then": {"properties": {"provider": {"const": offer.provider}}, "required": ["provider"]},
            }
        },
    }


def _responses(operation: Operation, schemas: _Schemas) -> dict[str, Json]:
    found: dict[str, Json] = {str(operation.status): _good(operation, schemas)}
    for status, description in operation.other.items():
        found[str(status)] = {**_good(operation, schemas), "description": description}
    codes = (*operation.errors, *_EVERYWHERE, *(() if operation.is_open else _WITH_A_KEY))
    known = _problems()
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys(codes):
        by_status.setdefault(known[code]["status"], []).append(code)
    for status, those in sorted(by_status.items()):
        examples = {code: {"$ref": f"#/components/examples/{code}"} for code in those}
        found[str(status)] = {
            "description": ", ".join(f"`{code}`" for code in examples),
            "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": examples}},
        }
    return found


def _good(operation: Operation, schemas: _Schemas) -> dict[str, Json]:
    headers = {} if operation.is_open else {name: _header(name) for name in _headers() if name.startswith("X-")}
    found: dict[str, Json] = {"description": "Done."}
    if operation.id == "submitImage":
        headers |= {name: _header(name) for name in ("Location", "Idempotent-Replayed")}
    if operation.status == 302:
        headers["Location"] = _header("Location")
        found["description"] = "There it is."
    if operation.id == "getDocs":
        found["content"] = {"text/html": {"schema": {"type": "string"}, "example": "<!DOCTYPE html>"}}
    if operation.answers is not None:
        found["content"] = {
            "application/json": {
                "schema": schemas.of(operation.answers, "serialization"),
                "example": operation.example,
            }
        }
    return found | ({"headers": headers} if headers else {})


def _header(name: str) -> Json:
    return {"$ref": f"#/components/headers/{name}"}


def _headers() -> dict[str, Json]:
    number = {"type": "integer", "minimum": 0}
    return {
        "X-RateLimit-Limit": {"description": "Requests that the account may make in a window.", "schema": number},
        "X-RateLimit-Remaining": {"description": "How many of them are left.", "schema": number},
        "X-RateLimit-Reset": {"description": "When the next window begins, in Unix seconds.", "schema": number},
        "Location": {"description": "Where it is.", "required": True, "schema": {"type": "string", "format": "uri"}},
        "Idempotent-Replayed": {
            "description": "There where an earlier request has made the task.",
            "schema": {"const": "true"},
        },
    }


def _problem_schema() -> Json:
    texts = ("type", "title", "detail", "code")
    return {
        "type": "object",
        "description": "A problem document (RFC 9457).",
        "properties": {
            **{name: {"type": "string"} for name in texts},
            "status": {"type": "integer"},
            "retryable": {"description": "Whether the same request may succeed later.", "type": "boolean"},
            "field": {"description": "What is at fault, where a field is.", "type": "string"},
            "task_id": {"description": "The task that a provider's refusal has ended.", "type": "string"},
            "native_code": {"type": "string"},
            "native_message": {"type": "string"},
            "required": {"description": "Credits that it costs.", "type": "integer"},
            "balance": {"description": "Credits that there are.", "type": "integer"},
        },
        "required": ["type", "title", "detail", "code", "retryable"],
    }


@cache
def _problems() -> dict[str, dict[str, Json]]:
    """An example of each problem, by its code."""
    refusals = {code: errors.ProviderRefused(Failure(code=code, message=_WORDS.get(code, "..."))) for code in ErrorCode}
    found = [dict(problem(refusal).document) for refusal in refusals.values()]
    found += [dict(problem(error).document) for error in _OURS]
    for response in read_template()["Resources"]["Api"]["Properties"]["GatewayResponses"].values():
        written = json.loads(
            response["ResponseTemplates"]["application/json"].replace("$context.error.messageString", '""')
        )
        found += [written] if "status" in written else []
    return {known["code"]: known for known in reversed(found)}


_WORDS = {
    ErrorCode.INVALID_REQUEST: "model is required.",
    ErrorCode.CONTENT_POLICY: "The provider's filter has stopped the request.",
    ErrorCode.INVALID_PROMPT: "A prompt is required.",
    ErrorCode.INVALID_IMAGE: "The URL is not https but http.",
    ErrorCode.UNSUPPORTED_OPTION: "nano-banana by apixo takes no resolution, not '4k'.",
    ErrorCode.PROVIDER_UNAVAILABLE: "apixo could not be reached.",
}

_OURS = (
    errors.PayloadTooLarge("The body has 300000 bytes; at most 262144 are taken."),
    errors.UnsupportedMediaType("The content type must be application/json."),
    errors.KeyReused("This idempotency key came with another request before.", field="Idempotency-Key"),
    errors.ScopeMissing("The API key does not have the scope images:write."),
    errors.NotInPlan("The account's plan does not have provider_options."),
    errors.AccountInactive("The account is suspended."),
    errors.OutOfCredits("It costs 5 credits; the account has 3.", required=5, balance=3),
    errors.TooManyTasks("50 tasks under way are all that the plan has.", retry_after=5),
    errors.TooManyRequests("The account may make 100 requests in 60 seconds.", retry_after=31),
    errors.NotFound("There is no such image."),
    errors.NotReady("tsk_01JNEZ2W3GQK4T5V6X7Y8Z9ABC is processing; its files come when it is completed."),
    errors.TooLate("tsk_01JNEZ2W3GQK4T5V6X7Y8Z9ABC is completed; it can no longer be canceled."),
    errors.Deleted("tsk_01JNEZ2W3GQK4T5V6X7Y8Z9ABC was deleted at 2026-03-02T09:00:00.000Z."),
    errors.TooManyWebhooks("The account has 10 webhook endpoints; it may not have more."),
    errors.StoreUnavailable(""),
    errors.SecretMisconfigured(""),
    Exception(),
)

if __name__ == "__main__":
    FILE.write_text(text())
