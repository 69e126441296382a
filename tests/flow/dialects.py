"""What each provider says, in its own words: as its simulator says it."""

import json
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from local.offers import models_of
from local.simulators import PROVIDERS as SIMULATORS
from local.simulators.provider import Document, Failure, Order, Provider, Refused, State, Task
from pixhook.errors import ProviderRefused
from pixhook.model import ErrorCode, HttpResponse, Outcome, OutcomeState
from pixhook.providers import PROVIDERS
from pixhook.providers.base import Callback

WORDS = "their own words"


class Dialect:
    """One provider's. That it is understood rightly is the contract suite's to show."""

    def __init__(self, simulator: Provider) -> None:
        self._simulator = simulator
        self._adapter = PROVIDERS[simulator.name]
        self.name = simulator.name
        self.host = urlsplit(self._adapter.base_url).hostname
        self.model = models_of(simulator.name)[0]
        self.ref = simulator.new_task_id()
        """Its id of whatever task is spoken of."""
        self.unfinished = tuple(word for word, state in self._adapter.states.items() if state is OutcomeState.RUNNING)
        """Its words for a task that goes on."""
        failure = Failure(simulator.sensitive_content.code, WORDS)
        order = Order(model="any", prompt="any")
        self._task = Task(self.ref, simulator.name, order, created_ms=0, completed_ms=1, failure=failure)

    def accepted(self) -> Document:
        """The answer to a submit."""
        return self._simulator.accepted(self._task)

    def without_id(self) -> Document:
        """An answer to a submit that says yes, but not to what."""
        return self._simulator.accepted(replace(self._task, id=""))

    def refused(self, status: int) -> Document:
        """The answer to a submit that comes with this HTTP status."""
        return self._simulator.refusal(Refused(status, WORDS), reading=False)

    def succeeded(self, *images: str) -> Document:
        """The callback of a task with these images."""
        return self._simulator.callback(replace(self._task, state="success", images=images))

    def failed(self) -> Document:
        """The callback of a task that its filter stopped."""
        return self._simulator.callback(replace(self._task, state="failed"))

    def status(self, state: State, *images: str) -> Document:
        """The answer to a status read."""
        return self._simulator.status(replace(self._task, state=state, images=images))

    def going_on(self, word: str) -> Document:
        """The callback of a task in a state that is no end, by the provider's word for it or by any other."""
        text = json.dumps(self._simulator.callback(replace(self._task, state="processing")))
        for known in self.unfinished:
            text = text.replace(json.dumps(known), json.dumps(word))
        return dict(json.loads(text))

    def outcome(self, document: Document) -> Outcome:
        """What a callback comes to."""
        return self._adapter.parse_callback(json.dumps(document).encode())

    def refusal_code(self, status: int, document: Document) -> ErrorCode:
        """What a refused submit comes to."""
        try:
            self._adapter.parse_submit(HttpResponse(status=status, body=json.dumps(document).encode()))
        except ProviderRefused as refusal:
            return refusal.failure.code
        raise AssertionError(document)


EVERYONE: Mapping[str, Dialect] = {name: Dialect(simulator) for name, simulator in SIMULATORS.items()}


def dialects(callback: Callback) -> dict[str, Dialect]:
    """Those of the providers that call back in this way."""
    return {name: it for name, it in EVERYONE.items() if PROVIDERS[name].capabilities.callback is callback}


DIALECTS: Mapping[str, Dialect] = dialects(Callback.PER_REQUEST)
