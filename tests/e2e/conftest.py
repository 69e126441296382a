"""A deployed stack of the tests' own, on free ports, with IAM enforced; beside a running `make up` too."""

import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest

from local.offers import models_of
from local.receivers import Answer, Received, listening
from local.simulators import PROVIDERS
from local.simulators.client import Control
from local.stack import ROOT, Stack, StackInfo
from local.subscriber import Subscriber, subscriber
from local.waiting import wait_until
from pixhook.providers import PROVIDERS as ADAPTERS
from pixhook.providers.base import Callback
from tests.support.promised import assert_promised

PATIENCE_SECONDS = 60


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what is in this folder; only it may use sockets, and only those of this machine."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("e2e")
            item.add_marker(pytest.mark.allow_hosts(["127.0.0.1", "::1", "localhost"]))


class Gateway:
    """The deployed API and what can be seen of its work, as its users see them."""

    def __init__(self, info: StackInfo, listener: Subscriber) -> None:
        self.info = info
        self.api = self.api_with(info.api_key)
        self.simulators = httpx.Client(base_url=info.simulators_url, timeout=30, trust_env=False)
        self._control = Control(self.simulators)
        self._sqs = info.client("sqs")
        self._listener = listener
        self._events: dict[str, list[dict[str, Any]]] = defaultdict(list)

    def close(self) -> None:
        """Closes the connections."""
        self.api.close()
        self.simulators.close()

    def api_with(self, key: str) -> httpx.Client:
        """The API, for whoever holds `key`."""
        return httpx.Client(
            base_url=self.info.api_url,
            headers={"authorization": f"Bearer {key}"},
            timeout=120,  # processes that start side by side take their time
            trust_env=False,
        )

    def misbehave(self, prompt: str, **behaviour: Any) -> None:
        """Has the simulators treat the requests with this prompt so."""
        self._control.misbehave(prompt, **behaviour)

    def submit(self, **request: Any) -> dict[str, Any]:
        """The accepted task."""
        answer = self.api.post("/images", json=request)
        assert answer.status_code == 202, answer.text
        return dict(answer.json())

    def task(self, task_id: str) -> dict[str, Any]:
        """The task as it is now."""
        return dict(self.api.get(f"/images/{task_id}").raise_for_status().json())

    def ended(self, task_id: str) -> dict[str, Any]:
        """The task once it has ended and all is quiet."""
        assert wait_until(
            lambda: self.task(task_id)["status"] in {"completed", "failed"} and self.is_quiet(),
            seconds=PATIENCE_SECONDS,
        ), self.task(task_id)
        return self.task(task_id)

    def is_quiet(self) -> bool:
        """Whether no outcome is waiting or being worked on."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self._sqs.get_queue_attributes(QueueUrl=self.info.finish_queue_url, AttributeNames=names)
        return all(answer["Attributes"][name] == "0" for name in names)

    def events(self, task_id: str) -> list[dict[str, Any]]:
        """All events so far of the task."""
        for event in self._listener.receive():
            assert_promised(event["detail"])
            self._events[event["detail"]["task_id"]].append(event)
        return self._events[task_id]

    def submits(self, prompt: str) -> list[dict[str, Any]]:
        """What the simulators were sent with this prompt."""
        return self._control.submits(prompt)

    def callbacks(self, upstream_id: str) -> list[dict[str, Any]]:
        """The callbacks that the simulators have made for their task."""
        return self._control.callbacks(upstream_id)

    def reads(self, upstream_id: str) -> int:
        """How often the simulator was asked for its task's status."""
        return self._control.reads(upstream_id)

    def make_older(self, task: Mapping[str, Any], seconds: float) -> None:
        """Moves the task's beginning back from where it really was: nobody sits through a quarter of an hour."""
        created_at = datetime.fromisoformat(task["created_at"]) - timedelta(seconds=seconds)
        self.info.client("dynamodb").update_item(
            TableName=self.info.tasks_table,
            Key={"task_id": {"S": task["id"]}},
            UpdateExpression="SET created_at = :created_at",
            ExpressionAttributeValues={":created_at": {"S": created_at.isoformat(timespec="milliseconds")}},
        )

    def poller(self, task_id: str) -> str:
        """What has become of the execution that reads the task's status."""
        arn = self.info.resource("Poller").replace(":stateMachine:", ":execution:")
        execution = self.info.client("stepfunctions").describe_execution(executionArn=f"{arn}:{task_id}")
        return str(execution["status"])

    def stored(self, image: Mapping[str, Any]) -> bytes:
        """The bytes of an image in the bucket."""
        content = self.info.client("s3").get_object(Bucket=image["bucket"], Key=image["key"])["Body"].read()
        return bytes(content)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The stack, not yet up; what an interrupted run may have left is stopped first."""
    stack = Stack(
        ROOT / ".local" / "test",
        port=0,
        simulators_port=0,
        simulators_options=("--delay", "0.1", "--time-scale", "0.01"),
        parameters={"WebhookSchedule": ",".join(["1"] * 9)},
        say=lambda _: None,
    )
    stack.down()
    yield stack
    stack.down()


@pytest.fixture(scope="session")
def gateway(stack: Stack) -> Iterator[Gateway]:
    """The deployed gateway."""
    info = stack.up()
    with subscriber(info) as listener, closing(Gateway(info, listener)) as gateway:
        yield gateway


class Shop:
    """Somebody who is sent webhooks: notes them, and answers as it is told, by default with 204."""

    def __init__(self) -> None:
        self.url = ""
        self.received: list[tuple[bytes, dict[str, str]]] = []
        self.statuses: list[int] = []
        """What the next webhooks are answered with."""
        self.is_free = Event()
        """Until it is set, nobody is answered."""
        self.is_free.set()

    def answer(self, webhook: Received) -> Answer:
        """What is said to a webhook."""
        self.received.append((webhook.body, dict(webhook.headers)))
        self.is_free.wait(PATIENCE_SECONDS)
        return Answer(self.statuses.pop(0) if self.statuses else 204)


@contextmanager
def opened() -> Iterator[Shop]:
    """A shop that listens while the context lasts."""
    shop = Shop()
    with listening(shop.answer) as url:
        shop.url = f"{url}/hooks"
        try:
            yield shop
        finally:
            shop.is_free.set()


@pytest.fixture
def prompt() -> str:
    """A prompt of the test's own: by it the simulators tell requests apart."""
    return f"prompt {uuid.uuid4().hex}"


@pytest.fixture(params=sorted(PROVIDERS))
def provider(request: pytest.FixtureRequest) -> str:
    """Each provider that there is a simulator of."""
    return str(request.param)


def providers(callback: Callback) -> list[str]:
    """Those that call back in this way."""
    return [name for name in PROVIDERS if ADAPTERS[name].capabilities.callback is callback]


@pytest.fixture(params=providers(Callback.PER_REQUEST))
def caller(request: pytest.FixtureRequest, gateway: Gateway) -> Iterator[str]:
    """Each provider that calls back per request. Failures are counted in a row: afterwards it takes a request."""
    name = str(request.param)
    yield name
    gateway.submit(model=models_of(name)[0], provider=name, prompt="a good one")
