"""The API as its functions serve it: who calls is known, limits are on every answer, errors are problem documents."""

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError

from pixhook import runtime
from pixhook.errors import NotFound
from pixhook.flows.admit import admit, headers
from pixhook.flows.authorize import from_context
from pixhook.model import Caller, Window
from pixhook.problems import CONTENT_TYPE, problem


class Api(APIGatewayRestResolver):
    """Routes by what API Gateway has routed by."""

    caller: Caller
    """Who makes the request that is being served."""
    window: Window
    """How many requests the caller's account has made."""

    def __init__(self, *, is_open: bool = False) -> None:
        """An open one serves anybody: its routes have no authorizer."""
        super().__init__()
        self._is_open = is_open
        self.exception_handler(Exception)(_answer)
        self.exception_handler(NotFoundError)(lambda _: _answer(NotFound("There is no such path.")))

    @property
    def content(self) -> tuple[str, bytes]:
        """The content type and the body of the request that is being served."""
        event = self.current_event
        return event.headers.get("content-type", ""), (event.body or "").encode("utf-8", "surrogatepass")

    def resolve(self, event: Mapping[str, Any], context: Any) -> dict[str, Any]:
        """What API Gateway is to answer."""
        event = {**event, "path": resource_path(event)}
        if self._is_open:
            return super().resolve(event, context)
        try:
            self.caller = from_context(event["requestContext"]["authorizer"])
            self.window, refusal = admit(
                event["httpMethod"], event["resource"], self.caller, runtime.accounts(), runtime.now()
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, it is answered as if a route had raised it
            return _as_event(_answer(error))
        answer = super().resolve(event, context) if refusal is None else _as_event(_answer(refusal))
        answer["multiValueHeaders"] |= {name: [value] for name, value in headers(self.window).items()}
        return answer


def resource_path(event: Mapping[str, Any]) -> str:
    """The request's path as the template knows it: without a custom domain's base path or a slash at the end.

    A parameter is one segment, whatever it holds, unless it is the rest of the path: an encoded slash in it leads to
    no other route.
    """
    parameters = event["pathParameters"] or {}

    def value(parameter: re.Match[str]) -> str:
        return quote(str(parameters[parameter["name"]]), safe="/" if parameter["is_rest"] else "")

    return re.sub(r"\{(?P<name>\w+)(?P<is_rest>\+?)\}", value, event["resource"])


def _answer(error: Exception) -> Response[str]:
    found = problem(error)
    if found.is_ours:
        runtime.logger.error("request failed", exc_info=error)
    else:
        seen = {"code": found.document["code"], "reason": found.document["detail"]}
        runtime.logger.info("request refused", extra=seen)
    return Response(
        status_code=found.status,
        content_type=CONTENT_TYPE,
        body=json.dumps(found.document),
        headers=dict(found.headers),
    )


def _as_event(response: Response[str]) -> dict[str, Any]:
    """A response that no route has given, as API Gateway takes it."""
    return {
        "statusCode": int(response.status_code),
        "multiValueHeaders": {name: [value] for name, value in response.headers.items()},
        "body": response.body,
        "isBase64Encoded": False,
    }
