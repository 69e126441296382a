"""Nothing is fetched from where nobody may look: the corpus of URLs, redirects, look-ups and files, case by case."""

import socket
from collections.abc import Sequence
from ipaddress import ip_address

import httpx
import pytest

from pixhook.addresses import AddressGuard, is_public
from pixhook.errors import ImageRejected, ImageUnavailable, NotAnImage
from pixhook.http import GuardedClient, ImageFetcher
from pixhook.measured import MeasuredImage, from_data_uri
from tests.support.attacks import ATTACKS, Case, Note, attacks, try_all

ENDS = {"rejected": ImageRejected, "unavailable": ImageUnavailable}
SOMEWHERE = "93.184.216.34"


class Web:
    """What is out there in one case; whatever is asked of it is noted."""

    def __init__(self, case: Case) -> None:
        self.looked_up: list[str] = []
        self.requests: list[httpx.Request] = []
        self._at = {host: list(answers) for host, answers in case.get("at", {}).items()}
        self._redirects = dict(case.get("redirects", {}))
        self.fetch = ImageFetcher(
            GuardedClient(AddressGuard(), transport=httpx.MockTransport(self._answer), resolve=self._look_up)
        )

    def _look_up(self, host: str, port: int) -> Sequence[str]:
        self.looked_up.append(host)
        if host in self._at:
            return [str(address) for address in self._at[host].pop(0)]
        if is_name(host):
            return [SOMEWHERE]
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        return [str(address[0]) for *_, address in found]

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        asked = f"https://{request.headers['host']}{request.url.raw_path.decode()}"
        if asked in self._redirects:
            return httpx.Response(302, headers=[(b"location", self._redirects[asked].encode("latin-1", "ignore"))])
        return httpx.Response(200, stream=httpx.ByteStream(b"image"))


def is_name(host: str) -> bool:
    """Whether it is one that somebody could have registered."""
    labels = host.rstrip(".").split(".")
    return labels[-1] == "example" and all(0 < len(label) < 64 for label in labels) and len(host) < 254


# Only what is literally an address is looked up, which takes no network but counts as one.
@pytest.mark.enable_socket
def test_no_result_leads_to_what_is_not_public(subtests: pytest.Subtests, record_property: Note) -> None:
    def check(case: Case) -> None:
        web = Web(case)
        end = case["end"]
        if end == "fetched":
            with web.fetch(case["url"]) as pieces:
                assert b"".join(pieces) == b"image"
        else:
            with pytest.raises(ENDS[end]), web.fetch(case["url"]):
                pass
        assert all(is_public(ip_address(request.url.host)) for request in web.requests)
        assert len(web.looked_up) <= len(web.requests) + 1

    try_all("result-urls", check, subtests, record_property)


def test_connection_goes_to_the_address_that_was_looked_at_whatever_a_second_look_would_say() -> None:
    web = Web({"at": {"a.example": [["1.1.1.1"], ["127.0.0.1"]]}})
    with web.fetch("https://a.example/"):
        pass
    assert ([request.url.host for request in web.requests], web.looked_up) == (["1.1.1.1"], ["a.example"])


def test_no_file_is_stored_as_what_it_is_not(subtests: pytest.Subtests, record_property: Note) -> None:
    def check(case: Case) -> None:
        content = (ATTACKS / "images" / case["name"]).read_bytes()
        if "stored" not in case:
            with pytest.raises(NotAnImage):
                MeasuredImage([content])
            return
        image = MeasuredImage([content])
        assert [image.content_type, image.width, image.height] == case["stored"]
        assert image.read() == content

    try_all("images", check, subtests, record_property)


def test_every_file_of_the_corpus_is_a_case() -> None:
    files = {path.name for path in (ATTACKS / "images").iterdir() if not path.name.startswith(".")}
    assert files == {case["name"] for case in attacks("images")}


def test_no_data_uri_is_an_image_that_is_none(subtests: pytest.Subtests, record_property: Note) -> None:
    def check(case: Case) -> None:
        with pytest.raises((ImageRejected, NotAnImage)):
            MeasuredImage([from_data_uri(case["uri"])])

    try_all("data-uris", check, subtests, record_property)
