"""POST /uploads, and what becomes of an upload when a request names it.

S3 takes no more bytes than it was told, and only under the type that the client has chosen. That the file is an image
is looked at when it is used.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, Protocol

from pydantic import TypeAdapter
from ulid import ULID

from pixhook.documents import UploadDocument, moment_text
from pixhook.errors import InvalidRequest, NotAnImage
from pixhook.flows.requests import is_upload, read_body
from pixhook.measured import check_whole
from pixhook.model import ErrorCode, ImageRequest, Json, UploadedFile

MOST_UPLOAD_BYTES = 50 * 1024 * 1024

FORM_SECONDS = 3600
"""For so long an upload may begin."""

PROVIDER_SECONDS = 3 * 3600
"""For so long a provider may read the file: as it begins, which may take it a while."""


@dataclass(frozen=True, kw_only=True)
class NewUpload:
    """What POST /uploads takes."""

    __pydantic_config__ = {"extra": "forbid", "strict": True}  # noqa: RUF012 - pydantic's name, a constant

    content_type: Literal["image/png", "image/jpeg", "image/webp"]


_new_upload = TypeAdapter(NewUpload)


class Forms(Protocol):
    """What making room for an upload asks of the upload store."""

    def form(
        self, account_id: str, upload_id: str, content_type: str, *, most_bytes: int, seconds: int
    ) -> Mapping[str, Json]: ...


class Uploads(Protocol):
    """What using uploads asks of the upload store."""

    def read(self, account_id: str, upload_id: str) -> UploadedFile | None: ...
    def presign(self, account_id: str, upload_id: str, seconds: int) -> str: ...


def begin_upload(account_id: str, content_type: str, body: bytes, *, forms: Forms, now: datetime) -> UploadDocument:
    """The form by which the client puts a file in our bucket. Raises `InvalidRequest`."""
    asked = read_body(_new_upload, content_type, body)
    upload_id = f"upl_{ULID.from_datetime(now)}"
    form = forms.form(account_id, upload_id, asked.content_type, most_bytes=MOST_UPLOAD_BYTES, seconds=FORM_SECONDS)
    return {
        "upload": upload_id,
        "url": form["url"],
        "fields": form["fields"],
        "max_bytes": MOST_UPLOAD_BYTES,
        "expires_at": moment_text(now + timedelta(seconds=FORM_SECONDS)),
    }


def with_urls(request: ImageRequest, account_id: str, uploads: Callable[[], Uploads]) -> ImageRequest:
    """The request as a provider understands it: with a URL in place of each upload. S3's client is made if need be.

    Raises:
        InvalidRequest: an upload is not there, or no image; with the field at fault.
        StoreUnavailable: an upload cannot be read now.
    """
    if not any(map(is_upload, request.images)):
        return request
    store = uploads()

    def url_of(number: int, reference: str) -> str:
        if not is_upload(reference):
            return reference
        file = store.read(account_id, reference)
        field = f"images.{number}"
        if file is None:
            message = f"There is no upload {reference}: it was not made, or it has expired."
            raise InvalidRequest(message, field=field, code=ErrorCode.INVALID_IMAGE)
        try:
            check_whole(file, most_bytes=MOST_UPLOAD_BYTES)
        except NotAnImage as error:
            raise InvalidRequest(f"{reference}: {error}", field=field, code=ErrorCode.INVALID_IMAGE) from None
        return store.presign(account_id, reference, PROVIDER_SECONDS)

    with ThreadPoolExecutor(max_workers=4) as pool:
        return replace(request, images=tuple(pool.map(url_of, range(len(request.images)), request.images)))
