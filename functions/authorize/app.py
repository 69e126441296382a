"""API Gateway's authorizer: the API key in the header -> whose it is."""

from typing import Any

from aws_lambda_powertools.utilities.data_classes import event_source
from aws_lambda_powertools.utilities.data_classes.api_gateway_authorizer_event import (
    APIGatewayAuthorizerResponse,
    APIGatewayAuthorizerTokenEvent,
)
from aws_lambda_powertools.utilities.typing import LambdaContext

from pixhook.flows.authorize import authorize, to_context
from pixhook.runtime import accounts, logger, now

store = accounts()


@logger.inject_lambda_context(clear_state=True)
@event_source(data_class=APIGatewayAuthorizerTokenEvent)
def handler(event: APIGatewayAuthorizerTokenEvent, context: LambdaContext) -> dict[str, Any]:
    """An allowing policy with the account, for all routes: API Gateway caches it by key.

    Raises:
        Exception: "Unauthorized", the one text that API Gateway turns into a 401.
    """
    caller = authorize(event.authorization_token or "", store, now())
    logger.info("authorized" if caller else "unauthorized", extra={"key_id": caller and caller.key_id})
    if caller is None:
        raise Exception("Unauthorized")  # noqa: TRY002
    arn = event.parsed_arn
    policy = APIGatewayAuthorizerResponse(
        principal_id=caller.account_id,
        region=arn.region,
        aws_account_id=arn.aws_account_id,
        api_id=arn.api_id,
        stage=arn.stage,
        context=to_context(caller),
        partition=arn.partition,
    )
    policy.allow_all_routes()
    return policy.asdict()
