"""A task and its files are its account's, and a file comes once there is one."""

from dataclasses import replace

import pytest

from pixhook.errors import NotFound, NotReady
from pixhook.flows.query import file_url, find_task
from pixhook.model import Image, Status, Task
from tests.support.builders import ACCOUNT_ID, TASK_ID, a_task

PNG = Image(
    bucket="images",
    key=f"images/{TASK_ID}/0.png",
    sha256="0" * 64,
    size=12_345,
    content_type="image/png",
    width=64,
    height=48,
)
WEBP = replace(PNG, key=f"images/{TASK_ID}/1.webp", content_type="image/webp")
COMPLETED = a_task(status=Status.COMPLETED, images=(PNG, WEBP))


def _get(task_id: str) -> Task | None:
    return {TASK_ID: COMPLETED}.get(task_id)


def _presign(key: str, filename: str, seconds: int) -> str:
    return f"signed {key} as {filename} for {seconds}"


def test_an_account_finds_its_task() -> None:
    assert find_task(TASK_ID, account_id=ACCOUNT_ID, get=_get) is COMPLETED


@pytest.mark.parametrize(("task_id", "account_id"), [(TASK_ID, "acc_other"), ("tsk_none", ACCOUNT_ID)])
def test_another_accounts_task_looks_like_none(task_id: str, account_id: str) -> None:
    with pytest.raises(NotFound) as refused:
        find_task(task_id, account_id=account_id, get=_get)
    assert str(refused.value) == "There is no such image."


@pytest.mark.parametrize(("number", "key", "filename"), [("0", PNG.key, "0.png"), ("1", WEBP.key, "1.webp")])
def test_a_file_is_presigned_for_a_while_under_a_name_of_its_own(number: str, key: str, filename: str) -> None:
    expected = f"signed {key} as {TASK_ID}-{filename} for 900"
    assert file_url(COMPLETED, number, 900, presign=_presign) == expected


@pytest.mark.parametrize(
    "number",
    ["2", "-1", "+1", "1.0", "", " 1", "one", "1_0", "\N{ARABIC-INDIC DIGIT ZERO}", "²", "00", "9" * 5_000],
    ids=lambda number: ascii(number[:8]),
)
def test_a_number_that_is_no_files_is_not_found(number: str) -> None:
    with pytest.raises(NotFound):
        file_url(COMPLETED, number, 900, presign=_presign)


@pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELED])
def test_a_task_that_ended_without_images_has_no_file(status: Status) -> None:
    with pytest.raises(NotFound):
        file_url(a_task(status=status), "0", 900, presign=_presign)


@pytest.mark.parametrize("status", [Status.QUEUED, Status.PROCESSING, Status.STORING])
def test_a_task_that_has_not_ended_is_not_ready(status: Status) -> None:
    with pytest.raises(NotReady, match=status):
        file_url(a_task(status=status), "0", 900, presign=_presign)
