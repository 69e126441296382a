"""The parts of the fault campaign that decide: each promise is seen broken when it is."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest

from local.chaos.clients import Receipt
from local.chaos.faults import SERVICES, Fault, Rule, can_happen, weather
from local.chaos.invariants import Event, Promise, World, credit_drift, violations
from local.chaos.orders import NOT_TOLD, Doors, Order, draw_orders
from local.chaos.report import percentiles
from local.chaos.shops import Shop
from local.chaos.skipping import bring_messages_nearer
from local.receivers import Received
from local.simulators import PROVIDERS
from local.simulators.behaviours import Behaviour
from pixhook.flows.deliver import new_delivery, new_secret
from pixhook.model import (
    Delivery,
    DeliveryStatus,
    ErrorCode,
    EventType,
    Failure,
    Image,
    Movement,
    MovementKind,
    Status,
    Task,
)
from pixhook.signatures import signed_headers
from tests.support.builders import ACCOUNT_ID, NOW, a_request, a_task, an_account

PRICE = 5
WEBHOOK = Event(id="evt_tsk_1", status="canceled")
GRANTED = 100
KEY = "images/tsk_0/0.png"
REFERENCE = "http://127.0.0.1/references/cat.png"
DOORS = Doors(lively="http://127.0.0.1:1", silent="http://127.0.0.1:2")
SECRET = new_secret()


def seeded(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - no secret


def an_order(number: int) -> Order:
    return Order(
        number=number,
        request={"model": "nano-banana-2", "prompt": f"order {number}."},
        reception="no webhook asked for",
        misbehaviour="well-behaved",
        behaviour={},
        key=f"order-{number}",
        repeats_anyway=False,
        cancels_after=None,
    )


def task_of(number: int, status: Status, **changes: Any) -> Task:
    """The task of an order."""
    request = a_request(prompt=an_order(number).prompt)
    return a_task(id=f"tsk_{number}", status=status, request=request, credits=PRICE, **changes)


def with_callback(task: Task) -> Task:
    return replace(task, request=replace(task.request, callback_url=DOORS.of(0, 204, 0)))


def a_delivery(status: DeliveryStatus) -> Delivery:
    delivery = new_delivery("tsk_1", ACCOUNT_ID, WEBHOOK.id, EventType.FAILED, DOORS.of(0, 204, 0), None, NOW)
    return replace(delivery, status=status)


def a_movement(kind: MovementKind, moved: int, source: str) -> Movement:
    return Movement(kind=kind, credits=moved, at=NOW, source=source)


def a_world() -> World:
    """A completed task, a canceled one that its client is told of, and one that was refused; all is well."""
    image = Image(bucket="images", key=KEY, sha256="a1", size=1, content_type="image/png", width=1, height=1)
    failure = Failure(code=ErrorCode.PROVIDER_UNAVAILABLE, message="no")
    tasks = [
        task_of(0, Status.COMPLETED, images=(image,)),
        with_callback(task_of(1, Status.CANCELED)),
        task_of(2, Status.FAILED, failure=failure),
    ]
    movements = [
        a_movement(MovementKind.GRANT, GRANTED, "invoice"),
        *(a_movement(MovementKind.RESERVE, -PRICE, task.id) for task in tasks),
        a_movement(MovementKind.SETTLE, 0, "tsk_0"),
        a_movement(MovementKind.REFUND, PRICE, "tsk_1"),
        a_movement(MovementKind.REFUND, PRICE, "tsk_2"),
    ]
    return World(
        receipts=[
            Receipt(order=an_order(0), acknowledged=["tsk_0"], ends={"tsk_0": "completed"}),
            Receipt(order=an_order(1), acknowledged=["tsk_1"], is_canceled=True),
            Receipt(order=an_order(2), refused=["tsk_2"]),
        ],
        tasks={task.id: task for task in tasks},
        purchases={0: 1, 1: 1, 2: 0},
        events={task.id: [Event(id=f"evt_{task.id}", status=task.status)] for task in tasks},
        webhooks={"tsk_1": [WEBHOOK, WEBHOOK]},
        deliveries={"tsk_1": [a_delivery(status=DeliveryStatus.SUCCEEDED)]},
        account=an_account(balance=GRANTED - PRICE),
        movements=movements,
        images={KEY: "a1"},
        messages={"finish": 0, "finish-dead-letters": 0},
    )


def without(world: World, task_id: str) -> World:
    return replace(world, tasks={name: task for name, task in world.tasks.items() if name != task_id})


def with_task(world: World, task: Task) -> World:
    return replace(world, tasks={**world.tasks, task.id: task})


def with_events(world: World, *events: Event) -> World:
    return replace(world, events={**world.events, "tsk_0": list(events)})


def with_movements(world: World, change: Callable[[list[Movement]], object]) -> World:
    movements = list(world.movements)
    change(movements)
    return replace(world, movements=movements)


def with_balance(world: World, balance: int) -> World:
    return replace(world, account=replace(world.account, balance=balance))


def test_world_in_which_all_is_well_breaks_no_promise() -> None:
    assert violations(a_world()) == []
    assert credit_drift(a_world()) == 0


def test_order_without_a_key_may_have_a_task_for_each_try_of_which_none_was_bought() -> None:
    world = a_world()
    keyless = replace(world.receipts[2], order=replace(an_order(2), key=None))
    again = replace(world.tasks["tsk_2"], id="tsk_9")
    movements = [
        *world.movements,
        a_movement(MovementKind.RESERVE, -PRICE, again.id),
        a_movement(MovementKind.REFUND, PRICE, again.id),
    ]
    events = {**world.events, again.id: [Event(id="evt_9", status="failed")]}
    world = replace(world, receipts=[*world.receipts[:2], keyless], movements=movements, events=events)
    assert violations(with_task(world, again)) == []


def test_event_that_came_twice_under_one_id_breaks_no_promise() -> None:
    event = Event(id="evt_tsk_0", status="completed")
    assert violations(with_events(a_world(), event, event)) == []


BROKEN: dict[str, tuple[Callable[[World], World], Promise, str]] = {
    "acknowledged, and not there": (lambda w: without(w, "tsk_1"), Promise.NOTHING_IS_LOST, "tsk_1"),
    "refused, and not there": (lambda w: without(w, "tsk_2"), Promise.NOTHING_IS_LOST, "tsk_2"),
    "not ended": (lambda w: with_task(w, task_of(9, Status.STORING)), Promise.NOTHING_IS_LOST, "tsk_9"),
    "shown another end": (
        lambda w: replace(w, receipts=[*w.receipts, Receipt(order=an_order(0), ends={"tsk_0": "failed"})]),
        Promise.ONE_END,
        "tsk_0",
    ),
    "canceled, and completed all the same": (
        lambda w: replace(
            w, receipts=[*w.receipts, Receipt(order=an_order(0), acknowledged=["tsk_0"], is_canceled=True)]
        ),
        Promise.ONE_END,
        "tsk_0",
    ),
    "refused, and completed all the same": (
        lambda w: replace(w, receipts=[*w.receipts, Receipt(order=an_order(0), refused=["tsk_0"])]),
        Promise.ONE_END,
        "tsk_0",
    ),
    "bought twice": (lambda w: replace(w, purchases={**w.purchases, 0: 2}), Promise.BOUGHT_ONCE, "tsk_0"),
    "bought without a task": (
        lambda w: replace(w, receipts=[*w.receipts, Receipt(order=an_order(7))], purchases={**w.purchases, 7: 1}),
        Promise.BOUGHT_ONCE,
        "order 7",
    ),
    "two tasks under one key": (
        lambda w: with_task(w, replace(w.tasks["tsk_0"], id="tsk_9")),
        Promise.BOUGHT_ONCE,
        "tsk_0",
    ),
    "completed, and never bought": (
        lambda w: replace(w, purchases={**w.purchases, 0: 0}),
        Promise.BOUGHT_ONCE,
        "tsk_0",
    ),
    "no event": (lambda w: with_events(w), Promise.EVENTS, "tsk_0"),
    "events under two ids": (
        lambda w: with_events(w, Event(id="evt_1", status="completed"), Event(id="evt_2", status="completed")),
        Promise.EVENTS,
        "tsk_0",
    ),
    "an event of another end": (
        lambda w: with_events(w, Event(id="evt_1", status="completed"), Event(id="evt_1", status="failed")),
        Promise.EVENTS,
        "tsk_0",
    ),
    "an event of no task": (
        lambda w: replace(w, events={**w.events, "tsk_9": [Event(id="evt_9", status="failed")]}),
        Promise.EVENTS,
        "tsk_9",
    ),
    "no webhook": (lambda w: replace(w, webhooks={}), Promise.WEBHOOKS, "tsk_1"),
    "a webhook that nobody asked for": (
        lambda w: replace(w, webhooks={**w.webhooks, "tsk_0": w.events["tsk_0"]}),
        Promise.WEBHOOKS,
        "tsk_0",
    ),
    "a webhook with an id of its own": (
        lambda w: replace(w, webhooks={"tsk_1": [replace(WEBHOOK, id="evt_9")]}),
        Promise.WEBHOOKS,
        "tsk_1",
    ),
    "a webhook of another end": (
        lambda w: replace(w, webhooks={"tsk_1": [replace(WEBHOOK, status="failed")]}),
        Promise.WEBHOOKS,
        "tsk_1",
    ),
    "a webhook that came, and a log that does not say so": (
        lambda w: replace(w, deliveries={"tsk_1": [a_delivery(status=DeliveryStatus.PENDING)]}),
        Promise.WEBHOOKS,
        "tsk_1",
    ),
    "a webhook of no task": (
        lambda w: replace(w, webhooks={**w.webhooks, "tsk_9": [WEBHOOK]}),
        Promise.WEBHOOKS,
        "tsk_9",
    ),
    "a webhook without a log": (lambda w: replace(w, deliveries={}), Promise.WEBHOOKS, "tsk_1"),
    "a balance that is not the sum": (lambda w: with_balance(w, GRANTED), Promise.MONEY, ACCOUNT_ID),
    "tasks under way that are none": (
        lambda w: replace(w, account=replace(w.account, tasks_in_flight=1)),
        Promise.MONEY,
        ACCOUNT_ID,
    ),
    "never reserved": (lambda w: with_movements(w, lambda m: m.pop(1)), Promise.MONEY, "tsk_0"),
    "never settled": (lambda w: with_movements(w, lambda m: m.pop(4)), Promise.MONEY, "tsk_0"),
    "refunded twice": (
        lambda w: with_movements(w, lambda m: m.append(a_movement(MovementKind.REFUND, PRICE, "tsk_1"))),
        Promise.MONEY,
        "tsk_1",
    ),
    "an image that is missing": (lambda w: replace(w, images={}), Promise.IMAGES, "tsk_0"),
    "an image that is another": (lambda w: replace(w, images={KEY: "b2"}), Promise.IMAGES, "tsk_0"),
    "completed without an image": (
        lambda w: with_task(w, replace(w.tasks["tsk_0"], images=())),
        Promise.IMAGES,
        "tsk_0",
    ),
    "a message that is left": (
        lambda w: replace(w, messages={"finish-dead-letters": 1}),
        Promise.QUEUES,
        "finish-dead-letters",
    ),
}


@pytest.mark.parametrize(("break_it", "promise", "name"), BROKEN.values(), ids=BROKEN)
def test_broken_promise_is_named(break_it: Callable[[World], World], promise: Promise, name: str) -> None:
    assert (promise, name) in {(found.promise, found.name) for found in violations(break_it(a_world()))}


def test_negative_balance_is_seen_though_it_is_the_sum() -> None:
    world = with_balance(
        with_movements(a_world(), lambda m: m.append(a_movement(MovementKind.ADJUST, -GRANTED, "invoice"))), -PRICE
    )
    assert [found.promise for found in violations(world)] == [Promise.MONEY]


def test_each_promise_is_broken_by_some_world() -> None:
    assert {promise for _, promise, _ in BROKEN.values()} == set(Promise)


def test_credits_that_are_taken_or_given_for_nothing_are_a_drift() -> None:
    assert credit_drift(with_balance(a_world(), GRANTED)) == PRICE
    assert credit_drift(with_balance(a_world(), GRANTED - 3 * PRICE)) == -2 * PRICE


def test_percentiles_are_of_all_values_in_whatever_order() -> None:
    assert percentiles([float(number) for number in range(100, -1, -1)]) == "p50 50.0 s, p95 95.0 s, max 100.0 s"
    assert percentiles([2.0]) == "p50 2.0 s, p95 2.0 s, max 2.0 s"
    assert percentiles([]) == "-"


def test_a_seed_draws_the_same_orders_and_the_same_weather_again() -> None:
    def drawn(seed: int) -> tuple[list[Order], list[tuple[Rule, ...]]]:
        random = seeded(seed)
        return list(islice(draw_orders(random, reference=REFERENCE, doors=DOORS), 50)), [
            weather(random) for _ in range(5)
        ]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_orders_are_for_all_providers_and_their_misbehaviour_is_one_that_simulators_know() -> None:
    orders = list(islice(draw_orders(seeded(1), reference=REFERENCE, doors=DOORS), 500))
    assert {order.request.get("provider") for order in orders} == {*PROVIDERS, None}
    assert len({order.prompt for order in orders}) == len(orders)
    assert any(order.key for order in orders)
    assert any(order.cancels_after is not None for order in orders)
    for order in orders:
        Behaviour.model_validate_json(json.dumps(order.behaviour))


def test_webhooks_are_asked_for_by_some_orders_each_with_what_it_finds_in_its_url() -> None:
    orders = list(islice(draw_orders(seeded(1), reference=REFERENCE, doors=DOORS), 500))
    urls = [order.request.get("callback_url") for order in orders]
    assert len(set(urls)) == sum(url is not None for url in urls) + 1
    for order, url in zip(orders, urls, strict=True):
        assert (url is None) is (order.reception == NOT_TOLD)
    at_doors = {(url.split("/")[2] == "127.0.0.1:2", url.split("/")[3] == "0") for url in urls if url}
    assert at_doors == {(True, True), (False, False)}


def test_webhook_is_taken_once_it_is_signed_and_what_its_url_wants_first_has_happened() -> None:
    shop = Shop(secret=SECRET)
    document = {"task_id": "tsk_1", "status": "failed", "metadata": {"order": 7}}
    body = json.dumps(document).encode()

    def answer(path: str, secret: str) -> int | None:
        headers = signed_headers("evt_1", body, datetime.now(UTC), [secret])
        return shop.answer(Received(path=path, headers=headers, body=body)).status

    assert answer("/500/0/7", new_secret()) == 401
    assert answer("/500/0/8", SECRET) == 403
    assert [answer("/503/2/7", SECRET) for _ in range(3)] == [503, 503, 204]
    assert shop.taken == {"tsk_1": [Event(id="evt_1", status="failed")]}
    assert shop.came == {"tsk_1": 3}
    assert answer("/0/4/7", SECRET) is None


def test_every_fault_comes_with_some_weather_and_none_that_its_service_cannot_have() -> None:
    random = seeded(1)
    rules = {rule for _ in range(50) for rule in weather(random)}
    assert {(rule.fault, rule.service) for rule in rules} == {
        (fault, service) for fault in Fault for service in SERVICES if can_happen(fault, service)
    }


def test_messages_come_nearer_by_what_is_skipped(tmp_path: Path) -> None:
    queue = {"messages": [{"body": "a", "visible_at": 1000.0}], "dedup_cache": {"a": {"expire": 400.0, "id": "1"}}}
    file = tmp_path / "sqs.json"
    file.write_text(json.dumps({"payload": {"queues": {"data": {"finish": queue}}}}))

    bring_messages_nearer(tmp_path, 300)

    moved = json.loads(file.read_text())["payload"]["queues"]["data"]["finish"]
    assert moved["messages"] == [{"body": "a", "visible_at": 700.0}]
    assert moved["dedup_cache"] == {"a": {"expire": 100.0, "id": "1"}}
