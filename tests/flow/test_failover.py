"""Another provider is asked after a refusal that is not the request's fault, and after nothing else."""

from collections.abc import Callable

import httpx
import pytest
from botocore.exceptions import ReadTimeoutError

from pixhook.aws.breakers import CONFIG
from pixhook.catalogue import MODELS
from pixhook.model import ErrorCode, Status
from tests.conftest import SETTINGS
from tests.flow.dialects import EVERYONE
from tests.flow.test_submit import UNREACHED, raising
from tests.flow.world import World
from tests.support.builders import a_body, a_picture

FIRST, SECOND, *_ = [offer.provider for offer in MODELS["nano-banana-2"].offers]
BODY = a_body()

type Answer = Callable[[httpx.Request], httpx.Response]


def only(name: str, answer: Answer) -> Answer:
    """Has this provider answer so; all others accept."""

    def answered(request: httpx.Request) -> httpx.Response:
        asked = next(dialect for dialect in EVERYONE.values() if dialect.host == request.url.host)
        return answer(request) if asked.name == name else httpx.Response(200, json=asked.accepted())

    return answered


def refusing(status: int) -> Answer:
    return lambda _: httpx.Response(status, json={})


def asked(world: World) -> list[str]:
    """Whom the requests went to, in order."""
    return [next(d.name for d in EVERYONE.values() if d.host == r.url.host) for r in world.upstream.requests]


TROUBLES = {
    **{
        f"HTTP {status}": (refusing(status), code)
        for status, code in {
            401: ErrorCode.PROVIDER_ACCOUNT,
            402: ErrorCode.PROVIDER_ACCOUNT,
            403: ErrorCode.PROVIDER_ACCOUNT,
            429: ErrorCode.RATE_LIMITED,
            500: ErrorCode.PROVIDER_UNAVAILABLE,
            503: ErrorCode.PROVIDER_UNAVAILABLE,
        }.items()
    },
    **{kind.__name__: (raising(kind), ErrorCode.PROVIDER_UNAVAILABLE) for kind in UNREACHED},
}


@pytest.mark.parametrize(("answer", "code"), TROUBLES.values(), ids=TROUBLES)
def test_next_provider_takes_what_the_first_is_in_no_state_to_take(
    world: World, answer: Answer, code: ErrorCode
) -> None:
    world.upstream.answer = only(FIRST, answer)

    submitted = world.submit(BODY)

    assert (submitted.status, submitted.document["provider"]) == (202, SECOND)
    assert asked(world) == [FIRST, SECOND]
    [attempt] = submitted.document["attempts"]
    assert (attempt["provider"], attempt["error"]["code"]) == (FIRST, code)
    [task] = world.tasks()
    assert (task.status, task.provider, task.ref) == (Status.PROCESSING, SECOND, EVERYONE[SECOND].ref)
    assert world.get(f"/images/{task.id}").document == submitted.document


def test_task_that_went_elsewhere_ends_by_the_callback_of_whoever_took_it(world: World) -> None:
    world.upstream.answer = only(FIRST, refusing(503))
    task_id = world.submit(BODY).document["id"]
    url = world.image_hosts.serve("https://images.example/a.png", a_picture())

    world.callback(world.upstream.callback_url, EVERYONE[SECOND].succeeded(url))

    assert world.finish_all() == []
    assert world.task(task_id).status is Status.COMPLETED
    assert [event["detail"]["provider"] for event in world.events()] == [SECOND]


def test_late_callback_of_the_provider_that_refused_changes_nothing(world: World) -> None:
    callbacks: list[str] = []

    def refuse(_: httpx.Request) -> httpx.Response:
        callbacks.append(world.upstream.callback_url)
        return httpx.Response(503)

    world.upstream.answer = only(FIRST, refuse)
    task_id = world.submit(BODY).document["id"]

    assert world.callback(callbacks[0], EVERYONE[FIRST].failed()).status == 200
    assert world.finish_all() == []
    assert world.task(task_id).status is Status.PROCESSING


@pytest.mark.parametrize("status", [400, 404, 422])
def test_refusal_of_the_request_is_the_clients_answer(world: World, status: int) -> None:
    world.upstream.answer = only(FIRST, refusing(status))
    assert world.submit(BODY).status == 422
    assert asked(world) == [FIRST]


