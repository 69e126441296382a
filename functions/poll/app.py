"""One round of the poller: a status read -> the next round, or an outcome on the queue."""

from functools import partial
from random import random

from aws_lambda_powertools.utilities.typing import LambdaContext

from pixhook.flows.poll import Turn, poll
from pixhook.flows.status import read_status
from pixhook.http import HttpSender
from pixhook.runtime import logger, now, outcomes, secrets, tasks

store, queue, keys, send = tasks(), outcomes(), secrets(), HttpSender()


@logger.inject_lambda_context(clear_state=True)
def handler(event: Turn, context: LambdaContext) -> Turn:
    """The next turn."""
    logger.append_keys(task_id=event["task_id"])
    read = partial(read_status, credentials=keys.credentials(), send=send)
    return poll(event, tasks=store, outcomes=queue, read=read, clock=now, random=random)
