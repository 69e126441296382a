"""A request's body -> what it asks for, or what is wrong with it, by field."""

import json
import re
from reprlib import repr as shortened

from pydantic import TypeAdapter, ValidationError

from pixhook.addresses import AddressGuard
from pixhook.errors import AddressRejected, InvalidRequest, PayloadTooLarge, UnsupportedMediaType
from pixhook.model import ErrorCode, ImageRequest, Json

MAX_BODY_BYTES = 256 * 1024
"""A task with its request fits a DynamoDB item of 400 KB."""

MAX_FREE_FORM_BYTES = 16 * 1024
"""Of metadata and of provider options, as JSON; the metadata also travels in the event."""

_UPLOAD_ID = re.compile("upl_[0-9A-HJKMNP-TV-Z]{26}")

_request = TypeAdapter(ImageRequest)


def read_request(content_type: str, body: bytes, guard: AddressGuard) -> ImageRequest:
    """The request in a body, as far as it can be judged without knowing the model.

    Raises:
        InvalidRequest: with the field at fault.
    """
    request = read_body(_request, content_type, body)
    for name in ("metadata", "provider_options"):
        _check_free_form(name, getattr(request, name))
    for number, reference in enumerate(request.images):
        if not is_upload(reference):
            check_url(reference, guard, f"images.{number}", ErrorCode.INVALID_IMAGE)
    if request.callback_url is not None:
        check_url(request.callback_url, guard, "callback_url")
    return request


def read_body[Kind](kind: TypeAdapter[Kind], content_type: str, body: bytes) -> Kind:
    """What is in a body of JSON. Raises `InvalidRequest`, with the field at fault."""
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise UnsupportedMediaType("The content type must be application/json.")
    if len(body) > MAX_BODY_BYTES:
        raise PayloadTooLarge(f"The body has {len(body)} bytes; at most {MAX_BODY_BYTES} are taken.")
    try:
        return kind.validate_json(body)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, fault["loc"])) or None
        raise InvalidRequest(_said(fault["type"], fault["msg"], field), field=field) from None


def check_url(url: str, guard: AddressGuard, field: str, code: ErrorCode = ErrorCode.INVALID_REQUEST) -> None:
    """Whether it is a URL that somebody may follow. Raises `InvalidRequest`."""
    try:
        guard.parse(url)
    except AddressRejected as error:
        raise InvalidRequest(str(error), field=field, code=code) from None


def is_upload(reference: str) -> bool:
    """Whether a reference image is named by an upload's id."""
    return _UPLOAD_ID.fullmatch(reference) is not None


def _check_free_form(name: str, value: Json) -> None:
    """Whether it can be passed on as it came. Raises `InvalidRequest`."""
    try:
        text = json.dumps(value, allow_nan=False)
    except ValueError:  # a number such as 1e999, for which JSON has no way back
        raise InvalidRequest(f"{name} holds a number that is not finite.", field=name) from None
    if len(text) > MAX_FREE_FORM_BYTES:
        raise InvalidRequest(f"{name} takes at most {MAX_FREE_FORM_BYTES} bytes of JSON.", field=name)


def _said(kind: str, message: str, field: str | None) -> str:
    match kind:
        case "json_invalid":
            return f"The body is not JSON: {message.removeprefix('Invalid JSON: ')}."
        case "missing":
            return f"{field} is required."
        case "unexpected_keyword_argument":
            return f"There is no field {shortened(field)}."
        case _ if field is None:
            return "The body must be a JSON object."
        case _:
            return f"{field}: {message}."
