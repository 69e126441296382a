"""GET /images: an account's tasks, the latest first, each once, and nobody else's."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pixhook.model import Status
from tests.flow.world import World
from tests.support.builders import ACCOUNT_ID, a_request, a_task

BEGINNING = datetime(2026, 3, 1, 12, tzinfo=UTC)


def put(world: World, number: int, **changes: Any) -> str:
    """A task of so many seconds after the beginning."""
    created_at = BEGINNING + timedelta(seconds=number)
    task = a_task(
        **{"id": f"tsk_{number:026}", "status": Status.QUEUED, "created_at": created_at, "updated_at": created_at}
        | changes
    )
    world.put_task(task)
    return task.id


def ids(world: World, query: str = "", **how: Any) -> list[str]:
    return [task["id"] for task in world.get(f"/images{query}", **how).document["images"]]


def all_pages(world: World, query: str) -> list[list[str]]:
    """The ids of each page in turn."""
    pages: list[list[str]] = []
    cursor = ""
    while True:
        page = world.get(f"/images?{query}{cursor}").document
        pages.append([task["id"] for task in page["images"]])
        if page["next_cursor"] is None:
            return pages
        cursor = f"&cursor={page['next_cursor']}"


def test_latest_comes_first_as_it_would_come_alone(world: World) -> None:
    made = [put(world, number) for number in range(3)]

    listed = world.get("/images").document

    assert [task["id"] for task in listed["images"]] == made[::-1]
    assert listed["next_cursor"] is None
    assert listed["images"][0] == world.get(f"/images/{made[-1]}").document


def test_account_without_tasks_has_an_empty_list(world: World) -> None:
    assert world.get("/images").document == {"images": [], "next_cursor": None}


def test_only_ones_own_tasks_are_there(world: World) -> None:
    world.open_account(id="acc_2")
    put(world, 1, account_id="acc_2")
    own = put(world, 2)

    assert ids(world) == [own]
    cursor = world.get("/images?limit=1", account_id="acc_2").document["next_cursor"]
    assert ids(world, f"?cursor={cursor}") == []  # a place in another's list is one in one's own


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 50])
def test_pages_have_every_task_once_while_new_ones_come(world: World, limit: int) -> None:
    made = [put(world, number // 3, id=f"tsk_{number:026}") for number in range(11)]  # three at each moment

    first = world.get(f"/images?limit={limit}").document
    put(world, 100)
    rest = all_pages(world, f"limit={limit}&cursor={first['next_cursor']}") if first["next_cursor"] else []

    found = [task["id"] for task in first["images"]] + [task_id for page in rest for task_id in page]
    assert sorted(found) == made
    assert all(len(page) <= limit for page in rest)


FILTERS: list[tuple[str, set[int]]] = [
    ("status=completed", {1}),
    ("status=queued", {0, 2, 3, 4}),
    ("model=nano-banana", {2}),
    ("provider=defapi", {3}),
    ("metadata.order=7", {4}),
    ("metadata.paid=true", {4}),
    ("metadata.shop=a%20b", {4}),
    ("metadata.order=8", set()),
    ("metadata.nothing=7", set()),
    ("status=queued&model=nano-banana-2&provider=apixo&metadata.order=7", {4}),
    ("status=completed&provider=defapi", set()),
    ("created_after=2026-03-01T12:00:03Z", {3, 4}),
    ("created_before=2026-03-01T12:00:03Z", {0, 1, 2}),
    ("created_after=2026-03-01T13:00:01%2B01:00&created_before=2026-03-01T12:00:03Z", {1, 2}),
]


@pytest.mark.parametrize(("query", "expected"), FILTERS)
@pytest.mark.parametrize("limit", [1, 50])
def test_filters_leave_what_fits(world: World, query: str, expected: set[int], limit: int) -> None:
    made = [
        put(world, 0),
        put(world, 1),
        put(world, 2, request=a_request(model="nano-banana")),
        put(world, 3, provider="defapi"),
        put(world, 4, request=a_request(metadata={"order": 7, "paid": True, "shop": "a b"})),
    ]
    completed = world.task(made[1])
    world.table.move(completed, Status.STORING, BEGINNING)
    world.table.end(completed, Status.COMPLETED, BEGINNING)

    pages = all_pages(world, f"limit={limit}&{query}")

    assert {task_id for page in pages for task_id in page} == {made[number] for number in expected}


def test_few_that_fit_among_many_are_found(world: World) -> None:
    rare = put(world, 0, provider="defapi")
    for number in range(1, 130):
        put(world, number)

    assert [task_id for page in all_pages(world, "limit=2&provider=defapi") for task_id in page] == [rare]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=all", "limit"),
        ("cursor=!", "cursor"),
        ("cursor=%FF", "cursor"),
        ("status=done", "status"),
        ("created_after=yesterday", "created_after"),
        ("created_before=2026-03-01T12:00:00", "created_before"),
        ("created_before=0001-01-01T00:00:00Z", "created_before"),
        ("created_after=9999-12-31T23:59:59-10:00", "created_after"),
        ("metadata=7", "metadata"),
        ("sort=asc", "sort"),
    ],
)
def test_parameter_that_is_wrong_is_named(world: World, query: str, field: str) -> None:
    answer = world.get(f"/images?{query}")
    assert (answer.status, answer.document["code"], answer.document["field"]) == (422, "invalid_request", field)


@pytest.mark.parametrize("cursor", ["AAAA", "eA", "eCB5"])
def test_cursor_of_nobodys_making_is_refused(world: World, cursor: str) -> None:
    put(world, 1)
    answer = world.get(f"/images?cursor={cursor}")
    assert (answer.status, answer.document["field"]) == (422, "cursor")


def test_cursor_of_another_search_is_refused(world: World) -> None:
    for number in range(3):
        put(world, number)
    cursor = world.get("/images?limit=1").document["next_cursor"]
    for query in ("created_before=2026-03-01T12:00:02Z", "created_after=2026-03-01T12:00:03Z"):
        answer = world.get(f"/images?{query}&cursor={cursor}")
        assert (answer.status, answer.document["field"]) == (422, "cursor")


@pytest.mark.parametrize(("after", "before"), [("03", "03"), ("04", "02")])
def test_time_in_which_nothing_can_be_is_empty(world: World, after: str, before: str) -> None:
    put(world, 3)
    query = f"created_after=2026-03-01T12:00:{after}Z&created_before=2026-03-01T12:00:{before}Z"
    assert world.get(f"/images?{query}").document == {"images": [], "next_cursor": None}


def test_range_is_asked_for_with_a_bound_that_no_page_ends_at(world: World) -> None:
    """DynamoDB is not sure to go on from a key that is the range's own bound."""
    put(world, 1)
    world.get("/images?created_after=2026-03-01T12:00:01Z&limit=1")
    [call] = [call for call in world.calls if call.operation == "Query"]
    assert call.params["ExpressionAttributeValues"][":first"] == {"S": "2026-03-01T12:00:00.999+00:00"}


def test_page_is_no_larger_than_lambda_can_answer(world: World) -> None:
    made = [
        put(world, number, request=a_request(prompt="\N{CJK UNIFIED IDEOGRAPH-72D0}" * 20_000)) for number in range(40)
    ]

    pages = all_pages(world, "limit=200")

    assert len(pages) > 1
    assert [task_id for page in pages for task_id in page] == made[::-1]
    assert len(json.dumps(world.get("/images?limit=200").body)) < 6_000_000


def test_list_that_cannot_be_read_now_may_be_asked_for_again(world: World) -> None:
    with world.refusing("Query"):
        answer = world.get("/images")
    assert (answer.status, answer.document["retryable"]) == (503, True)
    assert ACCOUNT_ID not in answer.body
