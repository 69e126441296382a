"""The only module that speaks HTTP: one request to a provider, one image as a stream, one webhook.

Rule 1: a request to a provider is sent once. What went wrong is told apart by one question: can the other side
have seen it? `NotSent`: no; `NoAnswer`: it can. For the same reason no connection is kept for a second request:
one that died unnoticed in between would turn a harmless failure into a doubtful one.
Rule 2: images come from addresses that the guard admits, at each redirect anew, and webhooks go to such; the
connection goes to the very address that was looked at.
Rule 3: each exchange ends at its deadline. A time-out alone only limits the silence: who sends a byte now and then
could hold a function until it is stopped.
"""

import logging
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from time import monotonic
from typing import Any
from urllib.parse import urljoin

import httpcore
import httpx

from pixhook.addresses import AddressGuard, Destination
from pixhook.errors import AddressRejected, ImageRejected, ImageUnavailable, NoAnswer, NotSent
from pixhook.model import HttpRequest, HttpResponse

MAX_ANSWER_BYTES = 1024 * 1024

CONNECT_SECONDS = 5.0
FETCH_SECONDS = 60.0
"""All the time for one image: as many as one outcome may have, four at a time, fit into the function's time."""

DELIVER_SECONDS = 15.0
"""All the time that a receiver of webhooks has for its answer."""

_SILENCE_SECONDS = 20.0

MAX_REDIRECTS = 3

UNSENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
    httpx.LocalProtocolError,
)
"""What httpx raises when nothing has reached the other side. Anything else it raises may come later."""

# Some image hosts answer 403 to a library's own name (seen at defapi's, see docs/providers/defapi.md).
_USER_AGENT = "Mozilla/5.0 (compatible; Pixhook)"

logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs whole URLs, which may hold somebody's credentials

type Resolve = Callable[[str, int], Sequence[str]]


class HttpSender:
    """Sends requests to providers."""

    def __init__(self, transport: httpx.BaseTransport | None = None) -> None:
        self._client = httpx.Client(
            transport=transport or _transport(),
            headers={"user-agent": _USER_AGENT, "accept-encoding": "identity"},
            trust_env=False,
        )

    def __call__(self, request: HttpRequest, seconds: float) -> HttpResponse:
        """The answer to `request`, waited for no longer than `seconds`.

        Raises:
            NotSent: the other side cannot have seen the request.
            NoAnswer: it may have; no whole answer came.
        """
        _deadline.set(monotonic() + seconds)
        try:
            with self._client.stream(
                request.method,
                request.url,
                headers=dict(request.headers),
                content=request.body,
                timeout=httpx.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS)),
            ) as response:
                body = bytearray()
                for chunk in response.iter_bytes():
                    body += chunk
                    if len(body) > MAX_ANSWER_BYTES:
                        raise NoAnswer("the answer is too long")
                return HttpResponse(status=response.status_code, headers=_lower(response.headers), body=bytes(body))
        except UNSENT as error:
            raise NotSent(_said(error)) from error
        except UnicodeError as error:  # a host or header that cannot be encoded; its words would quote the key
            raise NotSent("the request cannot be written down") from error
        except httpx.HTTPError as error:
            raise NoAnswer(_said(error)) from error


