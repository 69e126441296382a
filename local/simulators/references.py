"""Reading reference images, as a provider does before it draws."""

import base64
import binascii
import io

import httpx
from PIL import Image

from local.simulators.fields import is_local

MAX_PIXELS = 50_000_000
TIMEOUT_S = 10
DATA_URI = "data:image/"


class UnreadableReference(Exception):
    """A reference that could not be had, or is no image; the message says which and why."""


async def read_reference(client: httpx.AsyncClient, reference: str, max_bytes: int) -> bytes:
    """The image file behind a URL on this machine or in a data URI; raises UnreadableReference.

    Other hosts count as unreadable: a simulator never reaches out of the machine that it runs on.
    """
    if reference.startswith(DATA_URI):
        data = _decoded(reference)
    elif is_local(reference):
        data = await _fetched(client, reference, max_bytes)
    else:
        raise UnreadableReference(f"{reference}: only images on this machine can be read here")
    _check_image(data, reference)
    return data


def _decoded(data_uri: str) -> bytes:
    head, _, encoded = data_uri.partition(",")
    if not head.endswith(";base64"):
        raise UnreadableReference("the data URI is not base64")
    try:
        return base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise UnreadableReference(f"the data URI cannot be decoded: {error}") from error


async def _fetched(client: httpx.AsyncClient, url: str, max_bytes: int) -> bytes:
    data = bytearray()
    try:
        async with client.stream("GET", url, timeout=TIMEOUT_S) as response:
            if response.status_code != httpx.codes.OK:
                raise UnreadableReference(f"{url}: HTTP {response.status_code}")
            async for chunk in response.aiter_bytes():
                data += chunk
                if len(data) > max_bytes:
                    raise UnreadableReference(f"{url}: larger than {max_bytes} bytes")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise UnreadableReference(f"{url}: {error or type(error).__name__}") from error
    return bytes(data)


def _check_image(data: bytes, reference: str) -> None:
    shown = reference if len(reference) < 200 else f"{reference[:40]}..."
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as image:
            if image.width * image.height > MAX_PIXELS:
                raise UnreadableReference(f"{shown}: more than {MAX_PIXELS} pixels")
            image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UnreadableReference(f"{shown}: not a JPEG, PNG or WebP image") from error
