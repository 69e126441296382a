"""The world beyond AWS: providers, hosts of their images, receivers of webhooks. Each is a transport below httpx.

There is one of each for a whole run, emptied for each test: a client's TLS takes longer to set up than a test.
"""

import json
import re
from collections.abc import Callable
from functools import cache

import httpx

from pixhook.addresses import AddressGuard
from pixhook.http import GuardedClient, HttpSender, ImageFetcher, WebhookSender
from tests.conftest import SETTINGS
from tests.flow.dialects import EVERYONE, Dialect
from tests.support.promised import assert_promised

PUBLIC = "93.184.216.34"
"""An address somewhere."""

type Provider = Callable[[httpx.Request], httpx.Response]
"""What a provider answers to a request, or how the connection to it breaks."""


def callback_url_in(body: str) -> str:
    """Where a submit asks to be called back."""
    [url] = re.findall(rf'{SETTINGS["PUBLIC_BASE_URL"]}/callbacks/[^"]+', body)
    return str(url)


class Upstream:
    """All the providers: notes the requests, and answers as it is told; by default it accepts."""

    def __init__(self) -> None:
        self.send = HttpSender(httpx.MockTransport(self._take))
        self.requests: list[httpx.Request] = []
        self.answer: Provider = self._accept

    def empty(self) -> None:
        """Forgets the requests and what it was told."""
        self.requests, self.answer = [], self._accept

    @property
    def callback_url(self) -> str:
        """Where the last request asks to be called back."""
        return callback_url_in(self.requests[-1].content.decode())

    def _take(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.answer(request)

    def _accept(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=_spoken_by(request.url.host).accepted())


class ImageHosts:
    """Every host of images: each URL gives its answers in turn, and the last for ever."""

    def __init__(self) -> None:
        self.fetch = ImageFetcher(
            GuardedClient(
                AddressGuard(),
                transport=httpx.MockTransport(self._take),
                resolve=lambda host, _: [self.addresses.get(host, PUBLIC)],
            )
        )
        self._answers: dict[str, list[bytes | int]] = {}
        self.requests: list[httpx.Request] = []
        """What was fetched, or tried to be."""
        self.addresses: dict[str, str] = {}
        """Where a host is; one that is not named here is somewhere public."""

    def empty(self) -> None:
        """Forgets all images, requests and addresses."""
        self._answers.clear()
        self.requests.clear()
        self.addresses.clear()

    def serve(self, url: str, *answers: bytes | int) -> str:
        """Has `url` answer with these contents, or these HTTP statuses; gives it back."""
        self._answers[url] = list(answers)
        return url

    def _take(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answers = self._answers[f"https://{request.headers['host']}{request.url.path}"]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, bytes):
            return httpx.Response(200, stream=httpx.ByteStream(answer))
        return httpx.Response(answer)


type Receiver = Callable[[httpx.Request], httpx.Response]
"""What a receiver of webhooks answers, or how the connection to it breaks."""


class Receivers:
    """Whoever is sent webhooks: notes them, and answers as each host is told; by default it takes them."""

    def __init__(self) -> None:
        self.send = WebhookSender(
            GuardedClient(
                AddressGuard(),
                transport=httpx.MockTransport(self._take),
                resolve=lambda host, _: [self.addresses.get(host, PUBLIC)],
            )
        )
        self.requests: list[httpx.Request] = []
        self.answers: dict[str, Receiver] = {}
        self.addresses: dict[str, str] = {}
        """Where a host is; one that is not named here is somewhere public."""

    def empty(self) -> None:
        """Forgets the webhooks and what it was told."""
        self.requests.clear()
        self.answers.clear()
        self.addresses.clear()

    def _take(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        assert_promised(json.loads(request.content))
        answer = self.answers.get(request.headers["host"])
        return answer(request) if answer else httpx.Response(204)


@cache
def receivers() -> Receivers:
    """The ones there are."""
    return Receivers()


@cache
def upstream() -> Upstream:
    """The one there is."""
    return Upstream()


@cache
def image_hosts() -> ImageHosts:
    """The one there is."""
    return ImageHosts()


def _spoken_by(host: str) -> Dialect:
    return next(dialect for dialect in EVERYONE.values() if dialect.host == host)
