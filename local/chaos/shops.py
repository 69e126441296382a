"""The clients' ends of webhooks: they verify what they are sent, and do not always take it at once."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from local.chaos.invariants import Event
from local.chaos.orders import Doors
from local.receivers import Answer, Received, listening

_FORGED = Answer(401)
_ANOTHERS = Answer(403)


@dataclass(kw_only=True)
class Shop:
    """Takes the webhooks of all orders, at URLs that say what comes first: see `Doors`."""

    secret: str
    """What all of them are signed with."""
    taken: defaultdict[str, list[Event]] = field(default_factory=lambda: defaultdict(list))
    """By task, what was answered with success: nothing that was not signed, or came to another order's URL."""
    came: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    """By task, how many came."""
    _lock: Lock = field(default_factory=Lock)

    def answer(self, webhook: Received) -> Answer:
        """What is said to a webhook."""
        try:
            document = Webhook(self.secret).verify(webhook.body, dict(webhook.headers))
        except WebhookVerificationError:
            return _FORGED
        _, status, times, order = webhook.path.split("/")
        if document["metadata"] != {"order": int(order)}:
            return _ANOTHERS
        task_id = document["task_id"]
        with self._lock:
            self.came[task_id] += 1
            if self.came[task_id] <= int(times):
                return Answer(int(status) or None, {"retry-after": "1"})
            self.taken[task_id].append(Event(id=webhook.headers["webhook-id"], status=document["status"]))
        return Answer()


@contextmanager
def opened(shop: Shop) -> Iterator[Doors]:
    """Where the shop listens while the context lasts."""
    with listening(shop.answer) as lively, listening(shop.answer) as silent:
        yield Doors(lively=lively, silent=silent)
