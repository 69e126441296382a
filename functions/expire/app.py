"""DeadlineQueue: the last resort for a task that nothing else has ended."""

import json
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from pixhook.flows.expire import expire
from pixhook.runtime import deadlines, logger, now, outcomes, settings, status_reader, tasks

store, queue, again = tasks(), outcomes(), deadlines()
read = status_reader() if settings().last_resort_reads == "true" else None
processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)


def look_at(record: SQSRecord) -> None:
    """Ends the record's task, if that is due."""
    task_id = json.loads(record.body)["task_id"]
    logger.append_keys(task_id=task_id)
    logger.info("deadline reached")
    expire(task_id, tasks=store, outcomes=queue, deadlines=again, read=read, clock=now)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> Any:
    """Which records have to come again."""
    return process_partial_response(event=event, record_handler=look_at, processor=processor, context=context)
