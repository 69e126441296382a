"""GET: what there is to know of a task, the models and the account. Another's task looks as if it did not exist."""

import re
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Literal

from pixhook.catalogue import MODELS, NativePrice, Offer
from pixhook.documents import ModelDocument, NativePriceDocument, OfferDocument, moment_text
from pixhook.errors import Deleted, NotFound, NotReady, StoreUnavailable
from pixhook.lifecycle import is_terminal
from pixhook.model import Account, Status, Task
from pixhook.providers import PROVIDERS

_TASK_ID = re.compile("tsk_[0-9A-HJKMNP-TV-Z]{26}")

LOOK_AGAIN_SECONDS = 0.5
"""While a client waits; an image takes some ten seconds to be made."""


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


def present(task: Task) -> Task:
    """The task, whose images and request are there. Raises `Deleted`."""
    if task.deleted_at:
        raise Deleted(f"{task.id} was deleted at {moment_text(task.deleted_at)}.")
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


def models(configured: Collection[str]) -> list[ModelDocument]:
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


def _offer(offer: Offer, *, is_available: bool) -> OfferDocument:
    modes: list[Literal["text-to-image", "image-to-image"]] = ["text-to-image"] if 0 in offer.references else []
    if offer.references[-1] > 0:
        modes.append("image-to-image")
    return {
        "provider": offer.provider,
        "available": is_available,
        "native_model": offer.native_model,
        "callback": PROVIDERS[offer.provider].capabilities.callback,
        "modes": modes,
        "prompt": {"min": offer.prompt[0], "max": offer.prompt[-1]},
        "images": {"min": offer.references[0], "max": offer.references[-1]},
        "aspect_ratio": list(offer.aspect_ratios),
        "resolution": list(offer.resolutions),
        "output_format": list(offer.output_formats),
        "web_search": offer.web_search,
        "native_price": _native_price(offer.native_price) if offer.native_price else None,
    }


def _native_price(price: NativePrice) -> NativePriceDocument:
    return {"unit": price.unit, "default": price.default, "by_resolution": dict(price.by_resolution)}


def file_url(task: Task, number: str, seconds: int, *, presign: Callable[[str, str, int], str]) -> str:
    """A URL of one of the task's images, good for so many seconds; numbers count from 0.

    Raises:
        NotFound: there is no such file, and there will be none.
        NotReady: the task has not ended.
    """
    if not is_terminal(task.status):
        raise NotReady(f"{task.id} is {task.status}; its files come when it is completed.")
    if number not in map(str, range(len(task.images))):
        raise NotFound(f"{task.id} has {len(task.images)} files; they count from 0.")
    key = task.images[int(number)].key
    return presign(key, f"{task.id}-{number}.{key.rpartition('.')[2]}", seconds)
