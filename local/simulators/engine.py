"""The shared machine behind the dialects: takes orders, makes images, ends tasks, calls back, remembers."""

import asyncio
import base64
import itertools
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from local.simulators.behaviours import Behaviour, Behaviours, Claim
from local.simulators.deliveries import Courier
from local.simulators.drawing import draw, size_for
from local.simulators.hosting import FileHost
from local.simulators.padding import padded
from local.simulators.provider import Failure, Order, Provider, Task
from local.simulators.recent import Recent
from local.simulators.records import Callback, StatusRead, Submit
from local.simulators.references import UnreadableReference, read_reference

MAX_RECORDS = 5000
MAX_RECORDS_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Settings:
    """`delay_s` is what a task takes; `time_scale` shortens the documented pauses between callbacks."""

    delay_s: float = 0.5
    time_scale: float = 1.0


class Engine:
    """All that the simulators know while they run. Made by `running_engine`."""

    def __init__(self, settings: Settings, folder: Path, client: httpx.AsyncClient) -> None:
        self.behaviours = Behaviours()
        self.account_callbacks: dict[str, str] = {}
        self.files = FileHost(folder)
        self.submits: Recent[int, Submit] = Recent(MAX_RECORDS, MAX_RECORDS_BYTES)
        self.status_reads: Recent[int, StatusRead] = Recent(MAX_RECORDS, MAX_RECORDS_BYTES)
        self.callbacks: Recent[int, Callback] = Recent(MAX_RECORDS, MAX_RECORDS_BYTES)
        self.first_reads: Recent[str, list[int | Claim]] = Recent(MAX_RECORDS, MAX_RECORDS_BYTES)
        """By task, what its next status reads get in place of the truth."""
        self._tasks: Recent[str, Task] = Recent(MAX_RECORDS, MAX_RECORDS_BYTES)
        self._settings = settings
        self._client = client
        self._courier = Courier(client, settings.time_scale, self._start, self._record_callback)
        self._background: set[asyncio.Task[None]] = set()
        self._serial = itertools.count()

    def record_submit(self, submit: Submit, size: int) -> None:
        self.submits.put(next(self._serial), submit, size)

    def read_status(self, provider: Provider, task_id: str) -> Task | None:
        """The provider's task of that id, if it has one; the read is recorded either way."""
        self.status_reads.put(next(self._serial), StatusRead(provider.name, task_id), len(task_id))
        task = self._tasks.get(task_id)
        return task if task is not None and task.provider == provider.name else None

    def accept(
        self, provider: Provider, order: Order, behaviour: Behaviour, url: str
    ) -> tuple[Task, asyncio.Task[None]]:
        """Take the order: the new task, and its run, which ends when each delivery was attempted once.

        `url` is where the simulators are reached, for the URLs of the images.
        """
        if provider.account_callback:
            order = replace(order, callback_url=self.account_callbacks.get(provider.name))
        fail = behaviour.result.fail
        task = Task(
            id=provider.new_task_id(),
            provider=provider.name,
            order=order,
            created_ms=_now_ms(),
            failure=fail.as_failure() if fail is not None else provider.sensitive_content,
            shape=behaviour.result.result_shape,
        )
        self._keep(task)
        self.first_reads.put(task.id, list(behaviour.status.first))
        return task, self._start(self._run(provider, task, behaviour, url))

    async def forget(self) -> None:
        """Drop what is under way, and everything remembered with it.

        The callback URLs of accounts stay: they are set up once, as in a dashboard.
        """
        running = list(self._background)
        for job in running:
            job.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        self.behaviours.clear()
        for memory in (self.submits, self.status_reads, self.callbacks, self.first_reads, self._tasks, self.files):
            memory.clear()

    async def _run(self, provider: Provider, task: Task, behaviour: Behaviour, url: str) -> None:
        await asyncio.sleep(self._settings.delay_s / 2)
        task = self._keep(replace(task, state="processing"))
        if behaviour.result.never:
            return
        task = await self._made(provider, task, behaviour, url)
        await asyncio.sleep(self._settings.delay_s / 2)
        # The references served their purpose, and as data URIs they would weigh.
        order = replace(task.order, references=())
        task = self._keep(replace(task, order=order, completed_ms=_now_ms()))
        await self._courier.deliver(provider, task, behaviour.callback, self._other_id(provider, task))

    async def _made(self, provider: Provider, task: Task, behaviour: Behaviour, url: str) -> Task:
        """The task in its true end, with images also where only a delivery will claim them."""
        failed = behaviour.result.fail is not None
        reference = None
        try:
            references = [
                await read_reference(self._client, one, provider.max_reference_bytes) for one in task.order.references
            ]
            reference = references[0] if references else None
        except UnreadableReference as unreadable:
            failure = Failure(provider.unreadable_reference.code, str(unreadable))
            task, failed = replace(task, failure=failure), True
        if failed and all(delivery.outcome != "success" for delivery in behaviour.callback.deliveries):
            return replace(task, state="failed")
        count = 0 if behaviour.result.empty else behaviour.result.images or task.order.count
        images = [await self._image(task, number, reference, behaviour, url) for number in range(count)]
        return replace(task, state="failed" if failed else "success", images=tuple(images))

    async def _image(self, task: Task, number: int, reference: bytes | None, behaviour: Behaviour, url: str) -> str:
        """Draw one image and return its URL or data URI."""
        order, result = task.order, behaviour.result
        image_format = result.format or order.format
        size = size_for(order.ratio, order.long_side, reference)
        image = await asyncio.to_thread(
            draw,
            order.prompt,
            label=f"{task.provider} · {order.model} · {size[0]} x {size[1]}",
            size=size,
            image_format=image_format,
            reference=reference,
            variant=number,
        )
        pieces = padded(image, image_format, result.min_bytes)
        if result.inline:
            return f"data:image/{image_format};base64,{base64.b64encode(b''.join(pieces)).decode()}"
        name = await self.files.add(pieces, image_format, behaviour.host)
        return f"{url}/files/{name}"

    def _keep(self, task: Task) -> Task:
        weight = sum(map(len, (task.order.prompt, *task.order.references, *task.images)))
        self._tasks.put(task.id, task, weight)
        return task

    def _other_id(self, provider: Provider, task: Task) -> str:
        """The provider's task before this one, or one that never was."""
        others = [other.id for other in self._tasks if other.provider == provider.name and other.id != task.id]
        return others[-1] if others else provider.new_task_id()

    def _record_callback(self, callback: Callback) -> None:
        self.callbacks.put(next(self._serial), callback, len(callback.body))

    def _start(self, job: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(job)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task


@asynccontextmanager
async def running_engine(settings: Settings) -> AsyncIterator[Engine]:
    """An engine with a folder and connections of its own, both gone with it."""
    with TemporaryDirectory(prefix="simulators-", ignore_cleanup_errors=True) as folder:
        # No proxy or credentials of the environment's. No connection is kept, because one that the other side just
        # closed would lose a callback, and none has to wait for another, because receivers may be slow.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        async with httpx.AsyncClient(trust_env=False, limits=limits) as client:
            engine = Engine(settings, Path(folder), client)
            try:
                yield engine
            finally:
                await engine.forget()
                # What a thread still writes, it writes before the folder goes.
                await asyncio.get_running_loop().shutdown_default_executor()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
