"""GET: a task, its images, the models, and the account."""

from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from pixhook import runtime
from pixhook.api import Api
from pixhook.documents import account_document, movement_document, task_document
from pixhook.flows.query import file_url, find_account, find_task, models, page_limits
from pixhook.model import Json, Task

app = Api()
logger = runtime.logger
tasks, images, secrets, accounts = runtime.tasks(), runtime.images(), runtime.secrets(), runtime.accounts()


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


@app.get("/account")
def get_account() -> dict[str, Json]:
    """The account: its plan, its balance, what it has used."""
    account = find_account(app.caller.account_id, accounts.get)
    return account_document(account, app.window)


@app.get("/account/movements")
def get_movements() -> dict[str, Json]:
    """The account's ledger, the latest first."""
    limit, cursor = page_limits(app.current_event.query_string_parameters)
    page = accounts.movements(app.caller.account_id, limit=limit, cursor=cursor)
    return {"movements": [movement_document(movement) for movement in page.items], "next_cursor": page.cursor}


def _own(task_id: str) -> Task:
    task = find_task(task_id, account_id=app.caller.account_id, get=tasks.get)
    logger.info("read", extra={"task_id": task.id, "status": task.status})
    return task


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answers API Gateway."""
    return app.resolve(event, context)
