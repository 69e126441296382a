"""What providers, image hosts and operators say is doubted too: the corpus of what comes from behind, case by case."""

import json
import re
from datetime import timedelta
from functools import reduce
from typing import Any

import httpx
import pytest

from pixhook.errors import InvalidRequest, NotFound
from pixhook.flows.finish import ODD_FOR
from pixhook.model import Outcome, OutcomeState, Status
from pixhook.providers import PROVIDERS
from tests.conftest import SETTINGS
from tests.flow.dialects import EVERYONE, WORDS, Dialect
from tests.flow.outside import callback_url_in
from tests.flow.test_attacks_from_outside import assert_log_is_sound, forget
from tests.flow.world import CALLBACK_KEY, PROVIDER_KEYS, World
from tests.support.attacks import ATTACKS, Case, Note, attacks, try_all
from tests.support.builders import ACCOUNT_ID, a_body
from tests.support.counted import COUNTED

PROMPT = "a prompt that is nobody's business"


def assert_nothing_stored(world: World) -> None:
    """No image has been begun to be stored since the last time."""
    keys = [key for call in world.calls if (key := str(call.params.get("Key", ""))).startswith("images/")]
    forget(world)
    assert keys == []


def test_result_that_is_no_image_ends_its_task_without_one(
    world: World, subtests: pytest.Subtests, record_property: Note
) -> None:
    def check(case: Case) -> None:
        task = world.accepted()
        content = (ATTACKS / "images" / case["name"]).read_bytes()
        url = world.image_hosts.serve(f"https://images.example/{case['name']}", content)
        world.put_outcome(task, Outcome(state=OutcomeState.SUCCEEDED, ref=task.ref, images=(url,)))
        world.finish_all()
        if "stored" in case:
            [image] = world.task(task.id).images
            assert [image.content_type, image.width, image.height] == case["stored"]
            stored, content_type = world.stored()[image.key]
            assert (stored, content_type) == (content, image.content_type)
            forget(world)
            return
        world.time_passes(beyond=ODD_FOR + timedelta(seconds=1))
        assert world.finish_all() == []
        assert world.task(task.id).status is Status.FAILED
        assert_nothing_stored(world)

    try_all("images", check, subtests, record_property, every=4)  # each is tried in tests/unit
    assert_log_is_sound(world)


def test_data_uri_that_is_no_image_ends_its_task_without_one(
    world: World, subtests: pytest.Subtests, record_property: Note
) -> None:
    def check(case: Case) -> None:
        task = world.accepted(provider="defapi")
        document = {"task_id": task.ref, "status": "success", "result": [{"image": case["uri"]}]}
        assert world.callback(world.upstream.callback_url, document).status == 200
        assert world.finish_all() == []
        assert world.task(task.id).status is Status.FAILED
        assert world.image_hosts.requests == []
        assert_nothing_stored(world)

    try_all("data-uris", check, subtests, record_property)
    assert_log_is_sound(world)


def test_no_operators_mistake_does_anything(world: World, subtests: pytest.Subtests, record_property: Note) -> None:
    def check(case: Case) -> None:
        event = with_account(case["event"])
        with pytest.raises(NotFound if case.get("is_not_found") else InvalidRequest):
            world.invoke("admin", event)
        assert world.items("ACCOUNTS_TABLE") == before

    before = world.items("ACCOUNTS_TABLE")
    try_all("admin", check, subtests, record_property)


def with_account(value: Any) -> Any:
    """The value with the account's id where it is meant."""
    match value:
        case str():
            return value.replace("{account}", ACCOUNT_ID)
        case list():
            return [with_account(item) for item in value]
        case dict():
            return {name: with_account(item) for name, item in value.items()}
        case _:
            return value


# Secrets


