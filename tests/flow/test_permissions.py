"""Each function may do in AWS what it does, and nothing else: what is seen of it is compared with the template."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from local.stack import read_template
from pixhook import runtime
from pixhook.aws.breakers import CONFIG
from pixhook.aws.outcomes import MAX_INLINE_BYTES
from pixhook.callbacks import ACCOUNT, callback_url
from pixhook.flows.expire import DEADLINE_SECONDS
from pixhook.model import Outcome, OutcomeState, Task
from tests.conftest import SETTINGS
from tests.flow.cloud import aws, bury
from tests.flow.dialects import EVERYONE
from tests.flow.world import CALLBACK_KEY, Call, World
from tests.support.builders import ACCOUNT_ID, a_body, a_picture

type Permission = tuple[str, str]
"""An action, and what on, by the template's name."""

RESOURCES = {
    "ACCOUNTS_TABLE": "AccountsTable.Arn",
    "ATTEMPT_QUEUE_URL": "AttemptQueue.Arn",
    "BREAKERS_TABLE": "BreakersTable.Arn",
    "CALLBACK_KEYS_SECRET": "CallbackKeysSecret.Id",
    "ATTEMPT_DEAD_LETTERS_URL": "AttemptDeadLetterQueue.Arn",
    "DEADLINE_DEAD_LETTERS_URL": "DeadlineDeadLetterQueue.Arn",
    "DEADLINE_QUEUE_URL": "DeadlineQueue.Arn",
    "EVENT_BUS": "EventBus.Arn",
    "FINISH_DEAD_LETTERS_URL": "FinishDeadLetterQueue.Arn",
    "FINISH_QUEUE_URL": "FinishQueue.Arn",
    "POLLER": "Poller",
    "PROVIDERS_SECRET": "ProvidersSecret.Id",
    "TASKS_TABLE": "TasksTable.Arn",
    "WEBHOOK_DEAD_LETTERS_URL": "WebhookDeadLetterQueue.Arn",
    "WEBHOOK_QUEUE_URL": "WebhookQueue.Arn",
    "WEBHOOKS_TABLE": "WebhooksTable.Arn",
}

SERVICES = {
    "ChangeMessageVisibility": "sqs",
    "DeleteMessage": "sqs",
    "DeleteObject": "s3",
    "GetObject": "s3",
    "GetSecretValue": "secretsmanager",
    "PutEvents": "events",
    "PutObject": "s3",
    "ReceiveMessage": "sqs",
    "SendMessage": "sqs",
    "StartExecution": "states",
}
"""Of each operation that is not DynamoDB's."""

PARTS_OF_AN_UPLOAD = {"CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"}

NOT_SEEN: set[tuple[str, Permission]] = {
    ("finish", ("s3:AbortMultipartUpload", "${ImagesBucket.Arn}/images/*")),  # what the SDK does when a part fails
    ("query", ("s3:PutObject", "${ImagesBucket.Arn}/uploads/*")),  # what the client does with a form that was signed
}


def used(call: Call) -> Iterator[Permission]:
    """What a call takes."""
    params = call.params
    if call.operation == "TransactWriteItems":
        for write in params["TransactItems"]:
            [(kind, item)] = write.items()
            action = {"ConditionCheck": "ConditionCheckItem"}.get(kind, f"{kind}Item")
            yield f"dynamodb:{action}", named(item["TableName"])
    elif call.operation == "BatchGetItem":
        for table in params["RequestItems"]:
            yield "dynamodb:BatchGetItem", named(table)
    elif call.operation == "PutEvents":
        for entry in params["Entries"]:
            yield "events:PutEvents", named(entry["EventBusName"])
    elif call.operation == "ListObjectsV2":
        yield "s3:ListBucket", "ImagesBucket.Arn"
    elif "Bucket" in params:
        operation = "PutObject" if call.operation in PARTS_OF_AN_UPLOAD else call.operation
        yield f"s3:{operation}", f"${{ImagesBucket.Arn}}/{params['Key'].partition('/')[0]}/*"
    elif "IndexName" in params:
        arn = named(params["TableName"])
        yield f"dynamodb:{call.operation}", f"${{{arn}}}/index/{params['IndexName']}"
    else:
        known = ("TableName", "QueueUrl", "SecretId", "stateMachineArn")
        [of] = [params[name] for name in known if name in params]
        yield f"{SERVICES.get(call.operation, 'dynamodb')}:{call.operation}", named(of)


