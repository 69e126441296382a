"""The handlers over an AWS in memory, and what can be seen of their work from outside.

`World` stands where API Gateway and the queue's event source mapping stand, between a client, the providers and
the hosts of images. Of the code under test nothing is replaced but two transports, below httpx.
"""

import io
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from aws_lambda_powertools.utilities.circuit_breaker.base import (
    _LAST_OBSERVED_STATE,
    _LOCAL_FAILURES,
    _LOCAL_SUCCESSES,
)
from moto import mock_aws

from pixhook import runtime
from pixhook.aws.breakers import Breakers
from pixhook.aws.clients import client
from pixhook.aws.outcomes import Outcomes
from pixhook.aws.tasks import Tasks
from pixhook.errors import PixhookError
from pixhook.flows.status import StatusRead, read_status
from pixhook.model import Outcome, OutcomeMessage, Task
from tests.conftest import SETTINGS
from tests.flow import outside
from tests.flow.cloud import (
    API_ARN,
    FUNCTIONS,
    QUEUE_URL,
    ServiceAnswer,
    aws,
    create_resources,
    proxy_event,
    service_error,
    sqs_event,
)
from tests.flow.dialects import EVERYONE
from tests.support.builders import ACCOUNT_ID, a_body

PROVIDER_KEYS = {name: f"planted-key-of-{name}" for name in EVERYONE}
CALLBACK_KEY = "sample-callback-key"

SERVICES = ("dynamodb", "sqs", "s3", "events", "secretsmanager", "stepfunctions")

type Hook = Callable[[str], ServiceAnswer | None]
"""Told an operation's name; what it returns stands in for the service's answer, what it raises is raised."""


class Died(Exception):
    """The process ended here: nothing that it tried after this took effect."""


@dataclass(frozen=True)
class Call:
    """One call of an AWS service by the code under test."""

    operation: str
    params: dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What API Gateway passes on; header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: str

    @property
    def document(self) -> dict[str, Any]:
        """The body, which has to be JSON to the letter."""
        return dict(json.loads(self.body, parse_constant=lambda word: pytest.fail(f"{word} is not JSON")))


@contextmanager
def a_world(monkeypatch: pytest.MonkeyPatch) -> Iterator["World"]:
    """A world in which nothing has happened yet."""
    with mock_aws():
        world = World(monkeypatch)
        with world.noted():
            yield world


