"""GET /openapi.json and /docs: what the API is, for machines and for people."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi import swagger_ui
from aws_lambda_powertools.utilities.typing import LambdaContext

from pixhook import runtime
from pixhook.api import Api
from pixhook.model import Json

app = Api(is_open=True)
logger = runtime.logger


@app.get("/openapi.json")
def get_openapi() -> dict[str, Json]:
    """The document, with the URL that the API has for the outside."""
    return _document(runtime.public_base_url(app.current_event.request_context))


@app.get("/docs")
def get_docs() -> Response[str]:
    """A page that shows the document and lets one try what it says."""
    page = swagger_ui.generate_swagger_html(
        spec=json.dumps(_document(runtime.public_base_url(app.current_event.request_context))).replace("</", "<\\/"),
        swagger_js=_asset("swagger-ui-bundle.min.js"),
        swagger_css=_asset("swagger-ui.min.css"),
        swagger_base_url="",
        oauth2_config=None,
        persist_authorization=False,
    )
    return Response(status_code=200, content_type="text/html; charset=utf-8", body=page)


def _document(base_url: str) -> dict[str, Json]:
    return {**_written(), "servers": [{"url": base_url}]}


@cache
def _written() -> dict[str, Json]:
    return dict(json.loads(Path(__file__).with_name("openapi.json").read_bytes()))


@cache
def _asset(name: str) -> str:
    return Path(swagger_ui.__file__).with_name(name).read_text()


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answers API Gateway."""
    logger.info("read")
    return app.resolve(event, context)
