"""POST /callbacks/...: verified, understood, made durable, answered. The work is done in `finish`.

Whoever holds the URL is the provider; everybody else is turned away. Where one URL serves a whole account, what comes
by it is a hint, which `finish` confirms. To the provider the answer is 200 whatever it said, because some stop calling
for good after anything else; only our own failure to keep it is an error.
"""

import logging
from collections.abc import Sequence
from typing import Protocol

from pixhook import callbacks
from pixhook.errors import UnexpectedPayload
from pixhook.model import Outcome, OutcomeMessage, OutcomeState
from pixhook.providers import PROVIDERS
from pixhook.providers.base import Callback, Provider
from pixhook.redaction import redacted

_log = logging.getLogger(__name__)


class Outcomes(Protocol):
    """What receiving asks of the outcome queue."""

    def send(self, message: OutcomeMessage) -> None: ...
    def keep(self, task_id: str, body: bytes) -> str: ...


def receive(path: str, body: bytes, *, keys: Sequence[str], outcomes: Outcomes) -> None:
    """Makes what the provider says durable, if it says how the task ended; `path` is what follows `/callbacks/`.

    Raises:
        CallbackRejected: the URL is not one of ours.
        StoreUnavailable: the outcome may not be durable; the provider has to call again.
    """
    provider_name, task_id = callbacks.verify(path, keys)
    where = {"provider": provider_name, "task_id": task_id}
    provider = PROVIDERS.get(provider_name)
    if provider is None:
        _log.warning("callback of a provider that is no more", extra=where)
        return
    try:
        outcome = _understood(provider, redacted(body, [path.rpartition("/")[2]]))
    except UnexpectedPayload as error:
        key = outcomes.keep(task_id, body)
        _log.warning("callback not understood", extra={**where, "reason": str(error), "kept_as": key})
        return
    if outcome.is_final:
        is_hint = provider.capabilities.callback is Callback.PER_ACCOUNT
        known_id = None if is_hint else task_id
        outcomes.send(OutcomeMessage(task_id=known_id, provider=provider_name, outcome=outcome))
    _log.info("callback received", extra={**where, "state": outcome.state, "ref": outcome.ref})


def _understood(provider: Provider, body: bytes) -> Outcome:
    outcome = provider.parse_callback(body)
    if outcome.state is OutcomeState.UNKNOWN:
        raise UnexpectedPayload("a state that is not documented")
    return outcome
