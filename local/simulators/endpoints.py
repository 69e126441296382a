"""The doors of one provider: submits and status reads, checked, recorded and answered in its dialect."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic_core import from_json
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from local.simulators.behaviours import CLAIMED, Behaviour
from local.simulators.engine import Engine
from local.simulators.provider import Order, Provider, Refused, Task
from local.simulators.records import Submit
from local.simulators.server import Reset

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


def mount(provider: Provider) -> Mount:
    """The provider's routes under its name."""
    doors = _Doors(provider)
    routes: list[BaseRoute] = [Route(path, doors.submit, methods=["POST"]) for path in provider.submit_paths]
    routes += [
        Route(provider.status_path, doors.read_status, methods=["GET"]),
        Route("/{rest:path}", doors.nothing_here, methods=_METHODS),
    ]
    return Mount(f"/{provider.name}{provider.base_path}", routes=routes)


class _Doors:
    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    async def submit(self, request: Request) -> Response:
        engine: Engine = request.state.engine
        raw = await request.body()
        body = _parsed(raw)
        submit = Submit(
            provider=self._provider.name,
            at=time.time(),
            path=request.url.path,
            body=body,
            prompt=_text_at(body, self._provider.prompt_at),
        )
        engine.record_submit(submit, len(raw))
        try:
            order = self._read(request, body)
            submit.callback_url = order.callback_url
            behaviour = engine.behaviours.take(self._provider.name, order.prompt)
            response = await self._answer(engine, submit, order, behaviour, _url(request))
        except Refused as refused:
            response = self._refusal(refused)
        if not isinstance(response, Reset):
            submit.status = response.status_code
        return self._with_headers(response)

    async def read_status(self, request: Request) -> Response:
        engine: Engine = request.state.engine
        try:
            self._authorize(request)
            task = self._found(engine, {**request.query_params, **request.path_params})
        except Refused as refused:
            return self._with_headers(self._refusal(refused, reading=True))
        return self._with_headers(JSONResponse(self._provider.status(task)))

    async def nothing_here(self, request: Request) -> Response:
        refused = Refused(404, f"no such endpoint: {request.method} {request.url.path}")
        return self._with_headers(self._refusal(refused))

    def _authorize(self, request: Request) -> None:
        if request.headers.get("authorization") != f"Bearer {self._provider.api_key}":
            raise Refused(401)

    def _read(self, request: Request, body: Any) -> Order:
        self._authorize(request)
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json":
            raise Refused(400, "Content-Type must be application/json")
        if not isinstance(body, dict):
            raise Refused(400, "the request body must be a JSON object")
        path = request.url.path.removeprefix(f"/{self._provider.name}{self._provider.base_path}")
        return self._provider.read_submit(path, request.path_params, body)

    def _found(self, engine: Engine, given: Mapping[str, str]) -> Task:
        task_id = given.get(self._provider.task_field)
        if not task_id:
            raise self._provider.missing(self._provider.task_field)
        task = engine.read_status(self._provider, task_id)
        # A path that names the model finds only the tasks of that model.
        if task is None or given.get("model", task.order.model) != task.order.model:
            raise Refused(404)
        first = engine.first_reads.get(task.id)
        match first.pop(0) if first else None:
            case int(status):
                raise Refused(status)
            case str(claim):
                return replace(task, state=CLAIMED[claim])
        return task

    async def _answer(self, engine: Engine, submit: Submit, order: Order, behaviour: Behaviour, url: str) -> Response:
        asked = behaviour.submit
        if asked.delay_s is not None and asked.break_ not in {"hang_before", "hang_after"}:
            await asyncio.sleep(asked.delay_s)
        if asked.refuse is not None:
            raise Refused(asked.refuse, asked.message, asked.code)
        if asked.body is not None:
            return Response(asked.body, asked.status, media_type="application/json")
        match asked.break_:
            case "reset_before":
                return Reset()
            case "hang_before":
                return Reset(asked.delay_s)
        task, run = engine.accept(self._provider, order, behaviour, url)
        submit.accepted, submit.task_id = True, task.id
        if behaviour.callback.before_answer:
            await asyncio.wait({run})
        match asked.break_:
            case "reset_after":
                return Reset()
            case "hang_after":
                return Reset(asked.delay_s)
            case "garbage_after":
                return HTMLResponse("<!doctype html><title>Bad gateway</title><h1>Bad gateway</h1>")
        return JSONResponse(self._provider.accepted(task))

    def _refusal(self, refused: Refused, *, reading: bool = False) -> Response:
        return JSONResponse(self._provider.refusal(refused, reading=reading), refused.status)

    def _with_headers(self, response: Response) -> Response:
        response.headers.update(self._provider.headers(response.status_code, time.time()))
        return response


def _url(request: Request) -> str:
    """Where the caller reaches the simulators, so that the images are found there too."""
    return f"{request.url.scheme}://{request.url.netloc}"


def _parsed(raw: bytes) -> Any:
    try:
        # Stricter than json: no NaN, and no half of a surrogate pair, which could not be written again.
        return from_json(raw, allow_inf_nan=False)
    except ValueError:
        return raw.decode(errors="replace")


def _text_at(body: Any, steps: tuple[str, ...]) -> str:
    """The text at that place in the document; none where there is no such place."""
    for step in steps:
        if not isinstance(body, dict):
            return ""
        body = body.get(step)
    return body if isinstance(body, str) else ""
