"""GET: a task, its images, and the models."""

from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from pixhook import runtime
from pixhook.documents import task_document
from pixhook.flows.query import file_url, find_task, models
from pixhook.model import Json, Task

app = runtime.api()
logger = runtime.logger
tasks, images, secrets = runtime.tasks(), runtime.images(), runtime.secrets()


@app.get("/images/<task_id>")
def get_image(task_id: str) -> dict[str, Json]:
    """The task."""
    return task_document(_own(task_id))


@app.get("/images/<task_id>/files/<number>")
def get_file(task_id: str, number: str) -> Response[str]:
    """A redirect to where the file can be read for a while."""
    url = file_url(_own(task_id), number, presign=images.presign)
    return Response(status_code=302, body="", headers={"location": url, "cache-control": "no-store"})


@app.get("/models")
def get_models() -> dict[str, Json]:
    """The models, and what is on offer now."""
    return {"models": models(secrets.credentials())}


def _own(task_id: str) -> Task:
    account_id = app.current_event.request_context.authorizer["account_id"]
    task = find_task(task_id, account_id=account_id, get=tasks.get)
    logger.info("read", extra={"task_id": task.id, "status": task.status})
    return task


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answers API Gateway."""
    return app.resolve(event, context)
