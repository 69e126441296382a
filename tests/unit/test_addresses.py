"""No URL leads anywhere but to the public internet."""

from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixhook.addresses import AddressGuard, is_public
from pixhook.errors import AddressRejected

FORBIDDEN = {
    "private 10/8": "10.0.0.1",
    "private 172.16/12": "172.31.255.255",
    "private 192.168/16": "192.168.1.1",
    "loopback": "127.0.0.1",
    "loopback, another": "127.255.255.254",
    "link-local": "169.254.0.1",
    "metadata service": "169.254.169.254",
    "container credentials": "169.254.170.2",
    "carrier-grade NAT": "100.64.0.1",
    "multicast": "224.0.0.1",
    "multicast, global": "233.252.0.1",
    "reserved": "240.0.0.1",
    "broadcast": "255.255.255.255",
    "unspecified": "0.0.0.0",  # noqa: S104
    "this network": "0.1.2.3",
    "protocol assignments": "192.0.0.1",
    "documentation 1": "192.0.2.1",
    "documentation 2": "198.51.100.1",
    "documentation 3": "203.0.113.1",
    "benchmarking": "198.18.0.1",
    "v6 loopback": "::1",
    "v6 unspecified": "::",
    "v6 unique local": "fc00::1",
    "v6 metadata service": "fd00:ec2::254",
    "v6 link-local": "fe80::1",
    "v6 link-local with zone": "fe80::1%eth0",
    "v6 site-local": "fec0::1",
    "v6 multicast": "ff02::1",
    "v6 multicast, global": "ff0e::1",
    "v6 documentation": "2001:db8::1",
    "v6 documentation, RFC 9637": "3fff::1",
    "v6 benchmarking": "2001:2::1",
    "v6 discard": "100::1",
    "v6 segment routing": "5f00::1",
    "v6 not allocated": "4000::1",
}

PUBLIC = ("1.1.1.1", "100.63.255.255", "172.32.0.1", "2606:4700:4700::1111")

INTERNAL_NETWORKS = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/4",
    "240.0.0.0/4",
)


def _in_v6(prefix: str, shift: int = 0) -> Callable[[IPv4Address], IPv6Address]:
    return lambda address: IPv6Address(int(IPv6Address(prefix)) | int(address) << shift)


def _inverted(address: IPv4Address) -> IPv4Address:
    return IPv4Address(int(address) ^ 0xFFFF_FFFF)


EMBEDDINGS: Mapping[str, Callable[[IPv4Address], IPv6Address]] = {
    "IPv4-mapped": _in_v6("::ffff:0:0"),
    "IPv4-compatible": _in_v6("::"),
    "IPv4-translated": _in_v6("::ffff:0:0:0"),
    "NAT64": _in_v6("64:ff9b::"),
    "NAT64, local use": _in_v6("64:ff9b:1::"),
    "6to4": _in_v6("2002::", 80),
    # RFC 4380: the server, then flags and port, then the client's address with all its bits turned.
    "Teredo, client": lambda address: _in_v6("2001:0:101:101::")(_inverted(address)),
    "Teredo, server": _in_v6("2001::f7f7:f7f7", 64),
    "ISATAP, link-local": _in_v6("fe80::5efe:0:0"),
}


@pytest.mark.parametrize("text", FORBIDDEN.values(), ids=FORBIDDEN)
def test_an_address_that_is_not_public_is_forbidden(text: str) -> None:
    assert not is_public(ip_address(text))


@pytest.mark.parametrize("text", PUBLIC)
def test_a_public_address_is_admitted(text: str) -> None:
    assert is_public(ip_address(text))


@pytest.mark.parametrize("embed", EMBEDDINGS.values(), ids=EMBEDDINGS)
@given(address=st.sampled_from(INTERNAL_NETWORKS).flatmap(lambda network: st.ip_addresses(v=4, network=network)))
def test_no_internal_address_passes_inside_another(
    embed: Callable[[IPv4Address], IPv6Address], address: IPv4Address
) -> None:
    assert not is_public(address)
    assert not is_public(embed(address))


