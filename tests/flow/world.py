"""The handlers over an AWS in memory, and what can be seen of their work from outside.

`World` stands where API Gateway and the queue's event source mapping stand, between a client, the providers and
the hosts of images. Of the code under test nothing is replaced but two transports, below httpx.
"""

import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from importlib import import_module
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from aws_lambda_powertools.utilities.circuit_breaker.base import (
    _LAST_OBSERVED_STATE,
    _LOCAL_FAILURES,
    _LOCAL_SUCCESSES,
)
from botocore.endpoint import Endpoint
from botocore.exceptions import ReadTimeoutError
from moto import mock_aws
from moto.sqs.models import sqs_backends

from pixhook import runtime
from pixhook.aws.accounts import Accounts, Ledger
from pixhook.aws.breakers import Breakers
from pixhook.aws.clients import client
from pixhook.aws.dynamodb import plain
from pixhook.aws.outcomes import Outcomes
from pixhook.aws.tasks import Tasks, _task
from pixhook.errors import PixhookError
from pixhook.flows.authorize import digest
from pixhook.flows.status import StatusRead, read_status
from pixhook.model import (
    ApiKey,
    Caller,
    ErrorCode,
    Failure,
    Movement,
    MovementKind,
    Outcome,
    OutcomeMessage,
    OutcomeState,
    Scope,
    Task,
)
from pixhook.plans import PLANS
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
from tests.support.builders import ACCOUNT_ID, NOW, a_body, a_picture, an_account, an_admin_request
from tests.support.documented import assert_documented
from tests.support.promised import assert_promised

CALLER = Caller(
    account_id=ACCOUNT_ID, key_id="key_1", scopes=frozenset(Scope), limits=replace(PLANS["enterprise"], requests=10**6)
)
"""Who makes a test's requests, if it does not say otherwise: one who may do what it likes."""

PROVIDER_KEYS = {name: f"planted-key-of-{name}" for name in EVERYONE}
CALLBACK_KEY = "sample-callback-key"

SERVICES = ("dynamodb", "sqs", "s3", "events", "secretsmanager", "stepfunctions")

type Hook = Callable[[str], ServiceAnswer | None]
"""Told an operation's name. What it raises is raised; what it returns before a call stands in for the answer."""


class Died(Exception):
    """The process ended here: nothing that it tried after this took effect."""