@pytest.mark.parametrize("case", attacks("provider-words"), ids=lambda case: str(case["name"]))
def test_what_a_provider_repeats_of_our_secrets_goes_no_further(
    world: World, case: Case, record_property: Note
) -> None:
    record_property(COUNTED, len(PROVIDER_KEYS))
    for provider, key in PROVIDER_KEYS.items():
        macs: list[str] = []

        def answer(request: httpx.Request, key: str = key, macs: list[str] = macs) -> httpx.Response:
            asked = request.content.decode()
            macs[:] = re.findall(r"/callbacks/[^/]+/[^/]+/([\w-]+)", asked)
            url = callback_url_in(asked) if macs else ""
            parts = {
                "{key}": key,
                "{url}": url,
                "{url as PHP writes it}": url.replace("/", "\\/"),
                "{mac}": "".join(macs),
                "{request}": json.dumps(asked)[1:-1],
            }
            body = reduce(lambda text, part: text.replace(part, parts[part]), parts, str(case["body"]))
            return httpx.Response(case["status"], content=body.encode())

        world.upstream.answer = answer
        reply = world.submit(a_body(provider=provider))
        world.finish_all()

        assert len(world.upstream.requests) == 1
        world.upstream.requests.clear()
        tasks = [world.get(f"/images/{task.id}").document for task in world.tasks()]
        seen = json.dumps([reply.body, tasks, world.log(), world.events(), world.items("TASKS_TABLE")])
        assert [secret for secret in (key, *macs) if secret in seen] == []


@pytest.mark.parametrize("provider", [name for name in PROVIDER_KEYS if PROVIDERS[name].polling])
def test_what_a_provider_repeats_of_its_key_in_a_status_goes_no_further(world: World, provider: str) -> None:
    task = world.accepted(provider=provider)
    key = PROVIDER_KEYS[provider]
    status = json.dumps(EVERYONE[provider].status("failed")).replace(WORDS, f"no more for {key}")
    assert key in status
    world.upstream.answer = lambda _: httpx.Response(200, content=status.encode())

    world.invoke("poll", world.pollers()[task.id])
    world.finish_all()

    assert world.get(f"/images/{task.id}").document["status"] == "failed"
    seen = json.dumps([world.get(f"/images/{task.id}").body, world.log(), world.events(), world.items("TASKS_TABLE")])
    assert key not in seen
    assert "no more for ***" in seen


def test_what_a_callback_repeats_of_its_url_goes_no_further(world: World, dialect: Dialect) -> None:
    task = world.accepted(provider=dialect.name)
    url = world.upstream.callback_url
    world.callback(url, json.dumps(dialect.failed()).replace(WORDS, f"could not call {url}"))

    assert world.finish_all() == []

    seen = json.dumps([world.get(f"/images/{task.id}").body, world.log(), world.events(), world.items("TASKS_TABLE")])
    assert url.rpartition("/")[2] not in seen
    assert f"/callbacks/{dialect.name}/{task.id}/***" in seen


# The log


def test_nothing_that_is_sent_is_a_line_of_the_log_or_a_part_of_it_that_nobody_may_read(
    world: World, subtests: pytest.Subtests, record_property: Note
) -> None:
    def check(case: Case) -> None:
        text = case["text"]
        as_json = json.dumps(text)
        before = len(world.log())
        world.submit(a_body(prompt=f"{PROMPT} {text}", metadata={PROMPT: text}))
        world.submit(a_body(prompt=f"{PROMPT} {text}", model=text))
        world.submit(a_body(prompt=f"{PROMPT} {text}", provider=text))
        world.submit(a_body(prompt=f"{PROMPT} {text}", resolution=text))
        world.submit(a_body(prompt=[f"{PROMPT} {text}"]))
        world.submit(a_body(prompt=f"{PROMPT} {text}", **{"x" + text: 1}))
        world.submit(f'{{"prompt": "{PROMPT}", {as_json}')
        world.submit(a_body(prompt=PROMPT), key=text)
        world.submit(a_body(prompt=PROMPT), content_type=text)
        lines = world.log()[before:]
        assert len(lines) >= 9
        assert PROMPT not in json.dumps(lines)

    try_all("logged", check, subtests, record_property)
    text = world._log.getvalue()
    assert text.isascii()
    assert all(line.isprintable() for line in text.split("\n"))
    assert CALLBACK_KEY not in text
    assert SETTINGS["PUBLIC_BASE_URL"] not in text
