"""There is a simulator of each provider, and it and the adapter understand each other: neither has been read alone."""

import json

import pytest
from starlette.routing import compile_path

from local.simulators import PROVIDERS as SIMULATORS
from local.simulators.provider import Order, State, Task
from pixhook.model import HttpRequest, HttpResponse, OutcomeState
from pixhook.providers import PROVIDERS
from pixhook.providers.base import Callback
from tests.contract.test_providers import REQUESTS, built, callback_url
from tests.support.samples import Sample


def test_every_provider_has_a_simulator() -> None:
    assert SIMULATORS.keys() == PROVIDERS.keys()


@pytest.mark.parametrize("sample", REQUESTS, ids=str)
def test_simulator_takes_the_golden_request(sample: Sample) -> None:
    request = built(sample)
    path, params = route(sample.provider, request)

    order = SIMULATORS[sample.provider].read_submit(path, params, json.loads(request.body))

    assert order.prompt == sample.request.get("prompt", "")
    assert list(order.references) == sample.request.get("images", [])
    if PROVIDERS[sample.provider].capabilities.callback is Callback.PER_REQUEST:
        assert order.callback_url == callback_url(sample.provider)


STATES: dict[State, OutcomeState] = {
    "pending": OutcomeState.RUNNING,
    "processing": OutcomeState.RUNNING,
    "success": OutcomeState.SUCCEEDED,
    "failed": OutcomeState.FAILED,
    "unknown": OutcomeState.UNKNOWN,
}


@pytest.mark.parametrize(("state", "expected"), STATES.items(), ids=STATES)
@pytest.mark.parametrize("name", SIMULATORS)
def test_adapter_understands_each_state(name: str, state: State, expected: OutcomeState) -> None:
    simulator, adapter = SIMULATORS[name], PROVIDERS[name]
    task = Task(
        id=simulator.new_task_id(),
        provider=name,
        order=Order(model="any", prompt="any"),
        created_ms=0,
        failure=simulator.sensitive_content,
        state=state,
        images=("https://images.example/a.png",),
    )
    read, callback = (json.dumps(document(task)).encode() for document in (simulator.status, simulator.callback))

    assert adapter.parse_status_read(HttpResponse(status=200, body=read)).state is expected
    if adapter.capabilities.callback is not Callback.NONE:
        assert adapter.parse_callback(callback).state is expected


def route(name: str, request: HttpRequest) -> tuple[str, dict[str, str]]:
    """The simulator's path that the request goes to, and what stands in it."""
    given = request.url.removeprefix(PROVIDERS[name].base_url)
    for path in SIMULATORS[name].submit_paths:
        if match := compile_path(path)[0].fullmatch(given):
            return path, match.groupdict()
    raise LookupError(given)
