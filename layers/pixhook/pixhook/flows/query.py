"""GET: what there is to know of a task, the models and the account. Another's task looks as if it did not exist."""

import re
from collections.abc import Callable, Collection
from dataclasses import asdict
from datetime import datetime, timedelta

from pixhook.catalogue import MODELS, Offer
from pixhook.errors import NotFound, NotReady, StoreUnavailable
from pixhook.lifecycle import is_terminal
from pixhook.model import Account, Json, Status, Task
from pixhook.providers import PROVIDERS

_TASK_ID = re.compile("tsk_[0-9A-HJKMNP-TV-Z]{26}")

LOOK_AGAIN_SECONDS = 0.5
"""While a client waits; an image takes some ten seconds to be made."""

DOWNLOAD_SECONDS = 15 * 60
"""How long a presigned download URL is good for."""


def find_task(task_id: str, *, account_id: str, get: Callable[[str], Task | None]) -> Task:
    """The account's task.

    Raises:
        NotFound: the account has no such task.
        StoreUnavailable: the task cannot be read now.
    """
    task = get(task_id) if _TASK_ID.fullmatch(task_id) else None
    if task is None or task.account_id != account_id:
        raise NotFound("There is no such image.")
    return task


def wait_while(
    statuses: Collection[Status],
    task: Task,
    seconds: float,
    *,
    get: Callable[[str], Task | None],
    sleep: Callable[[float], None],
    clock: Callable[[], datetime],
) -> Task:
    """The task once it has none of these statuses, or as it was last seen within so many seconds."""
    until = clock() + timedelta(seconds=seconds)
    while task.status in statuses and clock() < until:
        sleep(LOOK_AGAIN_SECONDS)
        try:
            task = get(task.id) or task
        except StoreUnavailable:
            break
    return task


def find_account(account_id: str, get: Callable[[str], Account | None]) -> Account:
    """The caller's account.

    Raises:
        NotFound: it was deleted a moment ago.
        StoreUnavailable: it cannot be read now.
    """
    account = get(account_id)
    if account is None or account.deleted_at:
        raise NotFound("There is no such account.")
    return account


def models(configured: Collection[str]) -> list[dict[str, Json]]:
    """Every model, with its price and what each of its providers takes; `configured` are those with a key."""
    return [
        {
            "id": name,
            "available": any(offer.provider in configured for offer in model.offers),
            "credits": model.credits,
            "credits_by_resolution": dict(model.credits_by_resolution),
            "providers": [_offer(offer, is_available=offer.provider in configured) for offer in model.offers],
        }
        for name, model in MODELS.items()
    ]


def _offer(offer: Offer, *, is_available: bool) -> dict[str, Json]:
    modes = {"text-to-image": 0 in offer.references, "image-to-image": offer.references[-1] > 0}
    return {
        "provider": offer.provider,
        "available": is_available,
        "native_model": offer.native_model,
        "callback": PROVIDERS[offer.provider].capabilities.callback,
        "modes": [mode for mode, is_made in modes.items() if is_made],
        "prompt": {"min": offer.prompt[0], "max": offer.prompt[-1]},
        "images": {"min": offer.references[0], "max": offer.references[-1]},
        "aspect_ratio": list(offer.aspect_ratios),
        "resolution": list(offer.resolutions),
        "output_format": list(offer.output_formats),
        "web_search": offer.web_search,
        "native_price": asdict(offer.native_price) if offer.native_price else None,
    }


def file_url(task: Task, number: str, *, presign: Callable[[str, str, int], str]) -> str:
    """A URL of one of the task's images, good for `DOWNLOAD_SECONDS`; numbers count from 0.

    Raises:
        NotFound: there is no such file, and there will be none.
        NotReady: the task has not ended.
    """
    if not is_terminal(task.status):
        raise NotReady(f"{task.id} is {task.status}; its files come when it is completed.")
    if number not in map(str, range(len(task.images))):
        raise NotFound(f"{task.id} has {len(task.images)} files; they count from 0.")
    key = task.images[int(number)].key
    return presign(key, f"{task.id}-{number}.{key.rpartition('.')[2]}", DOWNLOAD_SECONDS)
