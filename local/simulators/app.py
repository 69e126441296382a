"""One application with every provider under its name, beside the files and the control API."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from local.simulators import PROVIDERS, control, endpoints
from local.simulators.drawing import REFERENCES, reference_png
from local.simulators.engine import Engine, Settings, running_engine

MAX_BODY_BYTES = 64 << 20


class _State(TypedDict):
    engine: Engine


def create_app(settings: Settings) -> Starlette:
    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[_State]:
        async with running_engine(settings) as engine:
            yield {"engine": engine}

    return Starlette(
        routes=[
            Route("/health", _health),
            Route("/references/{name}.png", _reference),
            Route("/files/{name}", _file),
            *control.routes(PROVIDERS),
            *(endpoints.mount(provider) for provider in PROVIDERS.values()),
        ],
        lifespan=lifespan,
        max_body_size=MAX_BODY_BYTES,
    )


async def _health(_: Request) -> Response:
    return PlainTextResponse("ok")


async def _reference(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in REFERENCES:
        return PlainTextResponse(f"there are {', '.join(REFERENCES)}", 404)
    return Response(reference_png(name), media_type="image/png")


async def _file(request: Request) -> Response:
    engine: Engine = request.state.engine
    return await engine.files.serve(request)
