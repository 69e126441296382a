"""The only module that speaks HTTP: one request to a provider, or one image as a stream.

Rule 1: a request to a provider is sent once. What went wrong is told apart by one question: can the other side
have seen it? `NotSent`: no; `NoAnswer`: it can. For the same reason no connection is kept for a second request:
one that died unnoticed in between would turn a harmless failure into a doubtful one.
Rule 2: images come from addresses that the guard admits, at each redirect anew, and the connection goes to the
very address that was looked at.
"""

import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from time import monotonic
from urllib.parse import urljoin

import httpx

from pixhook.addresses import AddressGuard, Destination
from pixhook.errors import ImageRejected, ImageUnavailable, NoAnswer, NotSent
from pixhook.model import HttpRequest, HttpResponse

SEND_SECONDS = 20.0
"""All of a provider's time for one answer. API Gateway gives up on us after 29."""

MAX_ANSWER_BYTES = 1024 * 1024

CONNECT_SECONDS = 5.0
FETCH_SECONDS = 60.0
"""All the time for one image: as many as one outcome may have, four at a time, fit into the function's time."""

_SILENCE_SECONDS = 20.0
_TOO_SLOW = f"The image took more than {FETCH_SECONDS:.0f} seconds."

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

type Send = Callable[[HttpRequest], HttpResponse]
type Resolve = Callable[[str, int], Sequence[str]]


class HttpSender:
    """Sends requests to providers."""

    def __init__(self, transport: httpx.BaseTransport | None = None) -> None:
        self._client = httpx.Client(
            transport=transport,
            timeout=httpx.Timeout(SEND_SECONDS, connect=CONNECT_SECONDS),
            limits=httpx.Limits(max_keepalive_connections=0),
            headers={"user-agent": _USER_AGENT, "accept-encoding": "identity"},
            trust_env=False,
            verify=_tls(),
        )

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """The answer to `request`.

        Raises:
            NotSent: the other side cannot have seen the request.
            NoAnswer: it may have; no whole answer came.
        """
        deadline = monotonic() + SEND_SECONDS
        try:
            with self._client.stream(
                request.method, request.url, headers=dict(request.headers), content=request.body
            ) as response:
                body = bytearray()
                for chunk in response.iter_bytes():
                    body += chunk
                    if len(body) > MAX_ANSWER_BYTES or monotonic() > deadline:
                        raise NoAnswer("the answer is too long or too slow")
                headers = {name.lower(): value for name, value in response.headers.items()}
                return HttpResponse(status=response.status_code, headers=headers, body=bytes(body))
        except UNSENT as error:
            raise NotSent(_said(error)) from error
        except UnicodeError as error:  # a host or header that cannot be encoded; its words would quote the key
            raise NotSent("the request cannot be written down") from error
        except httpx.HTTPError as error:
            raise NoAnswer(_said(error)) from error


class ImageFetcher:
    """Fetches images as streams."""

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
            transport=transport,
            limits=httpx.Limits(max_keepalive_connections=0),
            # None are kept: hosts that share an address would see each other's.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            # `identity`: what is counted and hashed is what arrives, and no small answer unfolds into a large one.
            headers={"user-agent": _USER_AGENT, "accept-encoding": "identity", "accept": "image/*,*/*;q=0.5"},
            trust_env=False,
            verify=_tls(),
        )

    @contextmanager
    def __call__(self, url: str) -> Iterator[Iterator[bytes]]:
        """The bytes of the image at `url`, in pieces, while the context lasts.

        Raises:
            ImageRejected: the URL, or one that it redirects to, must not be fetched.
            ImageUnavailable: it cannot be had now, or stopped coming.
        """
        deadline = monotonic() + FETCH_SECONDS
        try:
            for _ in range(MAX_REDIRECTS + 1):
                with self._open(url, deadline) as response:
                    location = response.headers.get("location")
                    if response.is_redirect and location:
                        url = _joined(url, location)
                        continue
                    if response.status_code != httpx.codes.OK:
                        raise ImageUnavailable(f"The image's host answered HTTP {response.status_code}.")
                    yield _until(deadline, response.iter_raw())
                    return
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise ImageUnavailable(f"The image could not be fetched: {_said(error)}") from error
        raise ImageRejected(f"The image's host redirects more than {MAX_REDIRECTS} times.")

    @contextmanager
    def _open(self, url: str, deadline: float) -> Iterator[httpx.Response]:
        destination = self._destination(url)
        left = deadline - monotonic()
        if left <= 0:
            raise ImageUnavailable(_TOO_SLOW)
        host = destination.url.hostname or ""
        pinned = httpx.URL(url).copy_with(host=str(destination.address), fragment=None)
        with self._client.stream(
            "GET",
            pinned,
            headers={"host": destination.url.netloc},
            extensions={"sni_hostname": host},
            timeout=httpx.Timeout(min(left, _SILENCE_SECONDS), connect=CONNECT_SECONDS),
        ) as response:
            yield response

    def _destination(self, url: str) -> Destination:
        parts = self._guard.parse(url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        try:
            resolved = self._resolve(parts.hostname or "", port)
        except (OSError, UnicodeError) as error:  # a label that is empty or too long is no OSError
            raise ImageUnavailable(f"The image's host {parts.hostname} has no address.") from error
        return self._guard.choose(parts, resolved)


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise ImageRejected("The image's host redirects to what is no URL.") from error


def _until(deadline: float, pieces: Iterator[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        if monotonic() > deadline:
            raise ImageUnavailable(_TOO_SLOW)
        yield piece


def _resolve(host: str, port: int) -> Sequence[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=True)


def _said(error: Exception) -> str:
    if isinstance(error, httpx.LocalProtocolError):
        return "the request cannot be written down"  # its own words quote the header at fault, which may be the key
    return str(error) or type(error).__name__
