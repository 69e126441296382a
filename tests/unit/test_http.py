"""A request is sent once and its failure told apart; an image comes from the address that was looked at."""

import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import httpx
import pytest

from pixhook import http
from pixhook.addresses import AddressGuard
from pixhook.errors import ImageRejected, ImageUnavailable, NoAnswer, NotSent
from pixhook.http import MAX_ANSWER_BYTES, MAX_REDIRECTS, GuardedClient, HttpSender, ImageFetcher, Resolve
from pixhook.model import HttpRequest

SECONDS = 5.0
REQUEST = HttpRequest(
    method="POST", url="https://api.example/v1/images", headers={"authorization": "Bearer sk-live"}, body=b"{}"
)

NEVER_SENT: set[type[httpx.RequestError]] = {
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.LocalProtocolError,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
}
MAY_HAVE_ARRIVED: set[type[httpx.RequestError]] = {
    httpx.CloseError,
    httpx.DecodingError,
    httpx.ReadError,
    httpx.ReadTimeout,
    httpx.RemoteProtocolError,
    httpx.TooManyRedirects,
    httpx.WriteError,
    httpx.WriteTimeout,
}


def _leaves(kind: type[Exception]) -> set[type[Exception]]:
    children = kind.__subclasses__()
    return set().union(*map(_leaves, children)) if children else {kind}


def _by_name(kinds: set[type[httpx.RequestError]]) -> list[type[httpx.RequestError]]:
    return sorted(kinds, key=lambda kind: kind.__name__)


type Answer = Callable[[httpx.Request], httpx.Response]


def _sender(answer: Answer) -> HttpSender:
    return HttpSender(httpx.MockTransport(answer))


def _at_1_1_1_1(_: str, __: int) -> Sequence[str]:
    return ["1.1.1.1"]


def _fetcher(answer: Answer, *, resolve: Resolve = _at_1_1_1_1, admitted: Sequence[str] = ()) -> ImageFetcher:
    return ImageFetcher(GuardedClient(AddressGuard(admitted), transport=httpx.MockTransport(answer), resolve=resolve))


def _raising(error: Exception) -> Answer:
    def answer(_: httpx.Request) -> httpx.Response:
        raise error

    return answer


def _in_pieces(*pieces: bytes, **headers: str) -> Answer:
    return lambda _: httpx.Response(200, headers=headers, content=iter(pieces))


def _redirect(location: str, status: int = 302) -> Answer:
    return lambda _: httpx.Response(status, headers={"location": location})


def _broken_off(*pieces: bytes) -> Iterator[bytes]:
    yield from pieces
    raise httpx.ReadError("connection reset")


# Sending


def test_a_request_goes_out_as_it_is() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert (request.method, str(request.url), request.content) == (REQUEST.method, REQUEST.url, REQUEST.body)
        assert request.headers["authorization"] == "Bearer sk-live"
        return httpx.Response(200)

    _sender(answer)(REQUEST, SECONDS)


def test_header_names_come_back_in_lower_case() -> None:
    response = _sender(lambda _: httpx.Response(429, headers={"Retry-After": "7"}, content=b"later"))(REQUEST, SECONDS)
    assert (response.status, response.headers["retry-after"], response.body) == (429, "7", b"later")


def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    assert _sender(_redirect(REQUEST.url, 307))(REQUEST, SECONDS).status == 307


def test_every_failure_that_httpx_knows_is_told_apart_here() -> None:
    asked_for = {httpx.HTTPStatusError}  # only raise_for_status raises it
    assert _leaves(httpx.HTTPError) - asked_for == NEVER_SENT | MAY_HAVE_ARRIVED


@pytest.mark.parametrize("kind", _by_name(NEVER_SENT))
def test_a_request_that_cannot_have_arrived_was_not_sent(kind: type[httpx.RequestError]) -> None:
    with pytest.raises(NotSent):
        _sender(_raising(kind("because")))(REQUEST, SECONDS)


@pytest.mark.parametrize("kind", _by_name(MAY_HAVE_ARRIVED))
def test_a_request_that_may_have_arrived_has_no_answer(kind: type[httpx.RequestError]) -> None:
    with pytest.raises(NoAnswer, match="because"):
        _sender(_raising(kind("because")))(REQUEST, SECONDS)


def test_a_failure_without_words_is_named_by_its_kind() -> None:
    with pytest.raises(NoAnswer, match="ReadTimeout"):
        _sender(_raising(httpx.ReadTimeout("")))(REQUEST, SECONDS)


@pytest.mark.parametrize(
    "url", ["", "api.example/v1", "ftp://api.example/", "https://", "https://[::1", "https://a:b/"]
)
def test_a_url_that_leads_nowhere_is_not_sent(url: str) -> None:
    with pytest.raises(NotSent):
        HttpSender()(HttpRequest(method="GET", url=url), SECONDS)


