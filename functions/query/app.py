"""GET: a task, its images, the models, and the account. POST /uploads: where to put a reference image."""

import json
from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from pixhook import runtime
from pixhook.api import Api
from pixhook.documents import (
    AccountDocument,
    ModelList,
    MovementPage,
    TaskDocument,
    TaskPage,
    account_document,
    movement_document,
    task_document,
)
from pixhook.flows.query import file_url, find_account, find_task, models, present, wait_while
from pixhook.flows.search import read_download, read_paging, read_patience, read_search
from pixhook.flows.uploads import begin_upload
from pixhook.lifecycle import GOING_ON
from pixhook.model import Task

app = Api()
logger, sleep = runtime.logger, runtime.sleep
tasks, images, secrets, accounts = runtime.tasks(), runtime.images(), runtime.secrets(), runtime.accounts()

LAST_LOOK_SECONDS = 4
"""What is kept of the function's time, for the answer."""


@app.get("/images")
def list_images() -> TaskPage:
    """The account's tasks, the latest first."""
    search = read_search(app.current_event.query_string_parameters)
    page = tasks.of_account(
        app.caller.account_id,
        fits=search.fits,
        limit=search.limit,
        cursor=search.cursor,
        after=search.created_after,
        before=search.created_before,
    )
    logger.info("listed", extra={"images": len(page.items)})
    return {"images": [task_document(task) for task in page.items], "next_cursor": page.cursor}


@app.get("/images/<task_id>")
def get_image(task_id: str) -> TaskDocument:
    """The task, once it has ended if the client waits for that."""
    patience = read_patience(app.current_event.query_string_parameters)
    task = present(_own(task_id))
    seconds = min(patience.wait, app.lambda_context.get_remaining_time_in_millis() / 1000 - LAST_LOOK_SECONDS)
    return task_document(wait_while(GOING_ON, task, seconds, get=tasks.get, sleep=sleep, clock=runtime.now))


@app.get("/images/<task_id>/files/<number>")
def get_file(task_id: str, number: str) -> Response[str]:
    """A redirect to where the file can be read for a while."""
    download = read_download(app.current_event.query_string_parameters)
    url = file_url(present(_own(task_id)), number, download.expires_in, presign=images.presign)
    return Response(status_code=302, body="", headers={"location": url, "cache-control": "no-store"})


@app.get("/models")
def get_models() -> ModelList:
    """The models, and what is on offer now."""
    return {"models": models(secrets.credentials())}


@app.get("/account")
def get_account() -> AccountDocument:
    """The account: its plan, its balance, what it has used."""
    account = find_account(app.caller.account_id, accounts.get)
    return account_document(account, app.window)


@app.get("/account/movements")
def get_movements() -> MovementPage:
    """The account's ledger, the latest first."""
    paging = read_paging(app.current_event.query_string_parameters)
    page = accounts.movements(app.caller.account_id, limit=paging.limit, cursor=paging.cursor)
    return {"movements": [movement_document(movement) for movement in page.items], "next_cursor": page.cursor}


@app.post("/uploads")
def create_upload() -> Response[str]:
    """201 and the form by which the client puts a file in our bucket."""
    upload = begin_upload(app.caller.account_id, *app.content, forms=runtime.uploads(), now=runtime.now())
    logger.info("upload begun", extra={"upload": upload["upload"]})
    return Response(status_code=201, content_type="application/json", body=json.dumps(upload))


def _own(task_id: str) -> Task:
    task = find_task(task_id, account_id=app.caller.account_id, get=tasks.get)
    logger.info("read", extra={"task_id": task.id, "status": task.status})
    return task


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answers API Gateway."""
    return app.resolve(event, context)