def named(value: str) -> str:
    return RESOURCES[next(name for name in RESOURCES if SETTINGS[name] == value)]


def granted() -> set[tuple[str, Permission]]:
    """What the template lets each function do."""
    found = set()
    for resource in read_template()["Resources"].values():
        if resource["Type"] != "AWS::Serverless::Function":
            continue
        name = resource["Properties"]["CodeUri"].removeprefix("functions/")
        for policy in resource["Properties"].get("Policies", []):
            for statement in policy["Statement"]:
                for action in in_a_list(statement["Action"]):
                    found |= {(name, (action, of)) for of in in_a_list(statement["Resource"])}
    return found


def in_a_list(value: str | list[str]) -> list[str]:
    return value if isinstance(value, list) else [value]


def test_functions_may_do_what_they_do_and_nothing_else(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)  # as the SDK does before it tries again
    everything_happens(world, monkeypatch)

    seen: dict[tuple[str, Permission], Call] = {}
    for call in world.calls:
        if call.operation == "CreateBucket":
            continue  # it is never made: by its URL the SDK finds that of a form
        seen |= {(call.function, permission): call for permission in used(call)}

    assert seen.keys() - granted() == set()
    assert granted() - seen.keys() == NOT_SEEN


def everything_happens(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever makes a function call AWS."""
    operators(world)
    clients(world)
    task = webhooks(world)
    providers(world)
    deadlines(world)
    circuits(world, monkeypatch)
    deliveries(world, task)
    for queue in ("finish", "deadlines", "webhooks", "attempts"):
        bury(queue, "1")
        bury(queue, "2")
        world.invoke("admin", {"action": "redrive_dead_letters", "queue": queue, "task_id": "1"})


def operators(world: World) -> None:
    account = world.invoke("admin", {"action": "create_account", "name": "Ada"})
    key = world.invoke("admin", {"action": "create_key", **account})
    world.authorize(f"Bearer {key['key']}")
    for action in ("show_account", "list_keys", "suspend_account"):
        world.invoke("admin", {"action": action, **account})
    world.invoke("admin", {"action": "callback_url", "provider": "gempix2ai"})


def clients(world: World) -> None:
    task = world.accepted()
    world.callback(world.upstream.callback_url, "not understood")
    world.complete(task)
    for path in (
        "/images",
        "/models",
        "/account",
        "/account/movements",
        f"/images/{task.id}",
        f"/images/{task.id}/files/0",
    ):
        world.get(path)
    world.request("DELETE", f"/images/{task.id}")
    world.request("POST", "/uploads", {"content_type": "image/png"})
    upload = "upl_01JNEZ2W3GQK4T5V6X7Y8Z9ABC"
    aws("s3").put_object(
        Bucket=SETTINGS["IMAGES_BUCKET"], Key=f"uploads/{ACCOUNT_ID}/{upload}", Body=a_picture("PNG", (1200, 1200))
    )
    world.submit(a_body(images=[upload]))
    world.submit(a_body(), key="k")
    world.submit(a_body(resolution="9k"), key="k")  # looks for the task of the key
    world.upstream.answer = lambda _: httpx.Response(400)
    world.submit(a_body())
    world.upstream.answer = world.upstream._accept


def providers(world: World) -> None:
    big = {"image": "data:image/png;base64," + "A" * MAX_INLINE_BYTES}
    inline = world.accepted(provider="defapi")
    url = world.upstream.callback_url
    world.callback(url, {**EVERYONE["defapi"].succeeded("https://images.example/a.png"), "result": [big]})
    world.finish_all()
    world.callback(url, "not understood")
    hinted = world.accepted(provider="gempix2ai")
    hint = EVERYONE["gempix2ai"].succeeded("https://images.example/a.png")
    world.upstream.answer = lambda _: httpx.Response(503)  # it is not confirmed, and comes again
    world.callback(callback_url(SETTINGS["PUBLIC_BASE_URL"], "gempix2ai", ACCOUNT, [CALLBACK_KEY]), hint)
    world.finish_all()
    world.upstream.answer = world.upstream._accept
    polled = world.accepted(provider="gptimage2api")
    many = [f"https://images.example/{number}/{'x' * 2000}" for number in range(MAX_INLINE_BYTES // 2000)]
    told(world, polled, *many)
    runtime.secrets.cache_clear()
    world.invoke("poll", world.pollers()[polled.id])
    large = world.accepted()
    source = world.image_hosts.serve("https://images.example/large.png", a_large_picture())
    world.put_outcome(large, Outcome(state=OutcomeState.SUCCEEDED, ref=large.ref, images=(source,)))
    world.finish_all()
    assert {inline.id, hinted.id, polled.id} <= {task.id for task in world.tasks()}


def a_large_picture() -> bytes:
    """More than one part of an upload."""
    return a_picture("PNG", (1600, 1600)).ljust(6 * 1024 * 1024, b"\0")


def deadlines(world: World) -> None:
    world.upstream.answer = world.upstream._accept
    early = world.accepted()
    world.deadlines_come()  # before its time: it is put back
    running = world.accepted(provider="gempix2ai")
    world.upstream.answer = lambda _: httpx.Response(200, json=EVERYONE["gempix2ai"].status("processing"))
    world.time_passes(beyond=timedelta(seconds=DEADLINE_SECONDS))
    world.deadlines_come()
    world.upstream.answer = world.upstream._accept
    late = world.accepted(provider="gptimage2api")
    told(world, late, *(f"https://images.example/{number}/{'x' * 2000}" for number in range(200)))
    world.time_passes(beyond=timedelta(hours=2))
    runtime.secrets.cache_clear()
    world.deadlines_come()
    world.upstream.answer = world.upstream._accept
    assert {early.account_id, running.account_id, late.account_id} == {ACCOUNT_ID}


def told(world: World, task: Task, *images: str) -> None:
    """Has the provider say, when it is asked, that the task has these images."""
    document: dict[str, Any] = EVERYONE[task.provider].status("success", *images)
    world.upstream.answer = lambda _: httpx.Response(200, json=document)


def circuits(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that opens, and closes again at once."""
    world.upstream.answer = lambda _: httpx.Response(503)
    for _ in range(CONFIG.failure_threshold):
        world.submit(a_body(provider="apixo"))
    world.upstream.answer = world.upstream._accept
    monkeypatch.setattr(CONFIG, "recovery_timeout", 0)
    world.submit(a_body(provider="apixo"))


def webhooks(world: World) -> Task:
    """A task whose end has a receiver."""
    endpoint = world.request("POST", "/webhooks", {"url": "https://shop.example/"}).document
    path = f"/webhooks/{endpoint['id']}"
    for method, place in (
        ("GET", "/webhooks"),
        ("GET", path),
        ("PATCH", path),
        ("POST", f"{path}/test"),
        ("GET", f"{path}/deliveries"),
        ("POST", "/webhooks/secret/rotate"),
        ("GET", "/webhooks/secret"),
    ):
        world.request(method, place, {} if method == "PATCH" else None)
    task = world.accepted()
    world.complete(task)
    return task


def deliveries(world: World, task: Task) -> None:
    world.receivers.answers["shop.example"] = lambda _: httpx.Response(503)
    for _ in range(12):
        world.deliver_all(beyond=timedelta(days=1))
    [entry] = world.get(f"/images/{task.id}/deliveries").document["deliveries"]
    assert entry["given_up"] == "exhausted"
    world.request("POST", f"/images/{task.id}/deliveries/{entry['id']}/redeliver")
    world.receivers.answers["shop.example"] = lambda _: httpx.Response(410)
    world.deliver_all(beyond=timedelta(days=1))
    world.request("DELETE", f"/webhooks/{entry['webhook_id']}")
