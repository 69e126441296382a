"""One round of the poller: a status read -> the next round, or an outcome on the queue."""

from random import random

from aws_lambda_powertools.utilities.typing import LambdaContext

from pixhook.flows.poll import Turn, poll
from pixhook.runtime import logger, now, outcomes, status_reader, tasks

store, queue, read = tasks(), outcomes(), status_reader()


@logger.inject_lambda_context(clear_state=True)
def handler(event: Turn, context: LambdaContext) -> Turn:
    """The next turn."""
    logger.append_keys(task_id=event["task_id"])
    return poll(event, tasks=store, outcomes=queue, read=read, clock=now, random=random)
