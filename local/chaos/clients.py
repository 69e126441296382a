"""The clients: they order, repeat what failed where that is safe, and change their minds.

With an idempotency key it is always safe. Without one it is where the gateway was not reached, and where it says that
nothing was bought: `retryable`.
"""

import time
from dataclasses import dataclass, field
from threading import Semaphore
from typing import Any

import httpx

from local.chaos.orders import Order

TRIES = 8
"""How often one asks at most."""

_PAUSE_SECONDS = 1.5
"""Between two tries; all of them together outlast a restart of the stack."""


@dataclass(kw_only=True)
class Receipt:
    """What a client was told of its order."""

    order: Order
    acknowledged: list[str] = field(default_factory=list)
    """The task ids of all 202s."""
    refused: list[str] = field(default_factory=list)
    """The task ids of refusals."""
    is_canceled: bool = False
    """Whether that was the answer to its cancellation."""
    ends: dict[str, str] = field(default_factory=dict)
    """By task, the end that it was shown."""
    failed_answers: int = 0
    """How many of its requests got a 5xx or no answer."""


class Client:
    """Places orders, from several threads too."""

    def __init__(self, api: httpx.Client, lines: Semaphore) -> None:
        """Each request holds one of the `lines` while it is under way: whoever has all of them has silence."""
        self._api = api
        self._lines = lines

    def place(self, order: Order) -> Receipt:
        """Orders, and does with it what this client does."""
        receipt = Receipt(order=order)
        task_id = self._order(receipt)
        if order.repeats_anyway:
            self._order(receipt)
        if task_id and order.cancels_after is not None:
            time.sleep(order.cancels_after)
            self._cancel(receipt, task_id)
        if task_id and order.number % 3 == 0:
            self._look(receipt, task_id)
        return receipt

    def _order(self, receipt: Receipt) -> str | None:
        """The acknowledged task, if it gets one."""
        key = receipt.order.key
        headers = {"idempotency-key": key} if key else {}
        for _ in range(TRIES):
            answer = self._ask(receipt, "POST", "/images", json=dict(receipt.order.request), headers=headers)
            document = _document(answer)
            if answer is not None and answer.status_code == httpx.codes.ACCEPTED:
                receipt.acknowledged.append(document["id"])
                return str(document["id"])
            if "task_id" in document:  # its provider has refused it, and that was the task's end
                receipt.refused.append(document["task_id"])
                return None
            if not (document.get("retryable") is True or (key and (answer is None or answer.is_server_error))):
                return None
            time.sleep(_PAUSE_SECONDS)
        return None

    def _cancel(self, receipt: Receipt, task_id: str) -> None:
        for _ in range(3):
            answer = self._ask(receipt, "POST", f"/images/{task_id}/cancel")
            if answer is not None and not answer.is_server_error:
                receipt.is_canceled = answer.status_code == httpx.codes.OK
                return
            time.sleep(_PAUSE_SECONDS)

    def _look(self, receipt: Receipt, task_id: str) -> None:
        answer = self._ask(receipt, "GET", f"/images/{task_id}")
        status = _document(answer).get("status")
        if answer is not None and answer.is_success and status in {"completed", "failed", "canceled"}:
            receipt.ends[task_id] = str(status)

    def _ask(self, receipt: Receipt, method: str, path: str, **request: Any) -> httpx.Response | None:
        try:
            with self._lines:
                answer = self._api.request(method, path, **request)
        except httpx.ConnectError:  # nothing has left
            answer = httpx.Response(httpx.codes.SERVICE_UNAVAILABLE, json={"retryable": True})
        except httpx.HTTPError:
            receipt.failed_answers += 1
            return None
        receipt.failed_answers += answer.is_server_error
        return answer


def _document(answer: httpx.Response | None) -> dict[str, Any]:
    try:
        return dict(answer.json()) if answer is not None else {}
    except ValueError:
        return {}
