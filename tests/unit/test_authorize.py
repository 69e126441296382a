"""A key opens its account, and nothing else does."""

from hashlib import sha256

import pytest

from pixhook.flows.authorize import authorize, digest, new_key
from pixhook.model import KeyHolder

HOLDER = KeyHolder(account_id="acc_1", key_id="key_1")
KEY = "pxk_" + "aB3_-" * 8 + "xyz"


def _look_up(digest_of_key: str) -> KeyHolder | None:
    return {digest(KEY): HOLDER}.get(digest_of_key)


def _never(_: str) -> KeyHolder | None:
    pytest.fail("a malformed header was looked up")


@pytest.mark.parametrize(
    "header",
    [f"Bearer {KEY}", f"bearer {KEY}", f"BEARER {KEY}", f"Bearer   {KEY}", f"  Bearer {KEY} \n"],
    ids=repr,
)
def test_a_key_is_its_holders(header: str) -> None:
    assert authorize(header, _look_up) == HOLDER


def test_an_unknown_key_is_nobodys() -> None:
    assert authorize(f"Bearer {new_key()}", _look_up) is None


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        KEY,
        f"Basic {KEY}",
        f"Bearer{KEY}",
        f"Bearer\t{KEY}",
        f"Bearer Bearer {KEY}",
        f"Bearer {KEY[:-1]}",
        f"Bearer {KEY}x",
        f"Bearer {KEY},",
        f"Bearer {KEY} {KEY}",
        f"Bearer {KEY}\nX-Account: acc_2",
        f"Bearer {KEY.removeprefix('pxk_')}",
        f"Bearer sk_{KEY.removeprefix('pxk_')}x",
        f"Bearer {KEY[:-1]}=",
        f"Bearer {KEY[:-1]}é",
        f"Bearer {KEY.upper()}",
        f"Bearer {KEY[:-1]}\N{KELVIN SIGN}",
        f"Bearer {KEY[:-1]}\N{LATIN SMALL LETTER LONG S}",
    ],
    ids=ascii,
)
def test_a_malformed_header_is_not_even_looked_up(header: str) -> None:
    assert authorize(header, _never) is None


def test_a_new_key_is_one_that_can_be_looked_up() -> None:
    key = new_key()
    looked_up: list[str] = []

    authorize(f"Bearer {key}", lambda found: looked_up.append(found))

    assert looked_up == [digest(key)]


def test_no_key_is_made_twice() -> None:
    assert len({new_key() for _ in range(100)}) == 100


def test_what_is_stored_of_a_key_is_its_sha_256() -> None:
    assert digest(KEY) == sha256(KEY.encode()).hexdigest()
