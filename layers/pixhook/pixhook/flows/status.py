"""One read of what a provider says of a task now: the poller's way to an outcome, and how a hint is confirmed."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pixhook.errors import NoAnswer, NotSent, SecretMisconfigured, UnexpectedPayload
from pixhook.model import Credential, ErrorCode, Failure, HttpRequest, HttpResponse, Outcome, OutcomeState, Task
from pixhook.providers import PROVIDERS
from pixhook.redaction import redacted

READ_SECONDS = 10.0

_log = logging.getLogger(__name__)

type Send = Callable[[HttpRequest, float], HttpResponse]


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRead:
    """What came of a read. One that failed says nothing of the task."""

    outcome: Outcome | None = None
    retry_after: int | None = None
    """Seconds, where the provider names them."""


def estimated_end(seconds: int | None, now: datetime) -> datetime | None:
    """When it will be done, if the provider says that it will take so long."""
    return None if seconds is None else now + timedelta(seconds=seconds)


def timed_out(task: Task, seconds: int) -> Outcome:
    """The end of a task whose provider has not ended it."""
    message = f"{task.provider} did not end the task within {seconds} seconds."
    return Outcome(state=OutcomeState.FAILED, ref=task.ref, failure=Failure(code=ErrorCode.TIMEOUT, message=message))


def read_status(task: Task, *, credentials: Mapping[str, Credential], send: Send) -> StatusRead:
    """Reads the status of a task whose `ref` is known.

    Raises:
        SecretMisconfigured: the provider's key has been taken away.
    """
    provider = PROVIDERS[task.provider]
    if task.provider not in credentials:
        raise SecretMisconfigured(f"The providers secret has no key of {task.provider}, which has tasks under way.")
    request = provider.build_status_read(task.native_model, task.ref or "")
    retry_after = None
    try:
        response = send(provider.authorize(request, credentials[task.provider]), READ_SECONDS)
        retry_after = provider.retry_after(response)
        body = redacted(response.body, [credentials[task.provider].api_key])
        outcome = provider.parse_status_read(replace(response, body=body))
    except (NoAnswer, NotSent, UnexpectedPayload) as error:
        _log.warning("status not read", extra={"provider": task.provider, "ref": task.ref, "reason": str(error)})
        return StatusRead(retry_after=retry_after)
    # By whatever name the provider calls it in its answer, it is the task that was asked for.
    return StatusRead(outcome=replace(outcome, ref=task.ref), retry_after=retry_after)