@pytest.mark.enable_socket
@pytest.mark.parametrize("host", ["api..example", f"{'a' * 64}.example"])
def test_a_host_that_no_resolver_takes_is_not_sent_to(host: str) -> None:
    with pytest.raises(NotSent):
        HttpSender()(HttpRequest(method="GET", url=f"https://{host}/"), SECONDS)


def test_a_header_that_cannot_be_written_is_not_sent() -> None:
    request = REQUEST.with_headers(authorization="Bearer ключ")
    with pytest.raises(NotSent):
        _sender(lambda _: httpx.Response(200))(request, SECONDS)


def test_an_answer_that_breaks_off_is_none() -> None:
    with pytest.raises(NoAnswer, match="connection reset"):
        _sender(lambda _: httpx.Response(200, content=_broken_off(b'{"code":')))(REQUEST, SECONDS)


def test_an_answer_that_cannot_be_unpacked_is_none() -> None:
    with pytest.raises(NoAnswer):
        _sender(_in_pieces(b"not gzip", **{"content-encoding": "gzip"}))(REQUEST, SECONDS)


def test_an_answer_may_be_as_long_as_the_limit() -> None:
    pieces = [bytes(MAX_ANSWER_BYTES // 2)] * 2
    assert len(_sender(_in_pieces(*pieces))(REQUEST, SECONDS).body) == MAX_ANSWER_BYTES


def test_an_answer_that_is_too_long_is_none() -> None:
    pieces = [bytes(MAX_ANSWER_BYTES), b"1"]
    with pytest.raises(NoAnswer, match="too long"):
        _sender(_in_pieces(*pieces))(REQUEST, SECONDS)


# Fetching


@dataclass
class Web:
    """Hosts with their addresses, and what they answer, by host and path."""

    answers: Mapping[str, Answer]
    addresses: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Of the hosts that are not at 1.1.1.1."""
    requests: list[httpx.Request] = field(default_factory=list)

    def fetch(self, url: str, admitted: Sequence[str] = ()) -> bytes:
        with _fetcher(self._answer, resolve=self._resolve, admitted=admitted)(url) as pieces:
            return b"".join(pieces)

    def _resolve(self, host: str, _: int) -> Sequence[str]:
        return self.addresses.get(host, ["1.1.1.1"])

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.answers[request.headers["host"] + request.url.path](request)


def test_an_image_comes_in_the_pieces_it_is_sent_in() -> None:
    fetch = _fetcher(_in_pieces(b"one", b"two"))
    with fetch("https://cdn.example/a.png") as pieces:
        assert list(pieces) == [b"one", b"two"]


def test_each_hop_goes_to_the_address_that_was_looked_at() -> None:
    web = Web(
        {
            "api.example/a.png": _redirect("https://CDN.example:8443/b.png?signature=%2F%2B#top"),
            "CDN.example:8443/b.png": _redirect("c.png"),
            "CDN.example:8443/c.png": _in_pieces(b"png"),
        },
        addresses={"api.example": ["8.8.8.8", "8.8.4.4"], "cdn.example": ["2606:4700:4700::1111"]},
    )

    assert web.fetch("https://api.example/a.png") == b"png"
    assert [(str(sent.url), sent.headers["host"], sent.extensions["sni_hostname"]) for sent in web.requests] == [
        ("https://8.8.8.8/a.png", "api.example", "api.example"),
        ("https://[2606:4700:4700::1111]:8443/b.png?signature=%2F%2B", "CDN.example:8443", "cdn.example"),
        ("https://[2606:4700:4700::1111]:8443/c.png", "CDN.example:8443", "cdn.example"),
    ]


def test_a_name_is_looked_up_with_the_port_it_will_be_reached_at() -> None:
    asked = []

    def resolve(host: str, port: int) -> Sequence[str]:
        asked.append((host, port))
        return ["1.1.1.1"]

    fetch = _fetcher(_in_pieces(b"png"), resolve=resolve, admitted=["sim.local"])
    for url in ("https://cdn.example/", "https://cdn.example:8443/", "http://sim.local/"):
        with fetch(url):
            pass

    assert asked == [("cdn.example", 443), ("cdn.example", 8443), ("sim.local", 80)]


def test_an_image_is_asked_for_unpacked_and_in_no_librarys_name() -> None:
    web = Web({"cdn.example/a.png": _in_pieces(b"png")})

    web.fetch("https://cdn.example/a.png")

    assert web.requests[0].headers["accept-encoding"] == "identity"
    assert "python" not in web.requests[0].headers["user-agent"]


def test_what_arrives_is_not_unpacked() -> None:
    web = Web({"cdn.example/a.png": _in_pieces(b"\x1f\x8b", **{"content-encoding": "gzip"})})
    assert web.fetch("https://cdn.example/a.png") == b"\x1f\x8b"


def test_no_host_sees_a_cookie_that_another_at_its_address_has_set() -> None:
    web = Web(
        {
            "one.example/a.png": lambda _: httpx.Response(
                302, headers={"set-cookie": "visitor=1", "location": "https://two.example/a.png"}
            ),
            "two.example/a.png": _in_pieces(b"png"),
        }
    )

    web.fetch("https://one.example/a.png")

    assert "cookie" not in web.requests[1].headers


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_every_kind_of_redirect_is_followed(status: int) -> None:
    web = Web({"api.example/a.png": _redirect("/b.png", status), "api.example/b.png": _in_pieces(b"png")})
    assert web.fetch("https://api.example/a.png") == b"png"


def test_as_many_redirects_are_followed_as_the_limit_says() -> None:
    chain = {f"cdn.example/{number}": _redirect(f"/{number + 1}") for number in range(MAX_REDIRECTS)}
    web = Web({**chain, f"cdn.example/{MAX_REDIRECTS}": _in_pieces(b"png")})
    assert web.fetch("https://cdn.example/0") == b"png"


def test_a_circle_of_redirects_ends() -> None:
    web = Web({"cdn.example/a.png": _redirect("/a.png")})
    with pytest.raises(ImageRejected, match="redirects more than"):
        web.fetch("https://cdn.example/a.png")
    assert len(web.requests) == MAX_REDIRECTS + 1


@pytest.mark.parametrize(
    "location",
    [
        "https://internal.example/a.png",
        "//internal.example/a.png",
        "https://mixed.example/a.png",
        "http://cdn.example/a.png",
        "ftp://cdn.example/a.png",
        "file:///etc/passwd",
        "https://user@cdn.example/",
        "https://[broken/",
    ],
)
def test_a_redirect_is_judged_like_the_first_url(location: str) -> None:
    web = Web(
        {"cdn.example/a.png": _redirect(location)},
        addresses={"internal.example": ["169.254.169.254"], "mixed.example": ["1.1.1.1", "10.0.0.1"]},
    )
    with pytest.raises(ImageRejected):
        web.fetch("https://cdn.example/a.png")
    assert len(web.requests) == 1


def test_a_url_that_is_forbidden_is_not_asked() -> None:
    web = Web({}, addresses={"internal.example": ["10.0.0.1"]})
    with pytest.raises(ImageRejected, match="not public"):
        web.fetch("https://internal.example/a.png")
    assert not web.requests


def test_an_admitted_host_is_fetched_from_by_plain_http() -> None:
    web = Web({"sim.local:4000/a.png": _in_pieces(b"png")}, addresses={"sim.local": ["127.0.0.1"]})
    assert web.fetch("http://sim.local:4000/a.png", admitted=["sim.local"]) == b"png"


@pytest.mark.parametrize("status", [201, 204, 206, 304, 403, 404, 410, 429, 500, 503])
def test_an_answer_without_an_image_is_none_for_now(status: int) -> None:
    web = Web({"cdn.example/a.png": lambda _: httpx.Response(status)})
    with pytest.raises(ImageUnavailable, match=f"HTTP {status}"):
        web.fetch("https://cdn.example/a.png")


def test_a_redirect_to_nowhere_is_no_image_for_now() -> None:
    web = Web({"cdn.example/a.png": lambda _: httpx.Response(302)})
    with pytest.raises(ImageUnavailable, match="HTTP 302"):
        web.fetch("https://cdn.example/a.png")


@pytest.mark.parametrize(
    "error", [socket.gaierror("no such name"), UnicodeError("label empty"), TimeoutError()], ids=repr
)
def test_a_name_without_an_address_is_no_image_for_now(error: Exception) -> None:
    def resolve(_: str, __: int) -> Sequence[str]:
        raise error

    fetch = _fetcher(lambda _: httpx.Response(200), resolve=resolve)
    with pytest.raises(ImageUnavailable, match=r"cdn\.example has no address"), fetch("https://cdn.example/"):
        pass


@pytest.mark.parametrize("kind", _by_name(NEVER_SENT | MAY_HAVE_ARRIVED))
def test_whatever_fails_in_between_is_no_image_for_now(kind: type[httpx.RequestError]) -> None:
    fetch = _fetcher(_raising(kind("because")))
    with pytest.raises(ImageUnavailable), fetch("https://cdn.example/"):
        pass


def test_an_image_that_breaks_off_is_none_for_now() -> None:
    web = Web({"cdn.example/a.png": lambda _: httpx.Response(200, content=_broken_off(b"half"))})
    with pytest.raises(ImageUnavailable, match="connection reset"):
        web.fetch("https://cdn.example/a.png")


def test_what_the_reader_of_an_image_raises_comes_out_as_it_is() -> None:
    fetch = _fetcher(_in_pieces(b"png"))
    with pytest.raises(ZeroDivisionError), fetch("https://cdn.example/"):
        raise ZeroDivisionError


@pytest.mark.enable_socket  # the resolver's own reading of numbers; it asks nobody
@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "0x7f.1", "017700000001", "0177.0.0.1", "127.1", "0"])
def test_a_number_that_the_resolver_takes_for_this_machine_is_forbidden(host: str) -> None:
    fetch = ImageFetcher(GuardedClient(AddressGuard()))
    with pytest.raises(ImageRejected, match="not public"), fetch(f"https://{host}/"):
        pass


# Over a real connection


@dataclass
class Server:
    """A server on this machine that keeps connections open, and notes who has asked."""

    url: str
    clients: list[object] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            running.clients.append(self.client_address)
            is_truncated = self.path == "/truncated"
            self.send_response(200)
            self.send_header("Content-Length", "400" if is_truncated else "4")
            self.end_headers()
            self.wfile.write(b"four")
            self.close_connection = is_truncated

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        running = Server(f"http://127.0.0.1:{listening.server_port}")
        thread = Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        yield running
        listening.shutdown()
        thread.join()


@pytest.mark.enable_socket
def test_no_connection_is_used_for_two_requests(server: Server) -> None:
    send = HttpSender()
    for _ in range(2):
        assert send(HttpRequest(method="GET", url=f"{server.url}/whole"), SECONDS).body == b"four"
    first, second = server.clients
    assert first != second


@pytest.mark.enable_socket
def test_an_answer_shorter_than_announced_is_none(server: Server) -> None:
    with pytest.raises(NoAnswer):
        HttpSender()(HttpRequest(method="GET", url=f"{server.url}/truncated"), SECONDS)


@pytest.mark.enable_socket
def test_a_key_that_is_no_header_is_not_sent_and_not_quoted(server: Server) -> None:
    """A line break at its end, from a file, is the usual slip."""
    request = HttpRequest(method="GET", url=f"{server.url}/whole").with_headers(authorization="Bearer sk-live\n")
    with pytest.raises(NotSent) as caught:
        HttpSender()(request, SECONDS)
    assert "sk-live" not in str(caught.value)


@pytest.mark.enable_socket
def test_a_whole_image_is_fetched(server: Server) -> None:
    with ImageFetcher(GuardedClient(AddressGuard(["127.0.0.1"])))(f"{server.url}/whole") as pieces:
        assert b"".join(pieces) == b"four"


@pytest.mark.enable_socket
def test_an_image_shorter_than_announced_is_none_for_now(server: Server) -> None:
    fetch = ImageFetcher(GuardedClient(AddressGuard(["127.0.0.1"])))
    with pytest.raises(ImageUnavailable), fetch(f"{server.url}/truncated") as pieces:
        list(pieces)


@pytest.mark.enable_socket
def test_a_request_to_a_closed_port_was_not_sent() -> None:
    with pytest.raises(NotSent):
        HttpSender()(HttpRequest(method="GET", url="http://127.0.0.1:1/"), SECONDS)


# A byte now and then, over a real connection

DRIPS = {"in the headers": b"", "in the body": b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"}


@pytest.fixture(params=list(DRIPS.values()), ids=list(DRIPS))
def dripping(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a server that says something all the time and comes to no end."""
    ended = Event()

    def drip(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection, suppress(OSError):
            connection.sendall(request.param or b"HTTP/1.1 200 OK\r\nX-Filler: ")
            while not ended.wait(0.02):
                connection.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = Thread(target=drip, args=(listening,))
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        ended.set()
        thread.join()


@pytest.mark.enable_socket
def test_an_answer_that_never_ends_is_none(dripping: str) -> None:
    with pytest.raises(NoAnswer):
        HttpSender()(HttpRequest(method="GET", url=dripping), 0.2)


@pytest.mark.enable_socket
def test_an_image_that_never_ends_is_none_for_now(dripping: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "FETCH_SECONDS", 0.2)
    fetch = ImageFetcher(GuardedClient(AddressGuard(["127.0.0.1"])))
    with pytest.raises(ImageUnavailable), fetch(dripping) as pieces:
        b"".join(pieces)


@pytest.mark.enable_socket
def test_urls_are_not_logged(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """They may hold somebody's credentials; httpx by itself logs each, and Lambda keeps it."""
    with caplog.at_level("DEBUG", "root"):
        HttpSender()(HttpRequest(method="GET", url=f"{server.url}/whole?signature=secret"), SECONDS)
    assert "secret" not in caplog.text
