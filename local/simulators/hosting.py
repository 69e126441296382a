"""The files: where the images are fetched from, as well or as badly as asked."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path

import anyio
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    HTMLResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)

from local.simulators.behaviours import HostBehaviour
from local.simulators.provider import ImageFormat
from local.simulators.recent import Recent
from local.simulators.server import CutShort

MAX_FILES = 2000
MAX_FILES_BYTES = 4 << 30
_BLOCK = 1 << 18
_PAGE = "<!doctype html><title>Not here</title><p>This is a page where an image should be.</p>"


@dataclass(slots=True)
class _File:
    path: Path
    media_type: str
    host: HostBehaviour
    reads: int = 0


class FileHost:
    """Image files in a folder, the most recent of them, each served as its task's behaviour says."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: Recent[str, _File] = Recent(MAX_FILES, MAX_FILES_BYTES, on_drop=lambda f: f.path.unlink())

    async def add(self, pieces: Iterable[bytes], image_format: ImageFormat, host: HostBehaviour) -> str:
        """Write the file and return its name."""
        name = f"{uuid.uuid4().hex}.{image_format}"
        file = _File(self._folder / name, f"image/{image_format}", host)
        size = await asyncio.to_thread(_write, file.path, pieces)
        self._files.put(name, file, size)
        return name

    def clear(self) -> None:
        self._files.clear()

    async def serve(self, request: Request) -> Response:
        file = self._files.get(request.path_params["name"])
        if file is None:
            return PlainTextResponse("no such file", 404)
        file.reads += 1
        await asyncio.sleep(file.host.delay_s)
        return _instead(file, request) or _content(file)


def _instead(file: _File, request: Request) -> Response | None:
    """What is answered in place of the file, if anything."""
    host = file.host
    hop = int(request.query_params.get("hop", "0"))
    if file.reads <= host.fail_first:
        return PlainTextResponse("not now", 503)
    if file.reads <= host.page_first:
        return HTMLResponse(_PAGE, media_type=host.content_type or file.media_type)
    if host.redirect_to is not None:
        return RedirectResponse(host.redirect_to, 302)
    if hop < host.redirects:
        return RedirectResponse(f"{request.url.path}?hop={hop + 1}", 302)
    if host.status is not None:
        return PlainTextResponse("not this file", host.status)
    return None


def _content(file: _File) -> Response:
    host = file.host
    media_type = host.content_type or file.media_type
    response: Response
    if host.chunked:
        response = StreamingResponse(_pieces(file.path), media_type=media_type)
    else:
        response = FileResponse(file.path, media_type=media_type)
    return CutShort(response, file.path.stat().st_size) if host.truncate else response


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    async with await anyio.open_file(path, "rb") as file:
        while block := await file.read(_BLOCK):
            yield block


def _write(path: Path, pieces: Iterable[bytes]) -> int:
    with path.open("wb") as file:
        return sum(file.write(piece) for piece in pieces)