class World:
    """Everything around the handlers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.upstream, self.image_hosts = outside.upstream(), outside.image_hosts()
        self.upstream.empty()
        self.image_hosts.empty()
        self.calls: list[Call] = []
        """The AWS calls of the code under test, so far."""
        self.table = Tasks(aws("dynamodb"), SETTINGS["TASKS_TABLE"], timedelta(days=30))
        """The tasks, beside whatever is done to the code under test."""
        self.seconds_left = 28.0
        """What a function is told of its time."""
        self._before: Hook = _undisturbed
        self._after: Hook = _undisturbed
        self._events: list[dict[str, Any]] = []
        self._failed_on: list[str] = []
        self._log = io.StringIO()
        self._monkeypatch = monkeypatch
        # Not before now: when it is imported a handler reads its environment, as it does in Lambda.
        self._functions: Mapping[str, Any] = {name: import_module(f"functions.{name}.app") for name in FUNCTIONS}
        self._ahead = timedelta(0)
        finisher = replace(
            runtime.finisher(),
            fetch=self.image_hosts.fetch,
            read_status=self._read_status,
            clock=lambda: runtime.now() + self._ahead,
        )
        monkeypatch.setattr(self._functions["finish"], "finish", finisher.handle)
        monkeypatch.setattr(self._functions["poll"], "read", self._read_status)
        for remembered in (_LOCAL_FAILURES, _LOCAL_SUCCESSES, _LAST_OBSERVED_STATE):
            remembered.clear()
        breakers = Breakers(client("dynamodb"), SETTINGS["BREAKERS_TABLE"])
        submitter = replace(runtime.submitter(), send=self.upstream.send, breakers=breakers)
        monkeypatch.setattr(self._functions["submit"], "submit", submitter.submit)
        monkeypatch.setattr(self._functions["poll"], "now", lambda: runtime.now() + self._ahead)
        monkeypatch.setattr(runtime.logger.registered_handler, "stream", self._log)
        self._outcomes = Outcomes(aws("sqs"), lambda: aws("s3"), QUEUE_URL, SETTINGS["IMAGES_BUCKET"])
        self._subscription = create_resources()
        self.store_secret("PROVIDERS_SECRET", {name: {"api_key": key} for name, key in PROVIDER_KEYS.items()})
        self.store_secret("CALLBACK_KEYS_SECRET", {"primary": CALLBACK_KEY})

    # The functions, invoked as AWS invokes them

    def invoke(self, function: str, event: Any) -> Any:
        """What the function answers, as JSON carries it."""
        context = SimpleNamespace(
            function_name=function,
            memory_limit_in_mb=512,
            invoked_function_arn=f"arn:aws:lambda:us-east-1:123456789012:function:{function}",
            aws_request_id="2c9c4f4e-8f6d-4c11-9a0e-0d8e6f3b7a55",
            get_remaining_time_in_millis=lambda: self.seconds_left * 1000,
        )
        return json.loads(json.dumps(self._functions[function].handler(event, context)))

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        content_type: str | None = "application/json",
        account_id: str = ACCOUNT_ID,
    ) -> Answer:
        """A request to the API; a body that is not text is sent as JSON."""
        text = body if isinstance(body, str | None) else json.dumps(body)
        function, event = proxy_event(method, path, text, content_type=content_type, account_id=account_id)
        answer = self.invoke(function, event)
        headers = {name.lower(): ", ".join(values) for name, values in answer["multiValueHeaders"].items()}
        return Answer(status=answer["statusCode"], headers=headers, body=answer["body"])

    def get(self, path: str, *, account_id: str = ACCOUNT_ID) -> Answer:
        """A client's reading request."""
        return self.request("GET", path, account_id=account_id)

    def submit(self, body: object, *, content_type: str | None = "application/json") -> Answer:
        """A client's POST /images."""
        return self.request("POST", "/images", body, content_type=content_type)

    def callback(self, url: str, body: object) -> Answer:
        """A provider's call of `url`."""
        path = url.removeprefix(SETTINGS["PUBLIC_BASE_URL"])
        assert path != url, f"{url} is not ours"
        return self.request("POST", path, body)

    def authorize(self, authorization: str) -> dict[str, Any]:
        """The authorizer's policy for a request with this header."""
        event = {"type": "TOKEN", "authorizationToken": authorization, "methodArn": f"{API_ARN}/POST/images"}
        return dict(self.invoke("authorize", event))

    def finish_all(self) -> list[Exception]:
        """Has `finish` take what can be seen on the queue; what it raised, and left there."""
        raised: list[Exception] = []
        while message := self._receive():
            try:
                self.invoke("finish", sqs_event(message))
            except (PixhookError, Died) as error:
                raised.append(error)
                self._failed_on.append(message["ReceiptHandle"])
            else:
                aws("sqs").delete_message(QueueUrl=QUEUE_URL, ReceiptHandle=message["ReceiptHandle"])
        return raised

    def time_passes(self, *, beyond: timedelta = timedelta(0)) -> None:
        """Has every message that `finish` failed on come back, and `finish` see so much more of the clock."""
        self._ahead += beyond
        while self._failed_on:
            aws("sqs").change_message_visibility(
                QueueUrl=QUEUE_URL, ReceiptHandle=self._failed_on.pop(), VisibilityTimeout=0
            )

    # What a test begins with

    def accepted(self, **request: Any) -> Task:
        """A task that the provider has accepted."""
        answer = self.submit(a_body(**request))
        assert answer.status == 202, answer
        return self.task(answer.document["id"])

    def put_outcome(self, task: Task, outcome: Outcome) -> None:
        """Puts what was learnt of the task on the queue."""
        self._outcomes.send(OutcomeMessage(task_id=task.id, provider=task.provider, outcome=outcome))

    def store_secret(self, setting: str, value: object) -> None:
        """Stores a secret and has the functions forget the old one; text as it stands, all else as JSON."""
        text = value if isinstance(value, str) else json.dumps(value)
        aws("secretsmanager").put_secret_value(SecretId=SETTINGS[setting], SecretString=text)
        for name in ("submit", "receive", "query"):
            # As `runtime` makes it, before anything was read.
            self._monkeypatch.setattr(self._functions[name], "secrets", runtime.secrets.__wrapped__())

    # What can be seen afterwards

    def pollers(self) -> dict[str, dict[str, Any]]:
        """What each poller that was started was given, by its name."""
        return {
            call.params["name"]: json.loads(call.params["input"])
            for call in self.calls
            if call.operation == "StartExecution"
        }

    def task(self, task_id: str) -> Task:
        """The task in the table."""
        task = self.table.get(task_id)
        assert task is not None
        return task

    def tasks(self) -> list[Task]:
        """All tasks in the table."""
        return [self.task(item["task_id"]["S"]) for item in self.items("TASKS_TABLE")]

    def items(self, setting: str) -> list[dict[str, Any]]:
        """All that a table holds, as DynamoDB has it."""
        return list(aws("dynamodb").scan(TableName=SETTINGS[setting])["Items"])

    def messages(self) -> list[dict[str, Any]]:
        """What can be seen on the queue; it stays there."""
        answer = aws("sqs").receive_message(
            QueueUrl=QUEUE_URL, MaxNumberOfMessages=10, VisibilityTimeout=0, MessageSystemAttributeNames=["All"]
        )
        return list(answer.get("Messages", []))

    def is_quiet(self) -> bool:
        """Whether the queue holds no message, seen or unseen."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        attributes = aws("sqs").get_queue_attributes(QueueUrl=QUEUE_URL, AttributeNames=names)["Attributes"]
        return not any(int(attributes[name]) for name in names)

    def events(self) -> list[dict[str, Any]]:
        """What a subscriber of the bus has had so far."""
        while messages := aws("sqs").receive_message(QueueUrl=self._subscription).get("Messages"):
            for message in messages:
                self._events.append(json.loads(message["Body"]))
                aws("sqs").delete_message(QueueUrl=self._subscription, ReceiptHandle=message["ReceiptHandle"])
        return self._events

    def stored(self) -> dict[str, tuple[bytes, str]]:
        """All objects in the bucket by key: content and content type."""
        bucket = SETTINGS["IMAGES_BUCKET"]
        keys = [item["Key"] for item in aws("s3").list_objects_v2(Bucket=bucket).get("Contents", [])]
        found = {key: aws("s3").get_object(Bucket=bucket, Key=key) for key in keys}
        return {key: (answer["Body"].read(), answer["ContentType"]) for key, answer in found.items()}

    def log(self) -> list[dict[str, Any]]:
        """The lines that the functions have logged."""
        return [json.loads(line) for line in self._log.getvalue().splitlines()]

    # AWS's own troubles

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Notes the AWS calls of the code under test, and lets them be disturbed."""
        hooks: Mapping[str, Callable[..., Any]] = {
            "before-parameter-build": lambda params, model, **_: self.calls.append(Call(model.name, dict(params))),
            "before-call": lambda model, **_: self._before(model.name),
            "after-call": lambda model, **_: self._after(model.name),
        }
        emitters = [client(service).meta.events for service in SERVICES]
        registered = [(emitter, name, hook) for emitter in emitters for name, hook in hooks.items()]
        for emitter, name, hook in registered:
            emitter.register(name, hook)
        try:
            yield
        finally:
            for emitter, name, hook in registered:
                emitter.unregister(name, hook)

    @contextmanager
    def disturbed(self, before: Hook, after: Hook | None = None) -> Iterator[None]:
        """Has these hooks see each call of the code under test before it is made, and after."""
        self._before, self._after = before, after or _undisturbed
        try:
            yield
        finally:
            self._before = self._after = _undisturbed

    def refusing(
        self, *operations: str, trouble: ServiceAnswer | Exception | None = None
    ) -> AbstractContextManager[None]:
        """Has AWS give these operations `trouble`: an answer, or what the SDK raises where there is none."""

        def refuse(operation: str) -> ServiceAnswer | None:
            if operation not in operations:
                return None
            if isinstance(trouble, Exception):
                raise trouble
            return trouble or service_error()

        return self.disturbed(refuse)

    def _read_status(self, task: Task) -> StatusRead:
        return read_status(task, credentials=runtime.secrets().credentials(), send=self.upstream.send)

    def _receive(self) -> dict[str, Any] | None:
        answer = aws("sqs").receive_message(
            QueueUrl=QUEUE_URL, MaxNumberOfMessages=1, MessageSystemAttributeNames=["All"]
        )
        return next(iter(answer.get("Messages", [])), None)


def _undisturbed(_: str) -> None:
    """Lets the call be as it is."""