@pytest.mark.parametrize(
    "answer",
    [refusing(504), refusing(408), raising(httpx.ReadTimeout), raising(httpx.ReadError)],
    ids=["gateway", "time-out", "silence", "reset"],
)
def test_unclear_answer_is_nobody_elses_chance(world: World, answer: Answer) -> None:
    world.upstream.answer = only(FIRST, answer)
    submitted = world.submit(BODY)
    assert (submitted.status, submitted.document["provider"]) == (202, FIRST)
    assert asked(world) == [FIRST]


def test_pinned_provider_is_the_only_one_asked(world: World) -> None:
    world.upstream.answer = only(FIRST, refusing(503))
    assert world.submit(a_body(model="nano-banana-2", provider=FIRST)).status == 503
    assert asked(world) == [FIRST]


def test_only_who_can_express_the_request_is_asked(world: World) -> None:
    able = [offer.provider for offer in MODELS["nano-banana-2"].offers if offer.web_search]
    world.upstream.answer = refusing(503)
    assert world.submit(a_body(web_search=True)).status == 503
    assert asked(world) == able


def test_last_refusal_is_the_answer_where_nobody_takes_it(world: World) -> None:
    world.upstream.answer = refusing(503)
    everybody = [offer.provider for offer in MODELS["nano-banana-2"].offers]

    submitted = world.submit(BODY)

    assert (submitted.status, submitted.document["code"]) == (503, ErrorCode.PROVIDER_UNAVAILABLE)
    assert asked(world) == everybody
    assert world.finish_all() == []
    [task] = world.tasks()
    assert (task.status, task.provider) == (Status.FAILED, everybody[-1])
    assert [attempt.provider for attempt in task.attempts] == everybody[:-1]
    assert len(world.events()) == 1


def test_nobody_is_asked_who_could_not_be_noted(world: World) -> None:
    """Whoever is asked calls back, and its callback would be a stranger's."""
    world.upstream.answer = only(FIRST, refusing(503))
    with world.refusing("UpdateItem", of="TASKS_TABLE"):
        assert world.submit(BODY).status == 503

    assert asked(world) == [FIRST]
    assert world.finish_all() == []
    assert [task.status for task in world.tasks()] == [Status.FAILED]


def test_next_provider_that_was_noted_without_an_answer_is_asked(world: World) -> None:
    world.upstream.answer = only(FIRST, refusing(503))
    lost: list[str] = []

    def lose_the_reroute(operation: str) -> None:
        if operation == "UpdateItem" and not lost and SETTINGS["TASKS_TABLE"] in world.calls[-1].params.values():
            lost.append(operation)
            raise ReadTimeoutError(endpoint_url="https://aws.example")

    with world.disturbed(lambda _: None, lose_the_reroute):
        answer = world.submit(BODY)

    assert (answer.status, answer.document["provider"]) == (202, SECOND)
    assert asked(world) == [FIRST, SECOND]


def test_provider_that_fails_again_and_again_is_left_out_for_a_while(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.upstream.answer = only(FIRST, refusing(503))
    for _ in range(CONFIG.failure_threshold):
        assert world.submit(BODY).status == 202
    world.upstream.requests.clear()

    left_out = world.submit(BODY).document

    assert asked(world) == [SECOND]
    assert [attempt["provider"] for attempt in left_out["attempts"]] == [FIRST]

    monkeypatch.setattr(CONFIG, "recovery_timeout", 0)
    world.upstream.requests.clear()
    world.upstream.answer = only(FIRST, lambda _: httpx.Response(200, json=EVERYONE[FIRST].accepted()))
    for _ in range(2):  # the probe, and then as ever
        assert world.submit(BODY).document["provider"] == FIRST
    assert asked(world) == [FIRST, FIRST]


def test_refusals_of_requests_do_not_open_a_circuit(world: World) -> None:
    world.upstream.answer = only(FIRST, refusing(400))
    for _ in range(2 * CONFIG.failure_threshold):
        assert world.submit(BODY).status == 422
    assert asked(world) == [FIRST] * 2 * CONFIG.failure_threshold


def test_circuit_that_cannot_be_read_is_a_closed_one(world: World) -> None:
    def lose_the_breakers(operation: str) -> None:
        if operation == "GetItem":
            raise ConnectionError

    with world.disturbed(lose_the_breakers):
        assert world.submit(BODY).status == 202


def test_our_own_lack_of_time_is_not_held_against_a_provider(world: World) -> None:
    world.seconds_left = 6
    for _ in range(CONFIG.failure_threshold):
        assert world.submit(BODY).status == 503
    assert asked(world) == []

    world.seconds_left = 28
    assert world.submit(BODY).document["provider"] == FIRST
