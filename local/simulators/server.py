"""The HTTP server, and the two ways to break an answer that no well-behaved server offers."""

import asyncio
import socket
import struct
from typing import Any, override

import uvicorn
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

_TRANSPORT = "local.simulators.transport"
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time at all


class _ExposedTransport(H11Protocol):
    """HTTP as uvicorn speaks it, with the connection itself within the application's reach."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        app = self.app

        async def with_transport(scope: Any, receive: Any, send: Any) -> None:
            scope.setdefault("extensions", {})[_TRANSPORT] = transport
            try:
                await app(scope, receive, send)
            except asyncio.CancelledError:
                # The server is told to end, and this answer is still under way: its client finds the connection closed.
                transport.abort()
                await _client_left(receive)

        self.app = with_transport


class Reset(Response):
    """No answer: the connection is reset, after `delay_s` seconds or, with None, never by this side."""

    def __init__(self, delay_s: float | None = 0) -> None:
        super().__init__()
        self._delay_s = delay_s

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        left = asyncio.create_task(_client_left(receive))
        await asyncio.wait({left}, timeout=self._delay_s)
        transport = scope["extensions"][_TRANSPORT]
        if not transport.is_closing():
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            transport.abort()
        await left


class CutShort(Response):
    """The first half of another response's body, under the length of the whole, and then no more."""

    def __init__(self, whole: Response, length: int) -> None:
        super().__init__()
        self._whole = whole
        self._left = length // 2

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_half(message: Any) -> None:
            if message["type"] == "http.response.body":
                message = message | {"body": message.get("body", b"")[: self._left], "more_body": True}
                self._left -= len(message["body"])
            await send(message)

        await self._whole(scope, receive, send_half)
        scope["extensions"][_TRANSPORT].close()
        await _client_left(receive)


async def _client_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def make_server(app: ASGIApp, port: int, log_config: dict[str, Any] | None = None) -> uvicorn.Server:
    """A server for this machine alone, which, told to end, drops what is still under way a second later."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            host="127.0.0.1",
            port=port,
            http=_ExposedTransport,
            ws="none",
            lifespan="on",
            log_config=log_config,
            timeout_graceful_shutdown=1,
        )
    )
