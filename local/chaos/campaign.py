"""The campaign itself: load and faults, a restart in their midst, and then the world goes on until all has ended.

A restart is one in good order (SIGTERM, with MiniStack's state kept on disk): what it proves is that the gateway has
nothing of worth in a process. A `kill -9` of MiniStack loses what it holds in memory, as AWS does not; so it is the
functions that are killed, whose processes are the gateway's own.
"""

import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from hashlib import sha256
from itertools import islice
from pathlib import Path
from random import Random
from threading import Semaphore
from typing import Any

import httpx
import psutil

from local.chaos.clients import Client, Receipt
from local.chaos.faults import Fault, FaultProxy, weather
from local.chaos.invariants import Event, World
from local.chaos.orders import Order, draw_orders
from local.chaos.shops import Shop, opened
from local.chaos.skipping import bring_messages_nearer, make_older
from local.processes import free_port
from local.simulators.client import Control
from local.stack import Stack, StackInfo, read_side_by_side
from local.subscriber import Subscriber, subscriber
from local.waiting import wait_until
from pixhook.aws.accounts import Accounts, Ledger
from pixhook.aws.tasks import Tasks
from pixhook.aws.webhooks import Webhooks
from pixhook.flows.deliver import JITTER, QUIET_SECONDS
from pixhook.lifecycle import is_terminal
from pixhook.model import Task

CLIENTS = 8
"""Orders under way at a time."""

SECONDS = 3600
"""For all of it: a limit."""

CREDITS_PER_TASK = 40
"""More than any costs."""

READERS = 4
"""At the queue of outcomes, beside its first."""

TRIES = 4
"""After so many, where the template has 20 and 30, a message goes to the dead letters: else none would get there."""

WEBHOOK_SCHEDULE = ",".join(["1"] * 9)

FIRST_SKIP = timedelta(minutes=21)
"""In the midst of it: the deadlines of the first half come while the faults go on."""

LATER_SKIPS = (timedelta(minutes=65), *[timedelta(minutes=250)] * 3)
"""Afterwards: all deadlines, then the time for which images are copied, with a margin for what was late."""

_WEATHER_SECONDS = (3.0, 7.0)
_KILLS = 0.4
"""How often a function is killed when the weather changes."""
_QUIET_SECONDS = 75.0
"""So long nothing has to happen before time is skipped: longer than most pauses between two tries, and than it takes
until all functions have started after a restart."""
_LAST_QUIET_SECONDS = QUIET_SECONDS * (1 + JITTER) + _QUIET_SECONDS
"""And so long at the end: for a webhook whose receiver is left alone, time is not skipped."""


@dataclass(kw_only=True)
class Found:
    """What the campaign has to tell."""

    world: World
    injected: Counter[tuple[Fault, str]]
    calls: int
    """Of AWS by the functions."""
    seconds: dict[str, float]
    """By ended task, from its creation to its end, with the time that was skipped meanwhile."""
    skipped: dict[str, float]
    """By task, how much of that was skipped."""
    restarts: int
    killed: int
    redriven: int
    strangers: int
    """Callbacks of an account's URL that no task could be found for."""
    webhooks_came: int
    took: float


@dataclass(kw_only=True)
class _Tally:
    skipped: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    restarts: int = 0
    killed: int = 0
    redriven: int = 0
    strangers: int = 0


def campaign(folder: Path, *, seed: int, tasks: int, say: Callable[[str], None]) -> Found:
    """Runs it, on a stack of its own in `folder`. Raises `StartFailed`, `DeployFailed`."""
    port = free_port()
    proxy = FaultProxy(folder, port=free_port(), upstream=f"http://127.0.0.1:{port}")
    stack = Stack(
        folder,
        port=port,
        simulators_port=0,
        simulators_options=("--delay", "0.3", "--time-scale", "0.01"),
        parameters={"WebhookSchedule": WEBHOOK_SCHEDULE},
        functions_proxy=proxy.url,
        keeps_state=True,
        say=say,
    )
    with _running(stack, proxy) as info, subscriber(info) as listener:
        return Campaign(stack, proxy, info, listener, Random(seed), say).run(tasks)  # noqa: S311 - no secret


