"""What is told of an image by its bytes: on their way to S3, or of both ends of an upload."""

import io
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Any
from urllib.parse import unquote_to_bytes

import filetype
import imagesize
from filetype.types.image import Jpeg, Png, Webp

from pixhook.errors import ImageRejected, NotAnImage
from pixhook.model import UploadedFile

MAX_IMAGE_BYTES = 100 * 1024 * 1024

_TYPES = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}
_MATCHERS = (Png(), Jpeg(), Webp())
_MAGIC_BYTES = 262
"""As many as `filetype` looks at."""

_ZIP_END = b"PK\x05\x06"

_MOST_HEAD_BYTES = 8 * 1024 * 1024
"""Width and height stand within them, most often in the first few: a JPEG may have large metadata before."""


class MeasuredImage(io.RawIOBase):
    """A stream of an image that notes type, size and digest as it is read. It is read once, from the front."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        """Reads as much as tells type and dimensions.

        Raises:
            NotAnImage: it is none of the types that we take, or does not say its dimensions.
        """
        super().__init__()
        self._pieces: Iterator[bytes] = iter(pieces)
        self._pending = bytearray()
        self._digest = sha256()
        self.size = 0
        """Bytes read from the source so far."""
        self._fill(_MAGIC_BYTES)
        kind = filetype.match(bytes(self._pending[:_MAGIC_BYTES]), _MATCHERS)
        if kind is None:
            raise NotAnImage("The provider's result is not a PNG, JPEG or WebP image.")
        self.content_type: str = kind.mime
        self.extension = _TYPES[self.content_type]
        self.width, self.height = self._dimensions()

    @property
    def sha256(self) -> str:
        """Hex digest of all that was read from the source."""
        return self._digest.hexdigest()

    def readable(self) -> bool:
        """Always: it is what the stream is for."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Reads into `buffer` what there is, at most its length; 0 at the end.

        Raises:
            ImageRejected: the image is larger than `MAX_IMAGE_BYTES`.
        """
        if not self._pending:
            self._pull()
        count = min(len(buffer), len(self._pending))
        buffer[:count] = self._pending[:count]
        del self._pending[:count]
        return count

    def read(self, size: int = -1, /) -> bytes:
        """As many bytes as asked for, fewer only at the end: boto3 takes a short read for the last."""
        if size < 0:
            return self.readall()
        found = bytearray()
        while len(found) < size and (piece := super().read(size - len(found))):
            found += piece
        return bytes(found)

    def _dimensions(self) -> tuple[int, int]:
        """Width and height, from no more of the image than it takes."""
        wanted = _MAGIC_BYTES
        while True:
            self._fill(wanted)
            width, height = imagesize.get(io.BytesIO(self._pending))
            if width > 0 and height > 0:
                return width, height
            if len(self._pending) < wanted or wanted > _MOST_HEAD_BYTES:
                raise NotAnImage("The provider's image is damaged: it does not say its dimensions.")
            wanted = 8 * len(self._pending)

    def _fill(self, wanted: int) -> None:
        """Has as many bytes at hand, if there are as many."""
        while len(self._pending) < wanted and self._pull():
            pass

    def _pull(self) -> bool:
        piece = next(filter(None, self._pieces), b"")  # an empty piece is not the end
        self.size += len(piece)
        if self.size > MAX_IMAGE_BYTES:
            raise ImageRejected(f"The provider's image is larger than {MAX_IMAGE_BYTES} bytes.")
        self._digest.update(piece)
        self._pending += piece
        return bool(piece)


def check_whole(file: UploadedFile, *, most_bytes: int) -> None:
    """Whether a file begins and ends as one of the images that we take, and is nothing else besides.

    A file that is also an archive or a PDF is somebody's attempt to have it read as something else elsewhere. What
    hides in the middle, in the image's own form, is not looked for.

    Raises:
        NotAnImage: the message says what is wrong.
    """
    if file.size > most_bytes:
        raise NotAnImage(f"The file is larger than {most_bytes} bytes.")
    kind = filetype.match(file.head[:_MAGIC_BYTES], _MATCHERS)
    if kind is None:
        raise NotAnImage("The file is not a PNG, JPEG or WebP image.")
    if min(imagesize.get(io.BytesIO(file.head))) <= 0:
        raise NotAnImage("The image is damaged: it does not say its dimensions.")
    if not _ENDS[kind.extension](file):
        raise NotAnImage("The file does not end where its image does: it is cut off, or there is something behind.")
    if _is_archive(file.tail) or b"%PDF-" in file.head[:1024]:
        raise NotAnImage("The file is not only an image.")


def _webp_ends(file: UploadedFile) -> bool:
    stated = int.from_bytes(file.head[4:8], "little")  # RIFF: of what follows, without the byte that makes it even
    return file.size in {8 + stated, 8 + stated + stated % 2}


_ENDS: Mapping[str, Callable[[UploadedFile], bool]] = {
    "png": lambda file: file.tail.endswith(b"\0\0\0\0IEND\xaeB`\x82"),
    "jpg": lambda file: file.tail.endswith(b"\xff\xd9"),
    "webp": _webp_ends,
}


def _is_archive(tail: bytes) -> bool:
    """Whether there is the last record of a ZIP archive, with whose comment the file ends (APPNOTE.TXT, 4.3.16)."""
    at = tail.find(_ZIP_END)
    while at >= 0:
        if at + 22 + int.from_bytes(tail[at + 20 : at + 22], "little") == len(tail):
            return True
        at = tail.find(_ZIP_END, at + 1)
    return False


def is_data_uri(source: str) -> bool:
    """Whether an image's source holds the image itself."""
    return source[:5].lower() == "data:"


def from_data_uri(source: str) -> bytes:
    """The bytes in a data URI (RFC 2397); its media type is not believed.

    Raises:
        ImageRejected: it is not one that can be decoded.
    """
    header, comma, data = source.partition(",")
    if not comma:
        raise ImageRejected("The provider's data URI has no data.")
    try:
        content = unquote_to_bytes(data)
        return b64decode(content, validate=True) if header.lower().endswith(";base64") else content
    except ValueError as error:
        raise ImageRejected("The provider's data URI cannot be decoded.") from error
