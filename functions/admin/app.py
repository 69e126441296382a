"""Accounts, keys, credits and dead letters, for operators: invoked with IAM only."""

from aws_lambda_powertools.utilities.typing import LambdaContext

from pixhook.flows.admin import administer
from pixhook.model import Json
from pixhook.runtime import accounts, dead_letters, logger, now, secrets, settings

store, letters, callback_keys = accounts(), dead_letters(), secrets().callback_keys
base_url = settings().public_base_url or settings().api_url


@logger.inject_lambda_context(clear_state=True)
def handler(event: Json, context: LambdaContext) -> dict[str, Json]:
    """What the action gives; an error's message comes back as the invocation's error."""
    result = administer(
        event,
        accounts=store,
        dead_letters=letters,
        callback_keys=callback_keys,
        base_url=base_url,
        request_id=context.aws_request_id,
        clock=now,
    )
    ids = {name: result.get(name) for name in ("account_id", "key_id")}
    logger.info("done", extra={"action": event["action"], **ids})
    return result
