"""POST /callbacks/... -> verified -> outcome on the queue."""

from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext
from pixhook import runtime
from pixhook.errors import CallbackRejected
from pixhook.flows.receive import receive

app = runtime.api()
logger = runtime.logger
secrets, outcomes = runtime.secrets(), runtime.outcomes()


@app.post("/callbacks/<provider>/<task_id>/<mac>")
def receive_callback(provider: str, task_id: str, mac: str) -> Response[str]:
    """200, once the outcome is durable."""
    body = (app.current_event.body or "").encode("utf-8", "surrogatepass")
    receive(provider, task_id, mac, body, keys=secrets.callback_keys(), outcomes=outcomes)
    return Response(status_code=200, content_type="application/json", body="{}")


@app.post("/callbacks/.+")
def reject_callback() -> Response[str]:
    """401: a URL that is not of our form cannot carry our MAC."""
    raise CallbackRejected("The callback URL does not carry a valid MAC.")


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answers API Gateway."""
    return app.resolve(event, context)
