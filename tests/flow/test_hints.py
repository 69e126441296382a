"""A callback by a URL that a whole account shares is a hint: it is believed once the provider bears it out."""

import httpx
import pytest

from pixhook.callbacks import ACCOUNT, callback_url
from pixhook.errors import NotConfirmed, TaskUnknown
from pixhook.flows.finish import CONFIRM_ATTEMPTS
from pixhook.model import Status, Task
from pixhook.providers.base import Callback
from tests.conftest import SETTINGS
from tests.flow.dialects import Dialect, dialects
from tests.flow.world import CALLBACK_KEY, World
from tests.support.builders import a_body, a_picture

HINTING = dialects(Callback.PER_ACCOUNT)
IMAGE_URL = "https://images.example/a.png"
FORGED_URL = "https://images.example/forged.png"


@pytest.fixture(params=HINTING)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    """Each provider with one URL for all tasks, in turn."""
    return HINTING[request.param]


@pytest.fixture
def task(world: World, dialect: Dialect) -> Task:
    """A task that it has accepted."""
    return world.accepted(provider=dialect.name)


@pytest.fixture
def url(world: World, dialect: Dialect) -> str:
    """What the operator sets at the provider."""
    return str(world.invoke("admin", {"action": "callback_url", "provider": dialect.name})["callback_url"])


def reads(world: World) -> int:
    """How often the provider was asked for a status."""
    return sum(request.method == "GET" for request in world.upstream.requests)


def bear_out(world: World, dialect: Dialect) -> None:
    """Has the provider say, when it is asked, that the task has succeeded."""
    image = world.image_hosts.serve(IMAGE_URL, a_picture())
    world.upstream.answer = lambda _: httpx.Response(200, json=dialect.status("success", image))


def test_hint_that_is_borne_out_completes_the_task_after_one_read(
    world: World, task: Task, dialect: Dialect, url: str
) -> None:
    bear_out(world, dialect)

    assert world.callback(url, dialect.succeeded(FORGED_URL)).status == 200
    assert world.finish_all() == []

    assert world.task(task.id).status is Status.COMPLETED
    assert reads(world) == 1
    assert len(world.events()) == 1


def test_hint_of_a_failure_is_borne_out_too(world: World, task: Task, dialect: Dialect, url: str) -> None:
    world.upstream.answer = lambda _: httpx.Response(200, json=dialect.status("failed"))

    world.callback(url, dialect.failed())

    assert world.finish_all() == []
    assert world.task(task.id).status is Status.FAILED
    assert reads(world) == 1


def test_forged_hint_changes_nothing_and_is_forgotten(world: World, task: Task, dialect: Dialect, url: str) -> None:
    world.upstream.answer = lambda _: httpx.Response(200, json=dialect.status("processing"))
    world.callback(url, dialect.succeeded(FORGED_URL))

    for _ in range(CONFIRM_ATTEMPTS - 1):
        assert [type(error) for error in world.finish_all()] == [NotConfirmed]
        world.time_passes()
    assert world.finish_all() == []

    assert world.is_quiet()
    assert world.task(task.id) == task
    assert world.events() == []


def test_provider_that_cannot_be_asked_is_asked_again(world: World, task: Task, dialect: Dialect, url: str) -> None:
    world.upstream.answer = lambda _: httpx.Response(503)
    world.callback(url, dialect.succeeded(IMAGE_URL))
    for _ in range(CONFIRM_ATTEMPTS + 1):
        assert [type(error) for error in world.finish_all()] == [NotConfirmed]
        world.time_passes()

    bear_out(world, dialect)
    assert world.finish_all() == []
    assert world.task(task.id).status is Status.COMPLETED


def test_hint_that_comes_before_the_task_is_known_waits_for_it(world: World, dialect: Dialect, url: str) -> None:
    def call_back_first(_: httpx.Request) -> httpx.Response:
        assert world.callback(url, dialect.succeeded(IMAGE_URL)).status == 200
        assert [type(error) for error in world.finish_all()] == [TaskUnknown]
        return httpx.Response(200, json=dialect.accepted())

    world.upstream.answer = call_back_first
    answer = world.submit(a_body(provider=dialect.name))
    bear_out(world, dialect)
    world.time_passes()

    assert world.finish_all() == []
    assert world.task(answer.document["id"]).status is Status.COMPLETED


def test_hint_of_a_task_that_has_ended_is_not_asked_about(world: World, task: Task, dialect: Dialect, url: str) -> None:
    bear_out(world, dialect)
    for body in (dialect.succeeded(IMAGE_URL), dialect.failed(), dialect.succeeded(FORGED_URL)):
        world.callback(url, body)
        assert world.finish_all() == []

    assert world.task(task.id).status is Status.COMPLETED
    assert reads(world) == 1
    assert len(world.events()) == 1


def test_hint_of_nobodys_task_stays_on_the_queue(world: World, dialect: Dialect, url: str) -> None:
    """Until it goes to the dead letters, whose alarm tells the operator."""
    world.callback(url, dialect.succeeded(IMAGE_URL))
    assert [type(error) for error in world.finish_all()] == [TaskUnknown]
    assert not world.is_quiet()
    assert reads(world) == 0


def test_url_of_the_account_is_good_under_both_keys(world: World, dialect: Dialect, url: str) -> None:
    assert url == callback_url(SETTINGS["PUBLIC_BASE_URL"], dialect.name, ACCOUNT, [CALLBACK_KEY])
    world.store_secret("CALLBACK_KEYS_SECRET", {"primary": "new", "secondary": CALLBACK_KEY})
    assert world.callback(url, dialect.failed()).status == 200
    world.store_secret("CALLBACK_KEYS_SECRET", {"primary": "new"})
    assert world.callback(url, dialect.failed()).status == 401