@contextmanager
def _running(stack: Stack, proxy: FaultProxy) -> Iterator[StackInfo]:
    stack.down()  # what an interrupted run may have left
    proxy.start()
    try:
        yield stack.up()
    finally:
        stack.down()
        proxy.stop()


class Campaign:
    """One run, on a stack that stands."""

    def __init__(
        self,
        stack: Stack,
        proxy: FaultProxy,
        info: StackInfo,
        listener: Subscriber,
        random: Random,
        say: Callable[[str], None],
    ) -> None:
        self._stack, self._proxy, self._info, self._listener = stack, proxy, info, listener
        # The one is drawn from as often as orders are placed, the other as long as it takes.
        self._order_random, self._random = (Random(random.random()) for _ in range(2))  # noqa: S311 - no secret
        self._say = say
        self._lines = Semaphore(CLIENTS)
        self._events: defaultdict[str, list[Event]] = defaultdict(list)
        self._tally = _Tally()
        self._sqs = info.client("sqs")
        self._dynamodb, accounts_table = info.client("dynamodb"), info.resource("AccountsTable")
        self._accounts = Accounts(self._dynamodb, accounts_table)
        retention = timedelta(days=30)
        self._tasks = Tasks(self._dynamodb, info.tasks_table, Ledger(accounts_table), retention)
        self._webhooks = Webhooks(self._dynamodb, info.resource("WebhooksTable"), retention)

    def run(self, number: int) -> Found:
        """Orders so many tasks, and sees all of them to their end."""
        began = time.monotonic()
        self._prepare(number)
        with (
            httpx.Client(base_url=self._info.simulators_url, timeout=30, trust_env=False) as http,
            httpx.Client(
                base_url=self._info.api_url,
                headers={"authorization": f"Bearer {self._info.api_key}"},
                timeout=30,  # as long as API Gateway takes at most
                trust_env=False,
                limits=httpx.Limits(max_keepalive_connections=0),  # MiniStack does not end while it is kept busy by one
            ) as api,
            opened(shop := Shop(secret=api.get("/webhooks/secret").raise_for_status().json()["secret"])) as doors,
        ):
            simulators = Control(http)
            reference = f"{self._info.simulators_url}/references/cat.png"
            orders = draw_orders(self._order_random, reference=reference, doors=doors)
            self._say(f"{number} tasks are ordered under fire, {CLIENTS} at a time")
            receipts = self._under_fire(number, orders, Client(api, self._lines), simulators)
            self._proxy.have([])
            self._say("The faults have ended; the world goes on")
            self._go_on(until=began + SECONDS)
            world = self._look(receipts, simulators, shop)
            self._keep_logs()
        return Found(
            world=world,
            injected=self._proxy.injected,
            calls=self._proxy.calls,
            seconds={task.id: _seconds(task) for task in world.tasks.values() if task.ended_at},
            skipped=dict(self._tally.skipped),
            restarts=self._tally.restarts,
            killed=self._tally.killed,
            redriven=self._tally.redriven,
            strangers=self._tally.strangers,
            webhooks_came=sum(shop.came.values()),
            took=time.monotonic() - began,
        )

    def _prepare(self, tasks: int) -> None:
        """Gives the account what it needs, and the queues less patience."""
        account = self._info.account_id
        self._info.invoke_admin(
            action="set_plan",
            account_id=account,
            plan="enterprise",
            overrides={"requests": 100_000, "tasks_in_flight": 100_000},
        )
        self._info.invoke_admin(action="grant_credits", account_id=account, credits=tasks * CREDITS_PER_TASK)
        read_side_by_side(
            self._info.endpoint_url, self._info.stack_name, "FinishFunction", self._info.finish_queue_url, READERS
        )
        for queue, policy in self._redrive_policies():
            self._sqs.set_queue_attributes(
                QueueUrl=queue, Attributes={"RedrivePolicy": json.dumps(policy | {"maxReceiveCount": TRIES})}
            )

    # Faults

    def _under_fire(self, number: int, orders: Iterator[Order], client: Client, simulators: Control) -> list[Receipt]:
        """Places orders until so many tasks have come of them, while the weather changes."""

        def place(order: Order) -> Receipt:
            if order.behaviour:
                simulators.misbehave(order.prompt, **order.behaviour)
            return client.place(order)

        placed: list[Future[Receipt]] = []
        all_are_done = partial(_all_done, placed)
        with ThreadPoolExecutor(CLIENTS) as pool:
            while missing := max(0, number - len(self._all_tasks())):
                placed += [pool.submit(place, order) for order in islice(orders, missing)]
                while not all_are_done():
                    self._have_weather(all_are_done)
                    if not self._tally.restarts and sum(order.done() for order in placed) >= number / 2:
                        self._say("MiniStack is restarted, with all that runs in it")
                        self._skip(FIRST_SKIP)
        return [order.result() for order in placed]

    def _have_weather(self, is_over: Callable[[], bool]) -> None:
        """Has a weather for some seconds."""
        self._proxy.have(weather(self._random))
        if self._random.random() < _KILLS:
            self._kill_a_function()
        wait_until(is_over, seconds=self._random.uniform(*_WEATHER_SECONDS))
        self._listen()

    def _kill_a_function(self) -> None:
        if functions := self._stack.functions():
            with suppress(psutil.NoSuchProcess):
                self._random.choice(functions).kill()
                self._tally.killed += 1

    # Afterwards

    def _go_on(self, *, until: float) -> None:
        """Lets messages come and time pass until every task has ended and no message is left, or no time is."""
        self._settle(until, _QUIET_SECONDS)
        for skip in LATER_SKIPS:
            if self._is_over() or time.monotonic() > until:
                break
            left = sum(not is_terminal(task.status) for task in self._all_tasks())
            self._say(f"{left} tasks go on; {skip} are skipped")
            self._skip(skip)
            self._settle(until, _QUIET_SECONDS)
        self._settle(until, _LAST_QUIET_SECONDS)

    def _settle(self, until: float, quiet_seconds: float) -> None:
        """Until nothing has moved for so long."""
        state, since = self._state(), time.monotonic()

        def is_settled() -> bool:
            nonlocal state, since
            self._listen()
            self._redrive()
            if (now := self._state()) != state:
                state, since = now, time.monotonic()
            return self._is_over() or time.monotonic() - since > quiet_seconds

        wait_until(is_settled, seconds=until - time.monotonic(), every=1)

    def _state(self) -> tuple[object, ...]:
        """Something that changes when something comes of what happens: not with what fails again and is redriven."""
        statuses = Counter(task.status for task in self._all_tasks())
        return (sorted(statuses.items()), sum(self._messages().values()))

    def _is_over(self) -> bool:
        return not any(self._messages().values()) and all(is_terminal(task.status) for task in self._all_tasks())

    def _skip(self, skip: timedelta) -> None:
        """Has so much time pass while MiniStack is restarted."""
        seconds = skip.total_seconds()
        going_on = [task for task in self._all_tasks() if not is_terminal(task.status)]
        make_older(self._info, going_on, seconds)
        for task in going_on:
            self._tally.skipped[task.id] += seconds
        with self._silence():
            # MiniStack writes its state when all connections are closed; the proxy leaves some open that it has cut.
            self._proxy.stop()
            self._listener.hang_up()
            self._sqs.close()
            self._dynamodb.close()
            self._stack.restart(meanwhile=lambda: bring_messages_nearer(self._stack.state, seconds))
            self._proxy.start()
        self._tally.restarts += 1

    @contextmanager
    def _silence(self) -> Iterator[None]:
        """No client's request is under way; their tasks are, and providers go on calling back."""
        for _ in range(CLIENTS):
            self._lines.acquire()
        try:
            yield
        finally:
            self._lines.release(CLIENTS)

    def _redrive(self) -> None:
        """Puts dead letters back, as docs/operations.md has an operator do; deletes those that are nobody's."""
        for queue, policy in self._redrive_policies():
            letters = self._queue_of(policy["deadLetterTargetArn"])
            while messages := self._sqs.receive_message(
                QueueUrl=letters, MaxNumberOfMessages=10, MessageSystemAttributeNames=["All"]
            ).get("Messages"):
                for message in messages:
                    if self._is_strangers(message["Body"]):
                        self._tally.strangers += 1
                    else:
                        self._send_back(queue, message)
                        self._tally.redriven += 1
                    self._sqs.delete_message(QueueUrl=letters, ReceiptHandle=message["ReceiptHandle"])

    def _is_strangers(self, body: str) -> bool:
        """Whether it is a callback by an account's URL, of something that no task is known to be.

        A task that has not ended may still learn the provider's id; then its dead letters go back.
        """
        said = json.loads(body)
        if "outcome" not in said or said["task_id"] is not None:
            return False
        tasks = self._all_tasks()
        is_known = any((task.provider, task.ref) == (said["provider"], said["outcome"]["ref"]) for task in tasks)
        return not is_known

    def _send_back(self, queue: str, message: Any) -> None:
        attributes = message["Attributes"]
        fifo = (
            {"MessageGroupId": attributes["MessageGroupId"], "MessageDeduplicationId": message["MessageId"]}
            if "MessageGroupId" in attributes
            else {}
        )
        self._sqs.send_message(QueueUrl=queue, MessageBody=message["Body"], **fifo)

    # What there is

    def _listen(self) -> None:
        for event in self._listener.receive():
            detail = event["detail"]
            self._events[detail["task_id"]].append(Event(id=detail["id"], status=detail["status"]))

    def _all_tasks(self) -> list[Task]:
        tasks: list[Task] = []
        cursor = None
        while True:
            page = self._tasks.of_account(
                self._info.account_id, fits=lambda _: True, limit=1000, cursor=cursor, after=None, before=None
            )
            tasks += page.items
            if (cursor := page.cursor) is None:
                return tasks

    def _redrive_policies(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The queues that have dead letters, each with what it says of them."""
        for queue in self._sqs.list_queues()["QueueUrls"]:
            answer = self._sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["RedrivePolicy"])
            if policy := answer.get("Attributes", {}).get("RedrivePolicy"):
                yield queue, json.loads(policy)

    def _queue_of(self, arn: str) -> str:
        return str(self._sqs.get_queue_url(QueueName=arn.rpartition(":")[2])["QueueUrl"])

    def _messages(self) -> dict[str, int]:
        """By queue of the stack, how many messages there are in it, in whatever way."""
        names = [
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesDelayed",
        ]
        found = {}
        for queue in self._sqs.list_queues(QueueNamePrefix=self._info.stack_name)["QueueUrls"]:
            answer = self._sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)
            found[queue.rpartition("/")[2]] = sum(int(answer["Attributes"][name]) for name in names)
        return found

    def _look(self, receipts: list[Receipt], simulators: Control, shop: Shop) -> World:
        """The world as it is now."""
        self._listen()
        account = self._accounts.get(self._info.account_id)
        assert account is not None
        tasks = {task.id: task for task in self._all_tasks()}
        return World(
            receipts=receipts,
            tasks=tasks,
            purchases={
                receipt.order.number: sum(submit["accepted"] for submit in simulators.submits(receipt.order.prompt))
                for receipt in receipts
            },
            events=self._events,
            webhooks=shop.taken,
            deliveries={task_id: self._webhooks.deliveries(task_id) for task_id in tasks},
            account=account,
            movements=self._accounts.movements(account.id, limit=100_000, cursor=None).items,
            images=self._stored(),
            messages=self._messages(),
        )

    def _keep_logs(self) -> None:
        """Writes what the functions logged beside the other logs: whoever looks into a violation needs it."""
        logs, group = self._info.client("logs"), self._info.resource("LogGroup")
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group)
        with (self._stack.folder / "logs" / "functions.log").open("w") as file:
            file.writelines(f"{event['message'].rstrip()}\n" for page in pages for event in page["events"])

    def _stored(self) -> dict[str, str]:
        """By key, the sha256 of every image in the bucket."""
        s3, bucket = self._info.client("s3"), self._info.images_bucket
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="images/")
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        return {key: sha256(s3.get_object(Bucket=bucket, Key=key)["Body"].read()).hexdigest() for key in keys}


def _all_done(placed: list[Future[Receipt]]) -> bool:
    return all(order.done() for order in placed)


def _seconds(task: Task) -> float:
    assert task.ended_at is not None
    return (task.ended_at - task.created_at).total_seconds()
