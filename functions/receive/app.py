"""POST /callbacks/... -> verified -> outcome on the queue."""

from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from pixhook import runtime
from pixhook.api import Api
from pixhook.flows.receive import receive

app = Api(is_open=True)
logger = runtime.logger
secrets, outcomes = runtime.secrets(), runtime.outcomes()


@app.post("/callbacks/.+")
def receive_callback() -> Response[str]:
    """200, once the outcome is durable."""
    _, body = app.content
    receive(app.current_event.path_parameters["proxy"], body, keys=secrets.callback_keys(), outcomes=outcomes)
    return Response(status_code=200, content_type="application/json", body="{}")


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answers API Gateway."""
    return app.resolve(event, context)
