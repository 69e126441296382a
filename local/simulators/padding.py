"""Making an image file larger without changing the image."""

import os
import struct
import zlib
from collections.abc import Iterator

from local.simulators.provider import ImageFormat

_PNG_END = 12  # the IEND chunk: length, type, checksum
_BLOCK = 1 << 20
_JPEG_BLOCK = 65533  # a segment's length field counts its own two bytes and ends at 65535


def padded(image: bytes, image_format: ImageFormat, min_bytes: int) -> Iterator[bytes]:
    """The file in pieces, at least `min_bytes` together, filled up with bytes that do not compress.

    The filling stands where each format allows what readers must skip: a private ancillary PNG chunk, JPEG
    application segments, an unknown WebP chunk.
    """
    missing = min_bytes - len(image)
    if missing <= 0:
        yield image
    else:
        yield from {"png": _png, "jpeg": _jpeg, "webp": _webp}[image_format](image, missing)


def _png(image: bytes, missing: int) -> Iterator[bytes]:
    yield image[:-_PNG_END]
    for size in _blocks(missing, _BLOCK):
        chunk = b"raNd" + os.urandom(size)
        yield struct.pack(">I", size) + chunk + struct.pack(">I", zlib.crc32(chunk))
    yield image[-_PNG_END:]


def _jpeg(image: bytes, missing: int) -> Iterator[bytes]:
    # JFIF's own segment must come first, right behind the two bytes that start the image.
    head = 4 + int.from_bytes(image[4:6])
    yield image[:head]
    for size in _blocks(missing, _JPEG_BLOCK):
        yield b"\xff\xef" + struct.pack(">H", size + 2) + os.urandom(size)
    yield image[head:]


def _webp(image: bytes, missing: int) -> Iterator[bytes]:
    size = missing + missing % 2
    yield b"RIFF" + struct.pack("<I", len(image) + size) + image[8:] + b"PADD" + struct.pack("<I", size)
    for block in _blocks(size, _BLOCK):
        yield os.urandom(block)


def _blocks(total: int, largest: int) -> Iterator[int]:
    for start in range(0, total, largest):
        yield min(largest, total - start)
