"""Each account has what it has paid for and no more, however many requests come at once."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import httpx
import pytest

from local.waiting import wait_until
from pixhook.catalogue import MODELS
from tests.e2e.conftest import Gateway

AT_ONCE = 20
"""Requests under way at a time: as many processes as two cores start in some seconds."""

RACES = 200

MODEL = "nano-banana-2"
PRICE = MODELS[MODEL].credits


class Client:
    """A client with an account of its own."""

    def __init__(self, gateway: Gateway, *, balance: int, **overrides: int) -> None:
        admin = gateway.info.invoke_admin
        self.account_id = admin(action="create_account", name="another")["account_id"]
        admin(action="set_plan", account_id=self.account_id, plan="free", overrides=overrides)
        if balance:
            admin(action="grant_credits", account_id=self.account_id, credits=balance)
        made = admin(action="create_key", account_id=self.account_id)
        self.key, self.key_id = made["key"], made["key_id"]
        self.api = gateway.api_with(self.key)

    def all_at_once(self, number: int, **request: Any) -> list[httpx.Response]:
        """What so many requests with these arguments are answered."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(lambda _: self.api.post("/images", **request), range(number)))

    def account(self) -> dict[str, Any]:
        return dict(self.api.get("/account").raise_for_status().json())

    def task(self, task_id: str) -> dict[str, Any]:
        return dict(self.api.get(f"/images/{task_id}").raise_for_status().json())

    def movements(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        cursor: dict[str, str] = {}
        while True:
            page = self.api.get("/account/movements", params=cursor).raise_for_status().json()
            found += page["movements"]
            if page["next_cursor"] is None:
                return found
            cursor = {"cursor": page["next_cursor"]}


@pytest.fixture
def clients(gateway: Gateway) -> Iterator[Any]:
    """Makes clients."""
    made: list[Client] = []

    def make(**how: int) -> Client:
        made.append(Client(gateway, **how))
        return made[-1]

    yield make
    for client in made:
        client.api.close()


def test_what_is_spent_is_what_was_there(gateway: Gateway, clients: Any, prompt: str) -> None:
    gateway.misbehave(prompt, callback={"omit": True})
    client = clients(balance=50 * PRICE, requests=1000, tasks_in_flight=1000)

    answers = client.all_at_once(200, json={"model": MODEL, "prompt": prompt})

    assert Counter(answer.status_code for answer in answers) == {202: 50, 402: 150}
    assert len(gateway.submits(prompt)) == 50
    account = client.account()
    assert (account["balance"], account["usage"]["tasks_in_flight"]) == (0, 50)
    refused = next(answer.json() for answer in answers if answer.status_code == 402)
    assert (refused["code"], refused["required"]) == ("out_of_credits", PRICE)
    movements = client.movements()
    assert Counter(movement["kind"] for movement in movements) == {"grant": 1, "reserve": 50}
    assert sum(movement["credits"] for movement in movements) == 0


def test_one_key_is_one_task_however_often_and_fast_it_comes(gateway: Gateway, clients: Any, prompt: str) -> None:
    gateway.misbehave(prompt, submit={"delay_s": 1}, callback={"omit": True})
    client = clients(balance=10 * PRICE, requests=1000)

    answers = client.all_at_once(
        50, json={"model": MODEL, "prompt": prompt}, headers={"idempotency-key": f"order {prompt}".replace(" ", "-")}
    )

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.text for answer in answers}) == 1
    assert [answer.headers.get("idempotent-replayed") for answer in answers].count(None) == 1
    assert len(gateway.submits(prompt)) == 1
    assert client.account()["balance"] == 9 * PRICE


def test_window_admits_no_more_than_its_limit(clients: Any) -> None:
    limit = 15
    client = clients(balance=0, requests=limit)

    answers = client.all_at_once(60, json={"model": "no-such-model", "prompt": "a fox"})

    windows: dict[str, list[int]] = defaultdict(list)
    for answer in answers:
        assert answer.headers["x-ratelimit-limit"] == str(limit)
        windows[answer.headers["x-ratelimit-reset"]].append(answer.status_code)
        if answer.status_code == 429:
            assert answer.headers["x-ratelimit-remaining"] == "0"
            assert 1 <= int(answer.headers["retry-after"]) <= 60
    for statuses in windows.values():
        assert Counter(statuses) == Counter({422: min(limit, len(statuses)), 429: max(0, len(statuses) - limit)})


