"""Accounts and keys, for operators: invoked with IAM only."""

from aws_lambda_powertools.utilities.typing import LambdaContext

from pixhook.flows.admin import administer
from pixhook.model import Json
from pixhook.runtime import accounts, logger, now, secrets, settings

store, callback_keys = accounts(), secrets().callback_keys
base_url = settings().public_base_url or settings().api_url

SHOWN_ONCE = {"key", "callback_url"}


@logger.inject_lambda_context(clear_state=True)
def handler(event: Json, context: LambdaContext) -> dict[str, str]:
    """What the action gives; an error's message comes back as the invocation's error."""
    result = administer(event, accounts=store, callback_keys=callback_keys, base_url=base_url, clock=now)
    shown = {name: value for name, value in result.items() if name not in SHOWN_ONCE}
    logger.info("done", extra={"action": event["action"], **shown})
    return result
