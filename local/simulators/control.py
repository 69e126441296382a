"""The control API: ask for misbehaviour, set up accounts, and read back what was seen and sent."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local.simulators.behaviours import Behaviour
from local.simulators.engine import Engine
from local.simulators.fields import Fault, PublicUrl, Strict, first_fault
from local.simulators.provider import Provider


class AccountCallback(Strict):
    """Where a provider with one callback URL for the whole account calls back; None: nowhere."""

    url: PublicUrl | None


def routes(providers: Mapping[str, Provider]) -> list[Route]:
    """The routes at /_control; a behaviour, or the callback URL of an account, is for one of `providers`."""

    async def add_behaviour(request: Request) -> Response:
        try:
            behaviour = Behaviour.model_validate_json(await request.body())
        except ValidationError as error:
            return _wrong(_described(first_fault(error)))
        if behaviour.provider is not None and behaviour.provider not in providers:
            return _wrong(f"provider: must be one of {', '.join(sorted(providers))}, or null")
        _engine(request).behaviours.add(behaviour)
        return Response(status_code=201)

    async def set_account_callback(request: Request) -> Response:
        name = request.path_params["provider"]
        if name not in providers or not providers[name].account_callback:
            return _wrong(f"{name}: no provider with one callback URL for the whole account", 404)
        try:
            url = AccountCallback.model_validate_json(await request.body()).url
        except ValidationError as error:
            return _wrong(_described(first_fault(error)))
        if url is None:
            _engine(request).account_callbacks.pop(name, None)
        else:
            _engine(request).account_callbacks[name] = url
        return Response(status_code=204)

    return [
        Route("/_control", _forget, methods=["DELETE"]),
        Route("/_control/behaviours", add_behaviour, methods=["POST"]),
        Route("/_control/behaviours", _forget_behaviours, methods=["DELETE"]),
        Route("/_control/account_callbacks/{provider}", set_account_callback, methods=["PUT"]),
        Route("/_control/submits", _submits),
        Route("/_control/status_reads", _status_reads),
        Route("/_control/callbacks", _callbacks),
    ]


async def _forget_behaviours(request: Request) -> Response:
    _engine(request).behaviours.clear()
    return Response(status_code=204)


async def _forget(request: Request) -> Response:
    await _engine(request).forget()
    return Response(status_code=204)


async def _submits(request: Request) -> Response:
    provider = request.query_params.get("provider")
    prompt = request.query_params.get("prompt_contains", "")
    submits = [
        {name: value for name, value in asdict(submit).items() if name != "prompt"}
        for submit in _engine(request).submits
        if provider in {None, submit.provider} and prompt in submit.prompt
    ]
    return JSONResponse({"submits": submits})


async def _status_reads(request: Request) -> Response:
    provider = request.query_params.get("provider")
    task_ids = [read.task_id for read in _engine(request).status_reads if provider in {None, read.provider}]
    return JSONResponse({"count": len(task_ids), "task_ids": task_ids})


async def _callbacks(request: Request) -> Response:
    task_id = request.query_params.get("task_id")
    callbacks: list[dict[str, Any]] = [
        asdict(callback) for callback in _engine(request).callbacks if task_id in {None, callback.task_id}
    ]
    return JSONResponse({"callbacks": callbacks})


def _engine(request: Request) -> Engine:
    engine: Engine = request.state.engine
    return engine


def _described(fault: Fault) -> str:
    return f"{fault.field}: {fault.reason}" if fault.field else fault.reason


def _wrong(reason: str, status: int = 400) -> Response:
    return JSONResponse({"error": reason}, status)
