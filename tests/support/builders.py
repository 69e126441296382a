"""Nouns with every field filled in, of which a test names only those that it is about."""

import io
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from PIL import Image as Picture

from local.offers import models_of
from pixhook.catalogue import Offer, candidates
from pixhook.errors import OutOfCredits, TooManyRequests
from pixhook.model import Account, AdminRequest, ImageRequest, Status, Task

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TASK_ID = "tsk_01JNEZ2W3GQK4T5V6X7Y8Z9ABC"
ACCOUNT_ID = "acc_01JNEZ2W3GQK4T5V6X7Y8Z9ABC"


def a_request(**changes: Any) -> ImageRequest:
    """A text-to-image request."""
    return ImageRequest(**{"model": "nano-banana-2", "prompt": "a fox in the snow", **changes})


def a_body(**changes: Any) -> dict[str, Any]:
    """The body of a text-to-image request, to the pinned provider if there is one; `...` leaves a field out."""
    models = models_of(changes.get("provider", "")) or ["nano-banana-2"]
    body = {"model": models[0], "prompt": "a fox in the snow", **changes}
    return {name: value for name, value in body.items() if value is not ...}


def an_error[Kind: Exception](kind: type[Kind], words: str = "") -> Kind:
    """An error of this kind, whatever else it takes."""
    more: dict[type[Exception], dict[str, int]] = {
        OutOfCredits: {"required": 5, "balance": 3},
        TooManyRequests: {"retry_after": 7},
    }
    return kind(words, **next((extra for known, extra in more.items() if issubclass(kind, known)), {}))


def an_account(**changes: Any) -> Account:
    """An account that may do what it likes."""
    return Account(
        **{"id": ACCOUNT_ID, "name": "Ada", "plan": "enterprise", "overrides": {}, "created_at": NOW, **changes}
    )


def an_admin_request(request_id: str) -> AdminRequest:
    """What an operator asked for."""
    return AdminRequest(id=request_id, action={"action": "..."}, result={}, at=NOW)


def chosen(request: ImageRequest, configured: Collection[str]) -> Offer:
    """The offer that is tried first."""
    return candidates(request, configured)[0]


def a_task(**changes: Any) -> Task:
    """A task that the provider has accepted."""
    return Task(
        **{
            "id": TASK_ID,
            "account_id": ACCOUNT_ID,
            "status": Status.PROCESSING,
            "request": a_request(),
            "provider": "apixo",
            "native_model": "nano-banana-2",
            "credits": 5,
            "created_at": NOW,
            "updated_at": NOW,
            "ref": "task_12345678",
            **changes,
        }
    )


def a_picture(kind: str = "PNG", size: tuple[int, int] = (64, 48)) -> bytes:
    """A real image file."""
    content = io.BytesIO()
    Picture.effect_noise(size, 50).convert("RGB").save(content, kind)
    return content.getvalue()
