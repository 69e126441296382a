"""POST /callbacks/...: verified, understood, made durable, answered. The work is done in `finish`.

Whoever holds the URL is the provider; everybody else is turned away. To the provider the answer is 200 whatever
it said, because some stop calling for good after anything else; only our own failure to keep it is an error.
"""

import logging
from collections.abc import Sequence
from typing import Protocol

from pixhook import callbacks
from pixhook.errors import CallbackRejected, UnexpectedPayload
from pixhook.model import OutcomeMessage
from pixhook.providers import PROVIDERS

_log = logging.getLogger(__name__)


class Outcomes(Protocol):
    """What receiving asks of the outcome queue."""

    def send(self, message: OutcomeMessage) -> None: ...


def receive(path: str, body: bytes, *, keys: Sequence[str], outcomes: Outcomes) -> None:
    """Makes what the provider says durable, if it says how the task ended; `path` is what follows `/callbacks/`.

    Raises:
        CallbackRejected: the URL is not one of ours.
        StoreUnavailable: the outcome may not be durable; the provider has to call again.
    """
    provider_name, task_id = callbacks.verify(path, keys)
    provider = PROVIDERS.get(provider_name)
    if provider is None:
        raise CallbackRejected(f"There is no provider {provider_name!r} any more.")
    where = {"provider": provider_name, "task_id": task_id}
    try:
        outcome = provider.parse_callback(body)
    except UnexpectedPayload as error:
        _log.warning("callback not understood", extra={**where, "reason": str(error), "bytes": len(body)})
        return
    if outcome.is_final:
        outcomes.send(OutcomeMessage(task_id=task_id, provider=provider_name, outcome=outcome))
    _log.info("callback received", extra={**where, "state": outcome.state, "ref": outcome.ref})
