"""Accounts and keys, for operators: invoked with IAM only."""

from aws_lambda_powertools.utilities.typing import LambdaContext

from pixhook.flows.admin import administer
from pixhook.model import Json
from pixhook.runtime import accounts, logger, now

store = accounts()


@logger.inject_lambda_context(clear_state=True)
def handler(event: Json, context: LambdaContext) -> dict[str, str]:
    """What the action gives; an error's message comes back as the invocation's error."""
    result = administer(event, accounts=store, clock=now)
    logger.info("done", extra={"action": event["action"]} | {k: v for k, v in result.items() if k != "key"})
    return result
