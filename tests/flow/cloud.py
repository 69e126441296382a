"""AWS around the handlers: what `template.yaml` makes, the events it hands to them, the answers it may give."""

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, unquote
from uuid import uuid4

import boto3
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

from local.stack import ROOT, read_template
from pixhook.flows.authorize import to_context
from pixhook.model import Caller
from tests.conftest import SETTINGS

FUNCTIONS = sorted(app.parent.name for app in (ROOT / "functions").glob("*/app.py"))
QUEUE_URL = SETTINGS["FINISH_QUEUE_URL"]
API_ARN = "arn:aws:execute-api:us-east-1:123456789012:a1b2c3d4e5/v1"

_RESOURCES: Mapping[str, dict[str, Any]] = {
    name: resource.get("Properties", {}) for name, resource in read_template()["Resources"].items()
}


@cache
def aws(service: str) -> Any:
    """The tests' own client: what is done to those of the code under test does not reach it."""
    return boto3.Session().client(service)  # type: ignore[call-overload]


TABLES = (
    ("TasksTable", "TASKS_TABLE"),
    ("AccountsTable", "ACCOUNTS_TABLE"),
    ("BreakersTable", "BREAKERS_TABLE"),
    ("WebhooksTable", "WEBHOOKS_TABLE"),
)

QUEUES = (
    ("finish.fifo", "FinishQueue"),
    ("deadlines", "DeadlineQueue"),
    ("webhooks", "WebhookQueue"),
    ("attempts.fifo", "AttemptQueue"),
)


def create_resources() -> str:
    """Makes what the template does, and a subscriber's queue on the bus; that queue's URL."""
    for resource, setting in TABLES:
        taken = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")
        properties = {name: value for name, value in _RESOURCES[resource].items() if name in taken}
        aws("dynamodb").create_table(TableName=SETTINGS[setting], **properties)
    for name, resource in QUEUES:
        dead = f"dead-{name}"
        _create_queue(dead, _RESOURCES[resource.replace("Queue", "DeadLetterQueue")])
        redrive = _RESOURCES[resource]["RedrivePolicy"] | {"deadLetterTargetArn": _queue_arn(dead)}
        _create_queue(name, _RESOURCES[resource] | {"RedrivePolicy": redrive})
    aws("s3").create_bucket(Bucket=SETTINGS["IMAGES_BUCKET"])
    aws("stepfunctions").create_state_machine(
        name="poller",
        definition=(ROOT / "functions/poll/poller.asl.json").read_text(),
        roleArn="arn:aws:iam::123456789012:role/poller",
    )
    for setting in ("PROVIDERS_SECRET", "CALLBACK_KEYS_SECRET"):
        aws("secretsmanager").create_secret(Name=SETTINGS[setting])
    return _subscribe(SETTINGS["EVENT_BUS"])


def proxy_event(
    method: str, path: str, body: str | None, *, headers: Mapping[str, str], caller: Caller
) -> tuple[str, dict[str, Any]]:
    """The function that the template routes a request to, and what API Gateway hands it."""
    path, _, query = path.partition("?")
    parameters = dict(parse_qsl(query, keep_blank_values=True)) or None
    function, resource, is_open, in_path = _route(method, path)
    headers = {"Host": "pixhook.example", "User-Agent": "flow-test", **headers}
    authorized = {"principalId": caller.account_id, "integrationLatency": 7, **to_context(caller)}
    return function, {
        "resource": resource,
        "path": path,
        "httpMethod": method,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": parameters,
        "multiValueQueryStringParameters": parameters and {name: [value] for name, value in parameters.items()},
        "pathParameters": in_path or None,
        "stageVariables": None,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "a1b2c3d4e5",
            "domainName": "a1b2c3d4e5.execute-api.us-east-1.amazonaws.com",
            "httpMethod": method,
            "identity": {"sourceIp": "203.0.113.7", "userAgent": "flow-test"},
            "path": f"/v1{path}",
            "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
            "requestTimeEpoch": 1772366400000,
            "resourcePath": resource,
            "stage": "v1",
            **({} if is_open else {"authorizer": authorized}),
        },
        "body": body,
        "isBase64Encoded": False,
    }


def sqs_event(message: Mapping[str, Any], queue: str = "finish.fifo") -> dict[str, Any]:
    """What the event source mapping hands on of a message."""
    return {
        "Records": [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": message["Attributes"],
                "messageAttributes": {},
                "md5OfBody": message["MD5OfBody"],
                "eventSource": "aws:sqs",
                "eventSourceARN": _queue_arn(queue),
                "awsRegion": "us-east-1",
            }
        ]
    }


type ServiceAnswer = tuple[AWSResponse, dict[str, Any]]


def service_answer(document: Mapping[str, Any], status: int = 200) -> ServiceAnswer:
    """A service's answer, as the SDK's hooks take one."""
    return AWSResponse("https://aws.example/", status, HTTPHeaders(), None), {"ResponseMetadata": {}, **document}


def service_error(code: str = "InternalServerError", status: int = 500) -> ServiceAnswer:
    """A service's error answer."""
    return service_answer({"Error": {"Code": code, "Message": "It did not work."}}, status)


def _route(method: str, path: str) -> tuple[str, str, bool, dict[str, str]]:
    """Where the template leads a request: function, resource, whether anybody may call it, the path's parameters."""
    for properties in _RESOURCES.values():
        for event in properties.get("Events", {}).values():
            if event["Type"] != "Api" or event["Properties"]["Method"] != method:
                continue
            resource = event["Properties"]["Path"]
            pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", resource.replace("{proxy+}", "(?P<proxy>.+)"))
            if match := re.fullmatch(pattern, path):
                parameters = {name: unquote(value) for name, value in match.groupdict().items()}
                return (
                    properties["CodeUri"].removeprefix("functions/"),
                    resource,
                    "Auth" in event["Properties"],
                    parameters,
                )
    raise LookupError(f"The template has no route for {method} {path}")


def _create_queue(name: str, properties: Mapping[str, Any]) -> str:
    attributes = {key: value if isinstance(value, str) else json.dumps(value) for key, value in properties.items()}
    return str(aws("sqs").create_queue(QueueName=name, Attributes=attributes)["QueueUrl"])


def bury(queue: str, task_id: str, **more: Any) -> None:
    """Puts a message about the task to the dead letters of a queue, by the name that operators call it."""
    fifo = {"MessageGroupId": task_id, "MessageDeduplicationId": uuid4().hex}
    setting = {"deadlines": "DEADLINE"}.get(queue, queue.removesuffix("s").upper())
    url = SETTINGS[f"{setting}_DEAD_LETTERS_URL"]
    body = json.dumps({"task_id": task_id, **more})
    aws("sqs").send_message(QueueUrl=url, MessageBody=body, **(fifo if url.endswith(".fifo") else {}))


def _queue_arn(name: str) -> str:
    return f"arn:aws:sqs:us-east-1:123456789012:{name}"


def _subscribe(bus: str) -> str:
    url = _create_queue("subscriber", {})
    aws("events").create_event_bus(Name=bus)
    _rule(bus, "all", {"source": ["pixhook"]}, "subscriber")
    _rule(bus, "webhooks", _RESOURCES["WebhookRule"]["EventPattern"], "webhooks")
    return url


def _rule(bus: str, name: str, pattern: Mapping[str, Any], queue: str) -> None:
    aws("events").put_rule(Name=name, EventBusName=bus, EventPattern=json.dumps(pattern))
    aws("events").put_targets(Rule=name, EventBusName=bus, Targets=[{"Id": "1", "Arn": _queue_arn(queue)}])