@dataclass(frozen=True)
class Call:
    """One call of an AWS service by the code under test."""

    function: str
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
        self.upstream, self.image_hosts, self.receivers = outside.upstream(), outside.image_hosts(), outside.receivers()
        for others in (self.upstream, self.image_hosts, self.receivers):
            others.empty()
        self.calls: list[Call] = []
        """The AWS calls of the code under test, so far."""
        self.accounts = Accounts(aws("dynamodb"), SETTINGS["ACCOUNTS_TABLE"])
        """The accounts, and"""
        self.table = Tasks(
            aws("dynamodb"), SETTINGS["TASKS_TABLE"], Ledger(SETTINGS["ACCOUNTS_TABLE"]), timedelta(days=30)
        )
        """The tasks, beside whatever is done to the code under test."""
        self.while_it_waits: Callable[[], object] = lambda: None
        """What happens while a function sleeps; no time passes."""
        self.seconds_left = 28.0
        """What a function is told of its time."""
        self._running = ["a test"]
        """Who calls AWS, the last of them now: one function may be invoked while another waits for a provider."""
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
        for remembered in (_LOCAL_FAILURES, _LOCAL_SUCCESSES, _LAST_OBSERVED_STATE):
            remembered.clear()
        breakers = Breakers(client("dynamodb"), SETTINGS["BREAKERS_TABLE"])
        submitter = replace(
            runtime.submitter(), send=self.upstream.send, breakers=breakers, sleep=lambda _: self._wait()
        )
        monkeypatch.setattr(self._functions["submit"], "submit", submitter.submit)
        for name in ("poll", "expire"):
            monkeypatch.setattr(self._functions[name], "now", lambda: runtime.now() + self._ahead)
            monkeypatch.setattr(self._functions[name], "read", self._read_status)
        deliverer = replace(
            runtime.deliverer(), send=self.receivers.send, clock=lambda: runtime.now() + self._ahead, random=lambda: 0.5
        )
        monkeypatch.setattr(self._functions["deliver"], "deliver", deliverer)
        for name in ("query", "submit"):
            monkeypatch.setattr(self._functions[name], "sleep", lambda _: self._wait())
        monkeypatch.setattr(runtime.logger.registered_handler, "stream", self._log)
        self._outcomes = Outcomes(aws("sqs"), lambda: aws("s3"), QUEUE_URL, SETTINGS["IMAGES_BUCKET"])
        self._subscription = create_resources()
        monkeypatch.setattr("pixhook.aws.dead_letters.WAIT_SECONDS", 0)  # what is there is seen at once
        self.open_account()
        runtime.secrets.cache_clear()
        self.store_secret("PROVIDERS_SECRET", {name: {"api_key": key} for name, key in PROVIDER_KEYS.items()})
        self.store_secret("CALLBACK_KEYS_SECRET", {"primary": CALLBACK_KEY})

    # The functions, invoked as AWS invokes them

    def invoke(self, function: str, event: Any) -> Any:
        """What the function answers, as JSON carries it."""
        context = SimpleNamespace(
            function_name=function,
            memory_limit_in_mb=512,
            invoked_function_arn=f"arn:aws:lambda:us-east-1:123456789012:function:{function}",
            aws_request_id=str(uuid4()),
            get_remaining_time_in_millis=lambda: self.seconds_left * 1000,
        )
        self._running.append(function)
        try:
            return json.loads(json.dumps(self._functions[function].handler(event, context)))
        finally:
            self._running.pop()

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        content_type: str | None = "application/json",
        headers: Mapping[str, str] | None = None,
        caller: Caller = CALLER,
    ) -> Answer:
        """A request to the API; a body that is not text is sent as JSON."""
        text = body if isinstance(body, str | None) else json.dumps(body)
        sent = {**({} if content_type is None else {"Content-Type": content_type}), **(headers or {})}
        function, event = proxy_event(method, path, text, headers=sent, caller=caller)
        answer = self.invoke(function, event)
        received = {name.lower(): ", ".join(values) for name, values in answer["multiValueHeaders"].items()}
        if function != "receive":
            assert_documented(method, event["resource"], answer["statusCode"], received, answer["body"])
        return Answer(status=answer["statusCode"], headers=received, body=answer["body"])

    def get(self, path: str, *, account_id: str = ACCOUNT_ID, **how: Any) -> Answer:
        """A client's reading request."""
        return self.request("GET", path, **{"caller": replace(CALLER, account_id=account_id), **how})

    def submit(self, body: object, *, key: str | None = None, **how: Any) -> Answer:
        """A client's POST /images, perhaps with an idempotency key."""
        headers = {} if key is None else {"Idempotency-Key": key}
        return self.request("POST", "/images", body, headers=headers, **how)

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
        while messages := self._receive(QUEUE_URL):
            [message] = messages
            try:
                self.invoke("finish", sqs_event(message))
            except (PixhookError, Died) as error:
                raised.append(error)
                self._failed_on.append(message["ReceiptHandle"])
            else:
                aws("sqs").delete_message(QueueUrl=QUEUE_URL, ReceiptHandle=message["ReceiptHandle"])
        return raised

    def deadlines_come(self) -> None:
        """Has `expire` take every deadline there is, whose time has come; those that it could not keep stay."""
        url = SETTINGS["DEADLINE_QUEUE_URL"]
        _let_come("deadlines")
        kept = []
        while messages := self._receive(url):
            [message] = messages
            failed = self.invoke("expire", sqs_event(message, "deadlines"))["batchItemFailures"]
            if failed:
                kept.append(message["ReceiptHandle"])
            else:
                aws("sqs").delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        _let_be_seen(url, kept)

    def deliver_all(self, *, beyond: timedelta = timedelta(0)) -> list[Exception]:
        """Has `deliver` take all that can be seen on its queues; with `beyond`, what waits too, so much later.

        What it raised; the messages stay.
        """
        self._ahead += beyond
        if beyond:
            _let_come("webhooks")
        raised: list[Exception] = []
        kept: dict[str, list[str]] = {SETTINGS[name]: [] for name in ("WEBHOOK_QUEUE_URL", "ATTEMPT_QUEUE_URL")}
        while found := [(url, message) for url in kept for message in self._receive(url)]:
            for url, message in found:
                try:
                    self.invoke("deliver", sqs_event(message, url.rpartition("/")[2]))
                except (PixhookError, Died) as error:
                    raised.append(error)
                    kept[url].append(message["ReceiptHandle"])
                else:
                    aws("sqs").delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        for url, handles in kept.items():
            _let_be_seen(url, handles)
        return raised

    def let_be_seen_again(self, queue: str) -> None:
        """Has all that was taken from a queue, and not deleted, be seen again: so long it takes until it is."""
        known = _queue(queue)
        for message in known._messages:
            message.visible_at = 0
        known.pending_messages.clear()
        known.pending_message_groups.clear()

    def now(self) -> datetime:
        """The time as the code under test has it."""
        return runtime.now() + self._ahead

    def deadlines(self) -> list[int]:
        """In how many seconds each deadline that was set so far was to come."""
        return [
            call.params["DelaySeconds"]
            for call in self.calls
            if call.operation == "SendMessage" and call.params["QueueUrl"] == SETTINGS["DEADLINE_QUEUE_URL"]
        ]

    def time_passes(self, *, beyond: timedelta = timedelta(0)) -> None:
        """Has every message that `finish` failed on come back, and `finish` see so much more of the clock."""
        self._ahead += beyond
        _let_be_seen(QUEUE_URL, self._failed_on)
        self._failed_on.clear()

    # What a test begins with

    def open_account(self, *, balance: int = 1_000_000, **changes: Any) -> Caller:
        """An account with so many credits; a caller who holds a key of it."""
        account = an_account(**changes)
        self.accounts.add(account, an_admin_request(f"add-{account.id}"))
        if balance:
            granted = Movement(kind=MovementKind.GRANT, credits=balance, at=NOW, source=f"grant-{account.id}")
            self.accounts.move_credits(account.id, granted, an_admin_request(f"grant-{account.id}"))
        return replace(CALLER, account_id=account.id, limits=account.limits)

    def accepted(self, **request: Any) -> Task:
        """A task that the provider has accepted."""
        answer = self.submit(a_body(**request))
        assert answer.status == 202, answer
        return self.task(answer.document["id"])

    def put_task(self, task: Task) -> None:
        """Writes a task as `submit` does, before it asks anybody."""
        assert self.table.add(task, tasks_in_flight=10**6) is None

    def put_key(self, key: str, **changes: Any) -> ApiKey:
        """Has the account hold this key."""
        known = ApiKey(
            **{
                "id": "key_1",
                "account_id": ACCOUNT_ID,
                "name": "",
                "prefix": key[:10],
                "scopes": frozenset(Scope),
                "created_at": NOW,
                **changes,
            }
        )
        self.accounts.add_key(known, digest(key), an_admin_request(f"add-{known.id}"))
        return known

    def put_outcome(self, task: Task, outcome: Outcome) -> None:
        """Puts what was learnt of the task on the queue."""
        self._outcomes.send(OutcomeMessage(task_id=task.id, provider=task.provider, outcome=outcome))

    def a_success(self, task: Task) -> Outcome:
        """The outcome of a task with an image, which can be fetched."""
        url = self.image_hosts.serve(f"https://images.example/{task.id}.png", a_picture())
        return Outcome(state=OutcomeState.SUCCEEDED, ref=task.ref, images=(url,))

    def a_failure(self, task: Task) -> Outcome:
        """The outcome of a task without."""
        failure = Failure(code=ErrorCode.CONTENT_POLICY, message="No.")
        return Outcome(state=OutcomeState.FAILED, ref=task.ref, failure=failure)

    def complete(self, task: Task) -> None:
        """Has the task end with an image."""
        self._learn(task, self.a_success(task))

    def fail(self, task: Task) -> None:
        """Has the task end without."""
        self._learn(task, self.a_failure(task))

    def _learn(self, task: Task, outcome: Outcome) -> None:
        self.put_outcome(task, outcome)
        assert self.finish_all() == []

    def store_secret(self, setting: str, value: object) -> None:
        """Stores a secret and has the functions forget the old one; text as it stands, all else as JSON."""
        text = value if isinstance(value, str) else json.dumps(value)
        aws("secretsmanager").put_secret_value(SecretId=SETTINGS[setting], SecretString=text)
        for name in ("submit", "receive", "query"):
            # As `runtime` makes it, before anything was read.
            self._monkeypatch.setattr(self._functions[name], "secrets", runtime.secrets.__wrapped__())
        keys = runtime.secrets.__wrapped__().callback_keys
        self._monkeypatch.setattr(self._functions["admin"], "callback_keys", keys)

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
        return [_task(plain(item)) for item in self.items("TASKS_TABLE")]

    def items(self, setting: str) -> list[dict[str, Any]]:
        """All that a table holds, as DynamoDB has it."""
        return list(aws("dynamodb").scan(TableName=SETTINGS[setting])["Items"])

    def deadlines_left(self) -> int:
        """How many tasks are still to be looked at."""
        return self.waiting("DEADLINE_QUEUE_URL")

    def waiting(self, setting: str) -> int:
        """How many messages there are on a queue, seen, unseen or to come."""
        name, url = "ApproximateNumberOfMessages", SETTINGS[setting]
        attributes = aws("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        return sum(int(attributes[f"{name}{state}"]) for state in ("", "NotVisible", "Delayed"))

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
                event = json.loads(message["Body"])
                assert_promised(event["detail"])
                self._events.append(event)
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
            "before-parameter-build": lambda params, model, **_: self.calls.append(
                Call(self._running[-1], model.name, dict(params))
            ),
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

    def losing_the_answer(self, operation: str) -> AbstractContextManager[None]:
        """Has these calls take effect, and nobody hear of it."""

        def lose(name: str) -> None:
            if name == operation:
                raise ReadTimeoutError(endpoint_url="https://aws.example")

        return self.disturbed(_undisturbed, lose)

    @contextmanager
    def losing_an_answer(self, is_lost: Callable[[], bool]) -> Iterator[None]:
        """Has each answer of AWS for which `is_lost` be lost on its way to the SDK, which makes the call again."""

        def send(endpoint: Any, request: Any, operation: Any, context: Any) -> Any:
            answer = _get_response(endpoint, request, operation, context)
            lose = self._running[-1] != "a test" and is_lost()
            return (None, ReadTimeoutError(endpoint_url="https://aws.example")) if lose else answer

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Endpoint, "_get_response", send)
            yield

    @contextmanager
    def disturbed(self, before: Hook, after: Hook | None = None) -> Iterator[None]:
        """Has these hooks see each call of the code under test before it is made, and after.

        What the hook after a call returns is not taken for the service's answer; what it raises is raised.
        """
        self._before, self._after = before, after or _undisturbed
        try:
            yield
        finally:
            self._before = self._after = _undisturbed

    def refusing(
        self, *operations: str, trouble: ServiceAnswer | Exception | None = None, of: str | None = None
    ) -> AbstractContextManager[None]:
        """Has AWS give these operations, of this table or queue only if one is named by its setting, `trouble`.

        That is an answer, or what the SDK raises where there is none.
        """

        def refuse(operation: str) -> ServiceAnswer | None:
            if operation not in operations:
                return None
            if of and SETTINGS[of] not in self.calls[-1].params.values():
                return None
            if isinstance(trouble, Exception):
                raise trouble
            return trouble or service_error()

        return self.disturbed(refuse)

    def _wait(self) -> None:
        self.while_it_waits()

    def _read_status(self, task: Task) -> StatusRead:
        return read_status(task, credentials=runtime.secrets().credentials(), send=self.upstream.send)

    def _receive(self, url: str) -> list[dict[str, Any]]:
        answer = aws("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=1, MessageSystemAttributeNames=["All"])
        return list(answer.get("Messages", []))


def _let_be_seen(url: str, receipt_handles: Iterable[str]) -> None:
    """Has messages that were taken and kept be seen again."""
    for handle in receipt_handles:
        aws("sqs").change_message_visibility(QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=0)


def _let_come(queue: str) -> None:
    """Has all that waits on a queue be seen."""
    for message in _queue(queue)._messages:
        message.delayed_until = 0


def _queue(name: str) -> Any:
    """A queue as moto has it."""
    return sqs_backends["123456789012"]["us-east-1"].queues[name]


_get_response = getattr(Endpoint, "_get_response")  # noqa: B009 - the stubs do not have it


def _undisturbed(_: str) -> None:
    """Lets the call be as it is."""
