"""/webhooks, and the delivery log of images: where an account wants to hear of its tasks, and what came of it."""

import json
from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from pixhook import runtime
from pixhook.api import Api
from pixhook.documents import (
    DeliveryDocument,
    DeliveryList,
    EndpointDocument,
    EndpointList,
    SecretsDocument,
    delivery_document,
    endpoint_document,
    secrets_document,
)
from pixhook.flows.query import find_task

app = Api()
logger, tasks, webhooks = runtime.logger, runtime.tasks(), runtime.webhooks()
manager = runtime.webhook_manager()


@app.post("/webhooks")
def create_webhook() -> Response[str]:
    """201 and the new endpoint."""
    endpoint = manager.create(app.caller.account_id, *app.content)
    logger.info("webhook created", extra={"webhook_id": endpoint.id})
    return _answer(201, endpoint_document(endpoint))


@app.get("/webhooks")
def list_webhooks() -> EndpointList:
    """The account's endpoints, the oldest first."""
    return {"webhooks": [endpoint_document(endpoint) for endpoint in webhooks.endpoints(app.caller.account_id)]}


@app.get("/webhooks/secret")
def get_secret() -> SecretsDocument:
    """What the account's webhooks are signed with."""
    return secrets_document(manager.secrets(app.caller.account_id), runtime.now())


@app.post("/webhooks/secret/rotate")
def rotate_secret() -> SecretsDocument:
    """A new secret, and the one before, which is good for a while longer."""
    logger.info("webhook secret rotated")
    return secrets_document(manager.rotate(app.caller.account_id), runtime.now())


@app.get("/webhooks/<webhook_id>")
def get_webhook(webhook_id: str) -> EndpointDocument:
    """The endpoint."""
    return endpoint_document(manager.find(app.caller.account_id, webhook_id))


@app.patch("/webhooks/<webhook_id>")
def change_webhook(webhook_id: str) -> EndpointDocument:
    """The endpoint, changed."""
    return endpoint_document(manager.change(app.caller.account_id, webhook_id, *app.content))


@app.delete("/webhooks/<webhook_id>")
def delete_webhook(webhook_id: str) -> Response[str]:
    """204, whether or not it was there."""
    manager.delete(app.caller.account_id, webhook_id)
    return Response(status_code=204, body="")


@app.post("/webhooks/<webhook_id>/test")
def test_webhook(webhook_id: str) -> Response[str]:
    """202 and the delivery of a test event."""
    return _answer(202, delivery_document(manager.test(app.caller.account_id, webhook_id)))


@app.get("/webhooks/<webhook_id>/deliveries")
def list_test_deliveries(webhook_id: str) -> DeliveryList:
    """What came of the endpoint's test events, the latest first."""
    endpoint = manager.find(app.caller.account_id, webhook_id)
    return {"deliveries": [delivery_document(delivery) for delivery in webhooks.deliveries(endpoint.id)]}


@app.get("/images/<task_id>/deliveries")
def list_deliveries(task_id: str) -> DeliveryList:
    """What came of telling of the task, the latest first."""
    task = find_task(task_id, account_id=app.caller.account_id, get=tasks.get)
    return {"deliveries": [delivery_document(delivery) for delivery in webhooks.deliveries(task.id)]}


@app.post("/images/<task_id>/deliveries/<delivery_id>/redeliver")
def redeliver(task_id: str, delivery_id: str) -> Response[str]:
    """202 and the delivery, begun anew."""
    task = find_task(task_id, account_id=app.caller.account_id, get=tasks.get)
    return _answer(202, delivery_document(manager.redeliver(task.id, delivery_id)))


def _answer(status: int, document: EndpointDocument | DeliveryDocument) -> Response[str]:
    return Response(status_code=status, content_type="application/json", body=json.dumps(document))


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answers API Gateway."""
    return app.resolve(event, context)
