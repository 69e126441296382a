"""POST /images: written down, and bought once, from the first provider that takes it.

Rule 1: nothing is sent before the task is written, so that whatever the provider calls back about exists; and nothing
is written before the task has a deadline, so that it ends even if this process does not get any further.
Rule 2: another provider is asked only after a definite refusal that is the provider's own trouble. A refusal of the
request or its content is the client's answer; and after an unclear answer nobody is asked again: the callback or the
poller settles the task.
Rule 3: a task's id is its idempotency: who finds it taken has bought nothing, and gets the task that is there.
Rule 4: once a provider may have accepted, the client is not told to try again, whatever else fails.
"""

import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Protocol, Unpack

from ulid import ULID

from pixhook import catalogue
from pixhook.callbacks import callback_url
from pixhook.catalogue import Offer
from pixhook.errors import (
    Deleted,
    InvalidRequest,
    KeyReused,
    NoAnswer,
    NotAsked,
    NotInPlan,
    NotSent,
    ProviderInTrouble,
    ProviderRefused,
    ProviderUnclear,
    StoreUnavailable,
)
from pixhook.flows.expire import deadline
from pixhook.flows.poll import first_turn
from pixhook.flows.status import estimated_end
from pixhook.lifecycle import is_terminal
from pixhook.model import (
    Attempt,
    Caller,
    Credential,
    ErrorCode,
    Failure,
    HttpRequest,
    HttpResponse,
    ImageRequest,
    Json,
    Learnt,
    Outcome,
    OutcomeMessage,
    OutcomeState,
    Status,
    Task,
)
from pixhook.plans import PROVIDER_OPTIONS
from pixhook.providers import PROVIDERS
from pixhook.providers.base import Accepted, Polling
from pixhook.redaction import redacted

SEND_SECONDS = 20.0
"""All of a provider's time for one answer. API Gateway gives up on us after 29."""

_LAST_STEPS_SECONDS = 4.0
"""What is left for noting what came of it."""

_LEAST_SECONDS = 5.0
"""With less than this nobody is asked: an answer that is not waited for is a purchase that nobody knows of."""

ANSWER_SECONDS = 28.0
"""So long after a task's beginning the request that made it has its answer, or its process is dead."""

_LOOK_AGAIN_SECONDS = 0.25

_IDEMPOTENCY_KEY = re.compile("[!-~]{1,255}")

_log = logging.getLogger(__name__)


class Tasks(Protocol):
    """What submitting asks of the task store."""

    def add(self, task: Task, *, tasks_in_flight: int) -> Task | None: ...
    def get(self, task_id: str) -> Task | None: ...
    def move(self, task: Task, to: Status, now: datetime, **learnt: Unpack[Learnt]) -> Task | None: ...
    def reroute(self, task: Task, now: datetime) -> bool: ...
    def note(self, task: Task, now: datetime, **learnt: Unpack[Learnt]) -> Task | None: ...


class Pollers(Protocol):
    """What submitting asks of the pollers."""

    def start(self, task_id: str, turn: Mapping[str, Json]) -> None: ...


class Outcomes(Protocol):
    """What submitting asks of the outcome queue."""

    def send(self, message: OutcomeMessage) -> None: ...


class Deadlines(Protocol):
    """What submitting asks of the deadline queue."""

    def put(self, task_id: str, seconds: float) -> None: ...


class Breakers(Protocol):
    """What submitting asks of the circuit breakers: to make a call, or `NotAsked`."""

    def call(self, provider: str, ask: Callable[[], Accepted]) -> Accepted: ...


def new_task_id(now: datetime) -> str:
    """The id of a task that begins `now`."""
    return f"tsk_{ULID.from_datetime(now)}"


def keyed_task_id(account_id: str, idempotency_key: str) -> str:
    """The id of the one task that the account begins with this key; two keys never give the same.

    Raises:
        InvalidRequest: it is not an idempotency key.
    """
    if not _IDEMPOTENCY_KEY.fullmatch(idempotency_key):
        raise InvalidRequest("Idempotency-Key takes 1 to 255 visible ASCII characters.", field="Idempotency-Key")
    return f"tsk_{ULID(sha256(f'{account_id} {idempotency_key}'.encode()).digest()[:16])}"


@dataclass(frozen=True)
class Submitted:
    """What came of a submit."""

    task: Task
    is_replay: bool = False
    """Whether an earlier request had made the task, so that this one did nothing."""


