"""WebhookQueue and AttemptQueue: signed webhooks to those who asked for them."""

import json

from aws_lambda_powertools.utilities.data_classes import SQSEvent, event_source
from aws_lambda_powertools.utilities.typing import LambdaContext

from pixhook.model import DeliveryTurn
from pixhook.runtime import deliverer, logger

deliver = deliverer()


@logger.inject_lambda_context(clear_state=True)
@event_source(data_class=SQSEvent)
def handler(event: SQSEvent, context: LambdaContext) -> None:
    """Does what each record is there for; the template has them come one at a time."""
    for record in event.records:
        message = json.loads(record.body)
        if record.attributes.message_group_id:
            deliver.attempt(DeliveryTurn(**message))
        else:
            deliver.handle(message)