class GuardedClient:
    """Goes where somebody else's URL leads, if the guard lets it; each address is looked up once and then used."""

    def __init__(
        self,
        guard: AddressGuard,
        *,
        transport: httpx.BaseTransport | None = None,
        resolve: Resolve | None = None,
    ) -> None:
        self._guard = guard
        self._resolve = resolve or _resolve
        self._client = httpx.Client(
            transport=transport or _transport(),
            # None are kept: hosts that share an address would see each other's.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            # `identity`: what is counted and hashed is what arrives, and no small answer unfolds into a large one.
            headers={"user-agent": _USER_AGENT, "accept-encoding": "identity"},
            trust_env=False,
        )

    @contextmanager
    def open(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None = None
    ) -> Iterator[httpx.Response]:
        """The answer to one request, its body not yet read; redirects are not followed.

        Raises:
            AddressRejected: the URL must not be followed.
            NotSent: its host has no address.
            httpx.HTTPError, httpx.InvalidURL: as httpx does.
        """
        destination = self._destination(url)
        host = destination.url.hostname or ""
        pinned = httpx.URL(url).copy_with(host=str(destination.address), fragment=None)
        with self._client.stream(
            method,
            pinned,
            headers={"host": destination.url.netloc, **headers},
            content=body,
            extensions={"sni_hostname": host},
            timeout=httpx.Timeout(_SILENCE_SECONDS, connect=CONNECT_SECONDS),
        ) as response:
            yield response

    def _destination(self, url: str) -> Destination:
        parts = self._guard.parse(url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        try:
            resolved = self._resolve(parts.hostname or "", port)
        except (OSError, UnicodeError) as error:  # a label that is empty or too long is no OSError
            raise NotSent(f"The host {parts.hostname} has no address.") from error
        return self._guard.choose(parts, resolved)


class ImageFetcher:
    """Fetches images as streams."""

    def __init__(self, client: GuardedClient) -> None:
        self._client = client

    @contextmanager
    def __call__(self, url: str) -> Iterator[Iterator[bytes]]:
        """The bytes of the image at `url`, in pieces, while the context lasts.

        Raises:
            ImageRejected: the URL, or one that it redirects to, must not be fetched.
            ImageUnavailable: it cannot be had now, or stopped coming.
        """
        _deadline.set(monotonic() + FETCH_SECONDS)
        try:
            for _ in range(MAX_REDIRECTS + 1):
                with self._client.open("GET", url, headers={"accept": "image/*,*/*;q=0.5"}) as response:
                    location = response.headers.get("location")
                    if response.is_redirect and location:
                        url = _joined(url, location)
                        continue
                    if response.status_code != httpx.codes.OK:
                        raise ImageUnavailable(f"The image's host answered HTTP {response.status_code}.")
                    yield response.iter_raw()
                    return
        except AddressRejected as error:
            raise ImageRejected(f"The image must not be fetched: {error}") from error
        except (NotSent, httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise ImageUnavailable(f"The image could not be fetched: {_said(error)}") from error
        raise ImageRejected(f"The image's host redirects more than {MAX_REDIRECTS} times.")


class WebhookSender:
    """Sends webhooks to whoever asked for them."""

    def __init__(self, client: GuardedClient) -> None:
        self._client = client

    def __call__(self, url: str, headers: Mapping[str, str], body: bytes) -> HttpResponse:
        """The receiver's answer, whose body is not read.

        Raises:
            AddressRejected: the URL must not be followed.
            NotSent, NoAnswer: none came within `DELIVER_SECONDS`.
        """
        _deadline.set(monotonic() + DELIVER_SECONDS)
        try:
            with self._client.open("POST", url, headers=headers, body=body) as response:
                return HttpResponse(status=response.status_code, headers=_lower(response.headers))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NoAnswer(_said(error)) from error


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise ImageRejected("The image's host redirects to what is no URL.") from error


def _resolve(host: str, port: int) -> Sequence[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


_deadline: ContextVar[float] = ContextVar("deadline")
"""Of the connections that are made from here on; since none is kept, each serves one exchange."""


class _TimedConnections(httpcore.SyncBackend):
    """Connects, and has what it connects to end at the deadline."""

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, *arguments: Any, **options: Any
    ) -> httpcore.NetworkStream:
        deadline = _deadline.get()
        seconds = _left(deadline, timeout, httpcore.ConnectTimeout)
        return _TimedStream(super().connect_tcp(host, port, seconds, *arguments, **options), deadline)


class _TimedStream(httpcore.NetworkStream):
    """A connection of which no step outlasts the deadline."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(self._deadline, timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(self._deadline, timeout, httpcore.WriteTimeout))

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        seconds = _left(self._deadline, timeout, httpcore.ConnectTimeout)
        return _TimedStream(self._stream.start_tls(ssl_context, server_hostname, seconds), self._deadline)

    def close(self) -> None:
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(deadline: float, timeout: float | None, late: type[Exception]) -> float:
    """Seconds that one step may take. Raises `late` where there are none left."""
    left = deadline - monotonic()
    if left <= 0:
        raise late("the time is up")
    return left if timeout is None else min(left, timeout)


@cache
def _tls() -> ssl.SSLContext:
    """One for all: to read the certificates takes longer than all else here."""
    return httpx.create_ssl_context(trust_env=True)


def _transport() -> httpx.HTTPTransport:
    """HTTP/1.1 over timed connections, none of which is kept."""
    transport = httpx.HTTPTransport()
    transport._pool = httpcore.ConnectionPool(  # noqa: SLF001 - httpx itself passes no connections on
        ssl_context=_tls(),
        max_keepalive_connections=0,
        network_backend=_TimedConnections(),
    )
    return transport


def _said(error: Exception) -> str:
    if isinstance(error, httpx.LocalProtocolError):
        return "the request cannot be written down"  # its own words quote the header at fault, which may be the key
    return str(error) or type(error).__name__
