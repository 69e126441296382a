"""Only who was given a callback URL can make use of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixhook.callbacks import callback_url, verify
from pixhook.errors import CallbackRejected
from tests.support.builders import TASK_ID

BASE = "https://pixhook.example/v1"
OLD, NEW, STRANGE = "old-key", "new-key", "strange-key"


def _path(*keys: str) -> str:
    """What follows `/callbacks/` in the URL for a task at apixo."""
    return callback_url(BASE, "apixo", TASK_ID, keys).removeprefix(f"{BASE}/callbacks/")


@pytest.mark.parametrize("base", [BASE, f"{BASE}/"])
def test_the_url_names_provider_and_task(base: str) -> None:
    assert callback_url(base, "apixo", TASK_ID, [OLD]).startswith(f"{BASE}/callbacks/apixo/{TASK_ID}/")


@pytest.mark.parametrize(
    ("signing", "verifying"),
    [([OLD], [OLD]), ([OLD], [NEW, OLD]), ([NEW, OLD], [NEW]), ([NEW, OLD], [NEW, OLD])],
    ids=["one key", "key being replaced", "first key signs", "two keys"],
)
def test_every_live_key_verifies(signing: list[str], verifying: list[str]) -> None:
    assert verify(_path(*signing), verifying) == ("apixo", TASK_ID)


@pytest.mark.parametrize("keys", [[STRANGE], [NEW, STRANGE], []])
def test_a_key_that_is_not_live_verifies_nothing(keys: list[str]) -> None:
    with pytest.raises(CallbackRejected):
        verify(_path(OLD), keys)


@pytest.mark.parametrize("place", range(len(_path(OLD))))
def test_one_character_changed_anywhere_is_noticed(place: int) -> None:
    path = _path(OLD)
    other = "0" if path[place] != "0" else "1"
    with pytest.raises(CallbackRejected):
        verify(path[:place] + other + path[place + 1 :], [OLD])


@pytest.mark.parametrize(
    "path",
    [
        _path(OLD)[:-1],
        f"{_path(OLD)}=",
        f"{_path(OLD)}/",
        f"/{_path(OLD)}",
        f"apixo/{TASK_ID}/",
        f"apixo/{TASK_ID}",
        "apixo",
        "",
        f"apixo/{TASK_ID}/ключ",
        "\udcff/\udcff/\udcff",
    ],
    ids=ascii,
)
def test_a_damaged_path_is_rejected(path: str) -> None:
    with pytest.raises(CallbackRejected):
        verify(path, [OLD])


@given(st.text(st.characters()))
def test_no_other_text_passes_or_breaks_the_check(path: str) -> None:
    with pytest.raises(CallbackRejected):
        verify(path, [OLD, NEW])


def test_the_mac_stays_the_same_from_release_to_release() -> None:
    """Else a deployment would turn away the callbacks that are under way."""
    assert _path(OLD).rpartition("/")[2] == "qgg5HeKL8WT1s5ZUPckmjD0I7jHfRwt8aHC_733Y8M0"
