"""The state machine that reads the status of tasks whose provider does not call back: one execution per task."""

import json
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from pixhook.aws.clients import error_code, translated

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mypy_boto3_stepfunctions import SFNClient

    from pixhook.model import Json


class Pollers:
    """Starts pollers."""

    def __init__(self, stepfunctions: "Callable[[], SFNClient]", state_machine: str) -> None:
        """The client is made when it is needed: most providers call back."""
        self._stepfunctions = stepfunctions
        self._state_machine = state_machine

    def start(self, task_id: str, turn: "Mapping[str, Json]") -> None:
        """Starts the task's poller; a second time changes nothing, because it has the task's name.

        Raises:
            StoreUnavailable: it may run or not.
        """
        with translated("start the poller"):
            try:
                self._stepfunctions().start_execution(
                    stateMachineArn=self._state_machine, name=task_id, input=json.dumps(turn)
                )
            except ClientError as error:
                if error_code(error) != "ExecutionAlreadyExists":
                    raise