@dataclass(frozen=True, kw_only=True)
class Submitter:
    """Submits requests, in the world that it is given."""

    tasks: Tasks
    outcomes: Outcomes
    pollers: Pollers
    deadlines: Deadlines
    breakers: Breakers
    send: Callable[[HttpRequest, float], HttpResponse]
    clock: Callable[[], datetime]
    sleep: Callable[[float], None]
    with_urls: Callable[[ImageRequest, str], ImageRequest]
    """The account's request with a URL in place of each upload."""

    def submit(
        self,
        request: ImageRequest,
        *,
        caller: Caller,
        base_url: str,
        task_id: str,
        is_repeatable: bool,
        credentials: Mapping[str, Credential],
        callback_keys: Sequence[str],
        time_left: Callable[[], float],
    ) -> Submitted:
        """The task, written and sent upstream; or the one that is there under `task_id` if that `is_repeatable`.

        `time_left` says in how many seconds this process will be stopped.

        Raises:
            InvalidRequest, NotInPlan: it cannot be taken as it is; nothing was written or sent.
            KeyReused: there is a task under this id, and it was another request that made it; nothing was sent.
            Deleted: there was a task under this id; nothing was sent.
            OutOfCredits, TooManyTasks, AccountInactive: the account cannot have it; nothing was written or sent.
            ProviderRefused: the last provider that was asked said no; the task will end as failed.
            StoreUnavailable: nothing was sent.
        """
        candidates = self._candidates(request, caller, base_url, task_id, credentials, callback_keys)
        try:
            first = next(candidates)
        except (InvalidRequest, NotInPlan):
            # What was taken once is not refused because plans or providers are others today.
            earlier = self.tasks.get(task_id) if is_repeatable else None
            if earlier is None:
                raise
            return Submitted(self._replayed(earlier, request, time_left), is_replay=True)
        now = self.clock()
        task = Task(
            id=task_id,
            account_id=caller.account_id,
            status=Status.QUEUED,
            request=request,
            provider=first.offer.provider,
            native_model=first.offer.native_model,
            credits=catalogue.MODELS[request.model].price(request),
            created_at=now,
            updated_at=now,
        )
        self.deadlines.put(task.id, deadline(task.provider))
        earlier = self.tasks.add(task, tasks_in_flight=caller.limits.tasks_in_flight)
        if earlier is not None:
            return Submitted(self._replayed(earlier, request, time_left), is_replay=True)
        trouble = self._try(first, task, time_left)
        for candidate in candidates:
            if not isinstance(trouble, ProviderInTrouble):
                break
            rerouted = _rerouted(task, trouble.failure, candidate.offer)
            if not self._is_rerouted(rerouted):
                break
            task = rerouted
            trouble = self._try(candidate, task, time_left)
        if isinstance(trouble, ProviderRefused):
            raise self._refused(task, trouble)
        return Submitted(trouble)

    def _candidates(
        self,
        request: ImageRequest,
        caller: Caller,
        base_url: str,
        task_id: str,
        credentials: Mapping[str, Credential],
        callback_keys: Sequence[str],
    ) -> Iterator["_Candidate"]:
        """Who can make it, each made when it is its turn: most often the first takes it. Raises as `submit`."""
        if request.provider_options and PROVIDER_OPTIONS not in caller.limits.features:
            raise NotInPlan("The account's plan does not have provider_options.")
        offers = catalogue.candidates(request, PROVIDERS.keys() & credentials.keys())
        request = self.with_urls(request, caller.account_id)
        for offer in offers:
            url = callback_url(base_url, offer.provider, task_id, callback_keys)
            yield _Candidate(
                offer=offer,
                request=PROVIDERS[offer.provider].build_submit(request, offer, url),
                credential=credentials[offer.provider],
                secrets=(credentials[offer.provider].api_key, url.rpartition("/")[2]),
            )

    def _replayed(self, task: Task, request: ImageRequest, time_left: Callable[[], float]) -> Task:
        """The task of an earlier request with the same id, once that one has had its answer, or ought to have had it.

        Raises:
            KeyReused: that was another request.
            Deleted: nobody knows any more what that was.
        """
        if task.deleted_at:
            raise Deleted(f"This idempotency key made {task.id}, which has been deleted.")
        if _as_sent(task.request) != _as_sent(request):
            raise KeyReused("This idempotency key came with another request before.", field="Idempotency-Key")
        answered_by = task.created_at + timedelta(seconds=ANSWER_SECONDS)
        while task.status is Status.QUEUED and self.clock() < answered_by and time_left() > _LAST_STEPS_SECONDS:
            self.sleep(_LOOK_AGAIN_SECONDS)
            task = self.tasks.get(task.id) or task
        return task

    def _try(self, candidate: "_Candidate", task: Task, time_left: Callable[[], float]) -> Task | ProviderRefused:
        """The task, accepted or unclear; or why this provider does not take it."""
        name = task.provider
        try:
            accepted = self.breakers.call(name, lambda: self._ask(candidate, task, time_left))
        except NotAsked as error:
            _log.warning("provider not asked", extra={"provider": name, "reason": str(error)})
            return _in_trouble(f"{name} was not asked: {error}.")
        except ProviderRefused as refusal:
            failure = refusal.failure
            native = {"native_code": failure.native_code, "native_message": failure.native_message}
            _log.info("provider refused", extra={"provider": name, "code": failure.code, **native})
            return refusal
        except (NoAnswer, ProviderUnclear) as error:
            _log.warning("submit unclear", extra={"provider": name, "reason": str(error)})
            return task
        return self._accepted(task, accepted)

    def _ask(self, candidate: "_Candidate", task: Task, time_left: Callable[[], float]) -> Accepted:
        """What the provider says of the task. Raises as `Provider.parse_submit`, `NoAnswer`, and `NotAsked`."""
        provider = PROVIDERS[task.provider]
        if provider.polling:
            # Before the purchase: whatever happens from here on, the poller ends the task, if only by giving up.
            self._start_poller(task, provider.polling)
        seconds = min(SEND_SECONDS, time_left() - _LAST_STEPS_SECONDS)
        if seconds < _LEAST_SECONDS:
            raise NotAsked("no time was left")
        try:
            response = self.send(provider.authorize(candidate.request, candidate.credential), seconds)
        except NotSent as error:
            _log.warning("provider not reached", extra={"provider": provider.name, "reason": str(error)})
            raise _in_trouble(f"{provider.name} could not be reached.") from error
        return provider.parse_submit(replace(response, body=redacted(response.body, candidate.secrets)))

    def _start_poller(self, task: Task, polling: Polling) -> None:
        try:
            self.pollers.start(task.id, first_turn(task.id, polling))
        except StoreUnavailable as error:
            raise NotAsked("nobody would have looked after the task") from error

    def _is_rerouted(self, task: Task) -> bool:
        """Whether it is now another provider's. Else nobody is asked: its callback would be taken for a stranger's."""
        try:
            return self.tasks.reroute(task, self.clock())
        except StoreUnavailable:
            _log.exception("it is not known whether the next provider was noted", extra={"provider": task.provider})
        try:
            found = self.tasks.get(task.id)
        except StoreUnavailable:
            return False
        return found is not None and found.status is Status.QUEUED and found.attempts == task.attempts

    def _accepted(self, task: Task, accepted: Accepted) -> Task:
        """The task as accepted, or further if its callback was faster than the provider's answer."""
        now = self.clock()
        learnt: Learnt = {
            "ref": accepted.ref,
            "estimated_end_at": estimated_end(accepted.estimated_seconds, now),
        }
        found = None
        try:
            found = self._noted(task, now, learnt)
        except StoreUnavailable:
            _log.exception(
                "accepted upstream, but not noted; a callback will find the task", extra={"ref": accepted.ref}
            )
        return found or replace(task, status=Status.PROCESSING, **learnt)

    def _noted(self, task: Task, now: datetime, learnt: Learnt) -> Task | None:
        """The task as it is, once its acceptance is noted. Raises `StoreUnavailable`."""
        found = self.tasks.move(task, Status.PROCESSING, now, **learnt) or self.tasks.get(task.id)
        if found is not None and is_terminal(found.status) and found.ref is None:
            # Canceled meanwhile: by its ref a callback still finds it, and is no stranger's.
            found = self.tasks.note(found, self.clock(), ref=learnt["ref"]) or found
        return found

    def _refused(self, task: Task, refusal: ProviderRefused) -> ProviderRefused:
        """The refusal for the client, once the task's end is on its way."""
        outcome = Outcome(state=OutcomeState.FAILED, failure=refusal.failure)
        try:
            self.outcomes.send(OutcomeMessage(task_id=task.id, provider=task.provider, outcome=outcome))
        except StoreUnavailable:
            _log.exception("refused upstream, but the task's end could not be queued")
        return ProviderRefused(refusal.failure, refusal.retry_after, task_id=task.id)


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    """A provider that can make it, and what it would be sent."""

    offer: Offer
    request: HttpRequest
    credential: Credential
    secrets: tuple[str, ...]
    """What it is sent and must not be heard of again: the operator's key, the MAC of the callback URL."""


def _as_sent(request: ImageRequest) -> str:
    """The request as a text that tells whether it is the same: in Python, 1 and 1.0 and True are."""
    return json.dumps(asdict(request), sort_keys=True)


def _rerouted(task: Task, failure: Failure, offer: Offer) -> Task:
    attempt = Attempt(provider=task.provider, failure=failure)
    return replace(task, provider=offer.provider, native_model=offer.native_model, attempts=(*task.attempts, attempt))


def _in_trouble(message: str) -> ProviderInTrouble:
    return ProviderInTrouble(Failure(code=ErrorCode.PROVIDER_UNAVAILABLE, message=message))
