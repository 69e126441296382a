"""What has to be true of every task once the world has gone on for long enough, whatever went wrong before.

Pure: a world goes in, as it was found, and what is broken in it comes out, with the names of the tasks.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from local.chaos.clients import Receipt
from pixhook.lifecycle import is_terminal
from pixhook.model import Account, Delivery, DeliveryStatus, Movement, MovementKind, Status, Task

_OPERATORS = frozenset({MovementKind.GRANT, MovementKind.ADJUST})
"""What moves credits without a task."""


class Promise(StrEnum):
    """What is promised."""

    NOTHING_IS_LOST = "nothing is lost"
    """Each task that a client was told of is there, and each task that is there has ended."""
    ONE_END = "one end"
    """What clients and subscribers were told of an end is the end that the task has."""
    BOUGHT_ONCE = "nothing is bought twice"
    EVENTS = "each end is told, under one id"
    WEBHOOKS = "and by webhook, where one was asked for"
    MONEY = "money is exact"
    IMAGES = "images are there"
    QUEUES = "queues are empty"


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken."""

    promise: Promise
    name: str
    """The task's id, or what else it was broken for."""
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What matters of an event, on the bus or by webhook."""

    id: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What was found at the end."""

    receipts: Sequence[Receipt]
    tasks: Mapping[str, Task]
    purchases: Mapping[int, int]
    """By order, how many submits providers have accepted."""
    events: Mapping[str, Sequence[Event]]
    """By task, all that came."""
    webhooks: Mapping[str, Sequence[Event]]
    """By task, all that its client has taken, their signatures verified."""
    deliveries: Mapping[str, Sequence[Delivery]]
    """By task, what its log says of them."""
    account: Account
    movements: Sequence[Movement]
    images: Mapping[str, str]
    """By key, the sha256 of what is in the bucket."""
    messages: Mapping[str, int]
    """By queue, how many are left, delayed and invisible ones too."""

    def tasks_of(self, receipt: Receipt) -> list[Task]:
        """The order's tasks: one under a key; else each try may have written one, and one of them may be bought."""
        return [task for task in self.tasks.values() if task.request.prompt == receipt.order.prompt]


def violations(world: World) -> list[Violation]:
    """All that is broken."""
    return [
        *_lost(world),
        *_ends_that_differ(world),
        *_bought_twice(world),
        *_events_at_fault(world),
        *_webhooks_at_fault(world),
        *_money_at_fault(world),
        *_images_missing(world),
        *_messages_left(world),
    ]


def credit_drift(world: World) -> int:
    """By how many credits the balance differs from the grants less the price of what was, or may be, delivered."""
    granted = sum(move.credits for move in world.movements if move.kind in _OPERATORS)
    taken = sum(
        task.credits for task in world.tasks.values() if task.status is Status.COMPLETED or not is_terminal(task.status)
    )
    return world.account.balance - (granted - taken)


def _lost(world: World) -> Iterator[Violation]:
    told = {task_id for receipt in world.receipts for task_id in (*receipt.acknowledged, *receipt.refused)}
    for task_id in sorted(told - world.tasks.keys()):
        yield Violation(Promise.NOTHING_IS_LOST, task_id, "a client was told of it, and it is not there")
    for task in world.tasks.values():
        if not is_terminal(task.status):
            yield Violation(Promise.NOTHING_IS_LOST, task.id, f"it is still {task.status}")


def _ends_that_differ(world: World) -> Iterator[Violation]:
    for receipt in world.receipts:
        shown = dict(receipt.ends)
        if receipt.is_canceled:
            shown |= dict.fromkeys(receipt.acknowledged, Status.CANCELED)
        shown |= dict.fromkeys(receipt.refused, Status.FAILED)
        for task_id, status in shown.items():
            task = world.tasks.get(task_id)
            if task is not None and task.status != status:
                yield Violation(Promise.ONE_END, task_id, f"its client was told {status}, and it is {task.status}")


def _bought_twice(world: World) -> Iterator[Violation]:
    for receipt in world.receipts:
        tasks = world.tasks_of(receipt)
        name = tasks[0].id if tasks else f"order {receipt.order.number}"
        bought = world.purchases.get(receipt.order.number, 0)
        if receipt.order.key and len(tasks) > 1:
            others = ", ".join(task.id for task in tasks[1:])
            yield Violation(Promise.BOUGHT_ONCE, name, f"its key has more tasks: {others}")
        if bought > 1:
            yield Violation(Promise.BOUGHT_ONCE, name, f"it was bought {bought} times")
        if bought and not tasks:
            yield Violation(Promise.BOUGHT_ONCE, name, "it was bought without a task")
        if bought < sum(task.status is Status.COMPLETED for task in tasks):
            yield Violation(Promise.BOUGHT_ONCE, name, "it was completed more often than it was bought")