@pytest.mark.parametrize("form", ["IPv4-mapped", "NAT64"])
def test_a_public_address_may_come_in_the_form_that_a_resolver_gives_it(form: str) -> None:
    assert is_public(EMBEDDINGS[form](IPv4Address("1.1.1.1")))


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://example.com/a.png", "example.com", None),
        ("https://example.com:8443/a.png?size=2#top", "example.com", 8443),
        ("HTTPS://EXAMPLE.COM/A.png", "example.com", None),
        ("https://example.com./a.png", "example.com.", None),
        ("https://[2606:4700:4700::1111]/a.png", "2606:4700:4700::1111", None),
        ("https://example.com", "example.com", None),
        ("https://example.com:/a.png", "example.com", None),
    ],
)
def test_an_https_url_is_read(url: str, host: str, port: int | None) -> None:
    parts = AddressGuard().parse(url)
    assert (parts.hostname, parts.port) == (host, port)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.png",
        "//example.com/a.png",
        "http://example.com/a.png",
        "ftp://example.com/a.png",
        "file:///etc/passwd",
        "gopher://example.com/",
        "data:image/png;base64,AAAA",
        "https:",
        "https://",
        "https:///a.png",
        "https://:443/a.png",
        "https://user@example.com/",
        "https://user:password@example.com/",
        "https://@example.com/",
        "https://:@example.com/",
        "https://example.com@127.0.0.1/",
        "https://example.com\\@127.0.0.1/",
        "https:\\\\example.com\\",
        "https://example.com/a b.png",
        " https://example.com/",
        "https://example.com/\n",
        "https://exam\tple.com/",
        "https://example.com\r\nhost: 127.0.0.1/",
        "https://example.com/\0",
        "https://example.com/\x7f",
        "https://127。0。0。1/",
        "https://１２７.0.0.1/",  # noqa: RUF001 - digits that normalise to ASCII
        "https://еxample.com/",  # noqa: RUF001 - begins with a Cyrillic letter
        "https://example.com:0/",
        "https://example.com:65536/",
        "https://example.com:-1/",
        "https://example.com:https/",
        "https://example.com:443:80/",
        "https://[::1/",
        "https://::1]/",
        "https://[not-an-address]/",
        f"https://example.com/{'a' * 8192}",
    ],
    ids=ascii,
)
def test_any_other_url_is_rejected(url: str) -> None:
    with pytest.raises(AddressRejected):
        AddressGuard().parse(url)


@given(st.text("az09AZ.-:@/\\[]%?#&_~ \t\n\0é。"))
def test_any_text_is_read_or_rejected(text: str) -> None:
    try:
        parts = AddressGuard().parse(f"https://{text}")
    except AddressRejected:
        return
    assert parts.scheme == "https"
    assert parts.hostname


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "localhost.", "LOCALHOST", "[::1]"]
)
def test_what_counts_is_where_a_host_is_not_how_it_is_written(host: str) -> None:
    guard = AddressGuard()
    url = guard.parse(f"https://{host}/a.png")
    with pytest.raises(AddressRejected, match="not public"):
        guard.choose(url, ["127.0.0.1"])


@pytest.mark.parametrize("forbidden", ["10.0.0.1", "fd00:ec2::254", "fe80::1%eth0"])
@pytest.mark.parametrize("position", [0, 1, 2])
def test_one_forbidden_address_forbids_all(forbidden: str, position: int) -> None:
    guard = AddressGuard()
    resolved = ["1.1.1.1", "2606:4700:4700::1111"]
    resolved.insert(position, forbidden)
    with pytest.raises(AddressRejected, match="not public"):
        guard.choose(guard.parse("https://example.com/"), resolved)


def test_the_resolvers_first_choice_is_pinned() -> None:
    guard = AddressGuard()
    url = guard.parse("https://example.com/")
    destination = guard.choose(url, ["2606:4700:4700::1111", "1.1.1.1"])
    assert (destination.url, destination.address) == (url, IPv6Address("2606:4700:4700::1111"))


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", ["127.0.0.1", "simulators.local"])
def test_an_admitted_host_may_be_anywhere_and_speak_plain_http(scheme: str, host: str) -> None:
    guard = AddressGuard(["127.0.0.1", "simulators.local"])
    url = guard.parse(f"{scheme}://{host}:4000/a.png")
    assert guard.choose(url, ["127.0.0.1"]).address == IPv4Address("127.0.0.1")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.2",
        "127.1",
        "127.0.0.1.",
        "2130706433",
        "[::ffff:127.0.0.1]",
        "[::1]",
        "localhost",
        "simulators.local.",
        "a.simulators.local",
        "simulators.local.example.com",
    ],
)
def test_a_host_is_admitted_only_as_it_is_written(host: str) -> None:
    guard = AddressGuard(["127.0.0.1", "simulators.local"])
    with pytest.raises(AddressRejected, match="not https"):
        guard.parse(f"http://{host}/")
    with pytest.raises(AddressRejected, match="not public"):
        guard.choose(guard.parse(f"https://{host}/"), ["127.0.0.1"])


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "http://user@127.0.0.1/", "http://127.0.0.1:65536/"])
def test_an_admitted_host_is_not_excused_from_the_rest(url: str) -> None:
    with pytest.raises(AddressRejected):
        AddressGuard(["127.0.0.1"]).parse(url)
