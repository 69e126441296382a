"""FinishQueue: outcome -> images in S3 -> terminal state -> event published."""

from aws_lambda_powertools.utilities.data_classes import SQSEvent, event_source
from aws_lambda_powertools.utilities.typing import LambdaContext

from pixhook.runtime import finisher, logger

finish = finisher().handle


@logger.inject_lambda_context(clear_state=True)
@event_source(data_class=SQSEvent)
def handler(event: SQSEvent, context: LambdaContext) -> None:
    """Ends the task of each record; the template has them come one at a time."""
    for record in event.records:
        logger.append_keys(task_id=record.attributes.message_group_id)
        finish(record.body, record.receipt_handle, int(record.attributes.approximate_receive_count or 1))