def test_end_of_a_task_settles_or_gives_back(gateway: Gateway, clients: Any, prompt: str) -> None:
    gateway.misbehave(f"{prompt} no", result={"fail": {"code": "", "message": "Not this one"}})
    client = clients(balance=10 * PRICE)
    for words in (prompt, f"{prompt} no"):
        answer = client.api.post("/images", json={"model": MODEL, "prompt": words})
        assert answer.status_code == 202

    assert wait_until(lambda: client.account()["usage"]["tasks_in_flight"] == 0, seconds=60)
    assert client.account()["balance"] == 9 * PRICE
    kinds = Counter(movement["kind"] for movement in client.movements())
    assert kinds == {"grant": 1, "reserve": 2, "settle": 1, "refund": 1}


def test_cancel_races_the_provider_and_one_of_them_has_the_end(gateway: Gateway, clients: Any, prompt: str) -> None:
    gateway.misbehave(prompt, callback={"deliveries": [{"delay_s": 0.05}]})
    client = clients(balance=RACES * PRICE, requests=1000, tasks_in_flight=1000)

    def ask_and_cancel(number: int) -> tuple[str, int]:
        task = (
            client.api.post("/images", json={"model": MODEL, "prompt": f"{prompt} {number}"}).raise_for_status().json()
        )
        # Somewhere between at once and when it has ended.
        wait_until(lambda: bool(client.task(task["id"])["ended_at"]), seconds=0.04 * (number % 12), every=0.01)
        return task["id"], client.api.post(f"/images/{task['id']}/cancel").status_code

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask_and_cancel, range(RACES)))

    assert wait_until(lambda: client.account()["usage"]["tasks_in_flight"] == 0, seconds=60)
    ends = Counter(gateway_task["status"] for gateway_task in (client.task(task_id) for task_id, _ in answers))
    assert set(ends) == {"canceled", "completed"}
    for task_id, status in answers:
        assert (client.task(task_id)["status"] == "canceled") is (status in {200, 202})
        assert len(gateway.events(task_id)) == 1
    assert client.account()["balance"] == (RACES - ends["completed"]) * PRICE


def test_key_that_is_revoked_while_it_is_used_ends_within_a_minute(gateway: Gateway, clients: Any) -> None:
    client = clients(balance=0)
    assert client.api.get("/account").status_code == 200

    gateway.info.invoke_admin(action="revoke_key", account_id=client.account_id, key_id=client.key_id)

    assert wait_until(lambda: client.api.get("/account").status_code == 401, seconds=75, every=1)


def test_key_does_only_what_it_was_made_for(gateway: Gateway, clients: Any) -> None:
    client = clients(balance=PRICE)
    made = gateway.info.invoke_admin(action="create_key", account_id=client.account_id, scopes=["images:read"])

    with gateway.api_with(made["key"]) as api:
        refused = api.post("/images", json={"model": MODEL, "prompt": "a fox"})
        assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")
        assert refused.headers["x-ratelimit-remaining"] == refused.headers["x-ratelimit-limit"]
        assert api.get("/account").json()["balance"] == PRICE


def test_ten_thousand_tasks_are_paged_through_each_once_while_new_ones_arrive(
    gateway: Gateway, clients: Any, prompt: str
) -> None:
    client, other = clients(balance=PRICE), clients(balance=0)
    task = client.api.post("/images", json={"model": MODEL, "prompt": prompt}).raise_for_status().json()
    assert wait_until(lambda: bool(client.task(task["id"])["ended_at"]), seconds=60)
    dynamodb, table = gateway.info.client("dynamodb"), gateway.info.tasks_table
    item = dynamodb.get_item(TableName=table, Key={"task_id": {"S": task["id"]}})["Item"]
    first = datetime.fromisoformat(task["created_at"])

    def copy(number: int) -> dict[str, Any]:
        created_at = (first + timedelta(milliseconds=number)).isoformat(timespec="milliseconds")
        return {**item, "task_id": {"S": f"tsk_{number:026}"}, "created_at": {"S": created_at}}

    for begin in range(1, 10_000, 25):
        puts = [{"PutRequest": {"Item": copy(number)}} for number in range(begin, min(begin + 25, 10_000))]
        assert dynamodb.batch_write_item(RequestItems={table: puts})["UnprocessedItems"] == {}

    listed: Counter[str] = Counter()
    query = {"limit": "200"}
    for page_number in count():
        page = client.api.get("/images", params=query).raise_for_status().json()
        listed.update(task["id"] for task in page["images"])
        dynamodb.put_item(TableName=table, Item=copy(10_000 + page_number))
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]

    assert listed == Counter([task["id"], *(f"tsk_{number:026}" for number in range(1, 10_000))])
    assert other.api.get("/images").json() == {"images": [], "next_cursor": None}
