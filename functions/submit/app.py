"""POST /images -> task written -> provider asked. Canceling: the client's word on the queue. DELETE: it is erased."""

import json
from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from pixhook import runtime
from pixhook.api import Api
from pixhook.documents import TaskDocument, task_document
from pixhook.flows.cancel import cancel
from pixhook.flows.erase import erase
from pixhook.flows.query import find_task
from pixhook.flows.requests import read_request
from pixhook.flows.submit import keyed_task_id, new_task_id
from pixhook.lifecycle import is_terminal

app = Api()
logger, sleep = runtime.logger, runtime.sleep
secrets, guard = runtime.secrets(), runtime.address_guard()
tasks, outcomes = runtime.tasks(), runtime.outcomes()
submit = runtime.submitter().submit


@app.post("/images")
def submit_image() -> Response[str]:
    """The task, accepted."""
    event = app.current_event
    base_url = runtime.public_base_url(event.request_context)
    account_id, key = app.caller.account_id, event.headers.get("idempotency-key")
    task_id = new_task_id(runtime.now()) if key is None else keyed_task_id(account_id, key)
    logger.append_keys(task_id=task_id)
    submitted = submit(
        read_request(*app.content, guard),
        caller=app.caller,
        base_url=base_url,
        task_id=task_id,
        is_repeatable=key is not None,
        credentials=secrets.credentials(),
        callback_keys=secrets.callback_keys(),
        time_left=lambda: app.lambda_context.get_remaining_time_in_millis() / 1000,
    )
    task = submitted.task
    seen = {"provider": task.provider, "to": task.status, "ref": task.ref}
    logger.info("replayed" if submitted.is_replay else "submitted", extra=seen)
    replayed = {"idempotent-replayed": "true"} if submitted.is_replay else {}
    return Response(
        status_code=202,
        content_type="application/json",
        body=json.dumps(task_document(task)),
        headers={"location": f"{base_url}/images/{task.id}", **replayed},
    )


@app.post("/images/<task_id>/cancel")
def cancel_image(task_id: str) -> Response[str]:
    """200 and the task, canceled; 202 where that takes longer."""
    logger.append_keys(task_id=task_id)
    task = find_task(task_id, account_id=app.caller.account_id, get=tasks.get)
    task = cancel(task, outcomes=outcomes, get=tasks.get, sleep=sleep, clock=runtime.now)
    logger.info("cancel", extra={"provider": task.provider, "to": task.status})
    return Response(
        status_code=200 if is_terminal(task.status) else 202,
        content_type="application/json",
        body=json.dumps(task_document(task)),
    )


@app.delete("/images/<task_id>")
def erase_image(task_id: str) -> TaskDocument:
    """What is left of the task."""
    logger.append_keys(task_id=task_id)
    task = find_task(task_id, account_id=app.caller.account_id, get=tasks.get)
    task = erase(task, tasks=tasks, images=runtime.images(), now=runtime.now())
    logger.info("erased")
    return task_document(task)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answers API Gateway."""
    return app.resolve(event, context)
