"""One circuit per provider, its state in DynamoDB: who has failed several times is not asked for a moment.

Failures are counted by each execution environment; what they come to is shared. While the table cannot be read, calls
are made as if all circuits were closed.
"""

from typing import TYPE_CHECKING

from aws_lambda_powertools.utilities.circuit_breaker import CircuitBreakerConfig, circuit_breaker
from aws_lambda_powertools.utilities.circuit_breaker.exceptions import CircuitBreakerOpenError
from aws_lambda_powertools.utilities.circuit_breaker.persistence import CircuitBreakerDynamoDBPersistence

from pixhook.errors import NoAnswer, NotAsked, ProviderInTrouble, ProviderUnclear

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_dynamodb import DynamoDBClient

CONFIG = CircuitBreakerConfig(
    failure_threshold=5,
    recovery_timeout=30,
    success_threshold=1,  # a probe is a client's request, and each one an image
    handled_exceptions=(NoAnswer, ProviderInTrouble, ProviderUnclear),
)


class Breakers:
    """Guards calls of providers."""

    def __init__(self, dynamodb: "DynamoDBClient", table: str) -> None:
        self._store = CircuitBreakerDynamoDBPersistence(table_name=table, boto3_client=dynamodb)

    def call[Result](self, provider: str, ask: "Callable[[], Result]") -> Result:
        """What `ask` gives; its errors come out as they are.

        Raises:
            NotAsked: it was not called, because its circuit is open.
        """
        guarded: Callable[[], Result] = circuit_breaker(name=provider, persistence_store=self._store, config=CONFIG)(
            ask
        )
        try:
            return guarded()
        except CircuitBreakerOpenError as error:
            raise NotAsked("it has failed several times in a row") from error
