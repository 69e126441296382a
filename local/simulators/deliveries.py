"""The callbacks: sent, damaged where that was asked for, and repeated until they are answered."""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from urllib.parse import urlsplit

import httpx

from local.simulators.behaviours import CLAIMED, CallbackBehaviour, Delivery
from local.simulators.provider import Provider, Task
from local.simulators.records import Callback

logger = logging.getLogger(__name__)

_FORGED_CHARACTERS = 4


class Courier:
    """Delivers callbacks; repeats run in the background, `time_scale` times as late as documented."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        time_scale: float,
        background: Callable[[Coroutine[None, None, None]], object],
        record: Callable[[Callback], None],
    ) -> None:
        self._client = client
        self._time_scale = time_scale
        self._background = background
        self._record = record

    async def deliver(self, provider: Provider, task: Task, behaviour: CallbackBehaviour, other_id: str) -> None:
        """Attempt each delivery once, in order; `other_id` is for the one that names another task."""
        url = task.order.callback_url
        if url is None or behaviour.omit:
            return
        for delivery in behaviour.deliveries:
            await asyncio.sleep(delivery.delay_s)
            body = _body(provider, task, delivery, other_id)
            target = forged(url) if delivery.url == "forged" else url
            if not await self._attempt(provider, task.id, target, body):
                self._background(self._repeat(provider, task.id, target, body))

    async def _repeat(self, provider: Provider, task_id: str, url: str, body: str) -> None:
        for pause_s in provider.retries_s:
            await asyncio.sleep(pause_s * self._time_scale)
            if await self._attempt(provider, task_id, url, body):
                return

    async def _attempt(self, provider: Provider, task_id: str, url: str, body: str) -> bool:
        at = time.time()
        try:
            response = await self._client.post(
                url,
                content=body,
                headers={"Content-Type": "application/json"},
                timeout=provider.callback_timeout_s,
            )
            status = response.status_code
        except (httpx.HTTPError, httpx.InvalidURL):
            status = None
        self._record(Callback(provider.name, task_id, at, url, body, status))
        logger.info("%s called back for %s: %s", provider.name, task_id, status or "no answer")
        return status == httpx.codes.OK


def _body(provider: Provider, task: Task, delivery: Delivery, other_id: str) -> str:
    if delivery.body == "garbage":
        return "<!doctype html><title>Not JSON</title>"
    if delivery.outcome is not None:
        task = replace(task, state=CLAIMED[delivery.outcome])
    if delivery.body == "foreign":
        task = replace(task, id=other_id)
    text = json.dumps(provider.callback(task), ensure_ascii=False, separators=(",", ":"))
    return text[: len(text) // 2] if delivery.body == "truncated" else text


def forged(url: str) -> str:
    """The URL with other characters at the end of its path, each of them still fit for a URL."""
    parts = urlsplit(url)
    kept, tail = parts.path[:-_FORGED_CHARACTERS], parts.path[-_FORGED_CHARACTERS:]
    changed = "".join(c if c == "/" else "B" if c == "A" else "A" for c in tail)
    return parts._replace(path=kept + changed).geturl()
