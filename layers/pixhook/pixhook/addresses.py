"""Which addresses we go to for an image or with a webhook: those of the public internet.

Providers and clients give us URLs. Without this guard they could name the metadata service of the machine, another
service in the network, or ourselves.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import SplitResult, urlsplit

from pixhook.errors import AddressRejected

type Address = IPv4Address | IPv6Address

_TEREDO = IPv6Network("2001::/32")  # RFC 4380: names two IPv4 addresses, and nobody is reached by it
_DOCUMENTATION = IPv6Network("3fff::/20")  # RFC 9637, unknown to Python before 3.13.1
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052; the address that is meant is in the last 32 bits
_LONGEST_URL = 8_192
_BRACKETED = re.compile(r"([^\[\]@]*@)?\[[^\[\]]+\](:\d*)?")
"""Python's parser leaves out what stands behind the brackets; another's may take it for the host."""


def is_public(address: Address) -> bool:
    """Whether `address`, and any IPv4 address that it embeds, belongs to the public internet."""
    if isinstance(address, IPv6Address):
        embedded = _embedded(address)
        if embedded is not None:
            return is_public(embedded)
        if address.is_site_local or address in _TEREDO or address in _DOCUMENTATION:
            return False
    # Multicast counts as global, but nobody is reached by it.
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _embedded(address: IPv6Address) -> IPv4Address | None:
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where a URL leads: one address, pinned, so that a second look-up cannot give another."""

    url: SplitResult
    address: Address


class AddressGuard:
    """Says where a URL may lead.

    `admitted` hosts, literal as they stand in a URL, may be reached by plain http and wherever they are: it is
    how the simulators of the local stack are let in. On AWS it is empty.
    """

    def __init__(self, admitted: Collection[str] = ()) -> None:
        self._admitted = frozenset(admitted)

    def parse(self, url: str) -> SplitResult:
        """`url` in its parts.

        Raises:
            AddressRejected: it is not one that we may ever follow.
        """
        if len(url) > _LONGEST_URL:
            raise AddressRejected("The URL is too long.")
        if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
            raise AddressRejected("The URL holds characters that no URL has.")
        try:
            parts = urlsplit(url)
            port = parts.port  # refuses what is not a number up to 65535
        except ValueError as error:
            raise AddressRejected(f"The URL cannot be read: {error}.") from error
        if "[" in parts.netloc and not _BRACKETED.fullmatch(parts.netloc):
            raise AddressRejected("The URL has more than an address in its brackets, or beside them.")
        if not parts.hostname:
            raise AddressRejected("The URL names no host.")
        if port == 0:
            raise AddressRejected("The URL names port 0.")
        if parts.username is not None or parts.password is not None:
            raise AddressRejected("The URL carries credentials.")
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in self._admitted):
            raise AddressRejected(f"The URL is not https but {parts.scheme or 'relative'}.")
        return parts

    def choose(self, url: SplitResult, resolved: Sequence[str]) -> Destination:
        """The address to go to for `url`, among those that its host resolves to.

        One forbidden address forbids them all: a name that answers with both is an attack.

        Raises:
            AddressRejected: an address is not public.
        """
        addresses = [ip_address(text.partition("%")[0]) for text in resolved]
        if url.hostname not in self._admitted:
            for address in addresses:
                if not is_public(address):
                    raise AddressRejected(f"The host {url.hostname} is at {address}, which is not public.")
        return Destination(url=url, address=addresses[0])