def _events_at_fault(world: World) -> Iterator[Violation]:
    for task in world.tasks.values():
        yield from _told_wrongly(Promise.EVENTS, task, world.events.get(task.id, ()))
    for task_id in sorted(world.events.keys() - world.tasks.keys()):
        yield Violation(Promise.EVENTS, task_id, "an event came, and there is no such task")


def _webhooks_at_fault(world: World) -> Iterator[Violation]:
    for task in world.tasks.values():
        webhooks = world.webhooks.get(task.id, ())
        if task.request.callback_url is None:
            if webhooks:
                yield Violation(Promise.WEBHOOKS, task.id, "a webhook came that nobody asked for")
            continue
        yield from _told_wrongly(Promise.WEBHOOKS, task, webhooks)
        if {event.id for event in webhooks} - {event.id for event in world.events.get(task.id, ())}:
            yield Violation(Promise.WEBHOOKS, task.id, "a webhook has another id than the event")
        logged = [delivery.status for delivery in world.deliveries.get(task.id, ())]
        if logged != [DeliveryStatus.SUCCEEDED]:
            yield Violation(
                Promise.WEBHOOKS, task.id, f"of its delivery the log says: {', '.join(logged) or 'nothing'}"
            )
    for task_id in sorted(world.webhooks.keys() - world.tasks.keys()):
        yield Violation(Promise.WEBHOOKS, task_id, "a webhook came, and there is no such task")


def _told_wrongly(promise: Promise, task: Task, events: Sequence[Event]) -> Iterator[Violation]:
    """What is wrong with what was told of the task in one of the two ways."""
    if not events:
        yield Violation(promise, task.id, "its end was not told")
    if len({event.id for event in events}) > 1:
        yield Violation(promise, task.id, "its end was told under several ids")
    for status in sorted({event.status for event in events} - {task.status}):
        yield Violation(promise, task.id, f"it was told that it is {status}, and it is {task.status}")


def _money_at_fault(world: World) -> Iterator[Violation]:
    account = world.account
    total = sum(move.credits for move in world.movements)
    if account.balance != total:
        yield Violation(Promise.MONEY, account.id, f"its balance is {account.balance}, its movements come to {total}")
    if account.balance < 0:
        yield Violation(Promise.MONEY, account.id, f"its balance is {account.balance}")
    under_way = sum(not is_terminal(task.status) for task in world.tasks.values())
    if account.tasks_in_flight != under_way:
        yield Violation(
            Promise.MONEY, account.id, f"it has {account.tasks_in_flight} tasks under way, and there are {under_way}"
        )
    lines = Counter((m.source, m.kind, m.credits) for m in world.movements if m.kind not in _OPERATORS)
    expected = Counter(line for task in world.tasks.values() for line in lines_of(task))
    for task_id, kind, moved in sorted((lines - expected).elements()):
        yield Violation(Promise.MONEY, task_id, f"a movement too many: {kind} of {moved}")
    for task_id, kind, moved in sorted((expected - lines).elements()):
        yield Violation(Promise.MONEY, task_id, f"a movement is missing: {kind} of {moved}")


def lines_of(task: Task) -> Iterator[tuple[str, MovementKind, int]]:
    """What the ledger ought to say of the task."""
    yield (task.id, MovementKind.RESERVE, -task.credits)
    if task.status is Status.COMPLETED:
        yield (task.id, MovementKind.SETTLE, 0)
    elif is_terminal(task.status):
        yield (task.id, MovementKind.REFUND, task.credits)


def _images_missing(world: World) -> Iterator[Violation]:
    for task in world.tasks.values():
        if task.status is Status.COMPLETED and not task.images:
            yield Violation(Promise.IMAGES, task.id, "it was completed without an image")
        for image in task.images:
            found = world.images.get(image.key)
            if found is None:
                yield Violation(Promise.IMAGES, task.id, f"{image.key} is not in the bucket")
            elif found != image.sha256:
                yield Violation(Promise.IMAGES, task.id, f"{image.key} has another sha256 than is noted")


def _messages_left(world: World) -> Iterator[Violation]:
    for queue, number in world.messages.items():
        if number:
            yield Violation(Promise.QUEUES, queue, f"{number} messages are left")
