"""`make demo`: an image or two from each provider, through the public API, with somebody listening on the bus."""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.live import Live
from rich.table import Table

from local.offers import models_of
from local.simulators import PROVIDERS
from local.stack import StackInfo
from local.subscriber import Subscriber, subscriber
from local.waiting import wait_until

PATIENCE_SECONDS = 90

_WIDE = 170
"""Columns, where no terminal says how many there are: a log keeps its lines whole."""

_ENDED = {"completed", "failed"}


class DemoFailed(Exception):
    """Something did not come out as it should; the message says what."""


@dataclass(kw_only=True)
class _Order:
    """One request and what has become of it."""

    request: dict[str, Any]
    started: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    task: dict[str, Any] = field(default_factory=dict)
    event: dict[str, Any] | None = None

    @property
    def has_ended(self) -> bool:
        return self.event is not None and self.task["status"] in _ENDED


def demo(info: StackInfo, folder: Path) -> None:
    """Generates, shows and saves the images. Raises `DemoFailed`."""
    console = Console(width=None if sys.stdout.isatty() else _WIDE)
    api = httpx.Client(
        base_url=info.api_url,
        headers={"authorization": f"Bearer {info.api_key}"},
        timeout=30,
        trust_env=False,
    )
    with api, subscriber(info) as listener:
        orders = [_Order(request=request) for request in _requests(info)]
        with Live(console=console, refresh_per_second=8, transient=True) as live:
            for order in orders:
                order.started = time.monotonic()
                order.task = _answer(api.post("/images", json=order.request))
                live.update(_table(orders))

            def all_have_ended() -> bool:
                _listen(listener, orders)
                _ask(api, orders)
                live.update(_table(orders))
                return all(order.has_ended for order in orders)

            wait_until(all_have_ended, seconds=PATIENCE_SECONDS, every=0.1)
        console.print(_table(orders))
        _check(orders)
        files = [file for order in orders for file in _save(api, order, folder / "images")]
    console.print(f"\nSaved {len(files)} images under {folder.name}/images/. The stack goes on running; try:\n")
    print(_how_to_go_on(orders[0].task["id"]))


def _requests(info: StackInfo) -> list[dict[str, Any]]:
    """A text-to-image and an image-to-image request for each provider."""
    cat = f"{info.simulators_url}/references/cat.png"
    return [
        {"provider": provider, "model": models_of(provider)[0], **request}
        for provider in PROVIDERS
        for request in (
            {"prompt": "a fox in the snow, watercolor"},
            {"prompt": "this cat as an astronaut", "images": [cat]},
        )
    ]


def _answer(response: httpx.Response) -> dict[str, Any]:
    if not response.is_success:
        raise DemoFailed(
            f"{response.request.method} {response.request.url} answered {response.status_code}: {response.text}"
        )
    return dict(response.json())


def _listen(listener: Subscriber, orders: list[_Order]) -> None:
    for event in listener.receive():
        for order in orders:
            if order.task["id"] == event["detail"]["task_id"]:
                order.event = event


def _ask(api: httpx.Client, orders: list[_Order]) -> None:
    for order in orders:
        if order.task["status"] not in _ENDED:
            order.task = _answer(api.get(f"/images/{order.task['id']}"))
            order.seconds = time.monotonic() - order.started


def _table(orders: list[_Order]) -> Table:
    table = Table()
    for heading in ("provider", "task", "status", "seconds", "image key", "size", "event received"):
        table.add_column(heading, overflow="fold")
    for order in orders:
        task = order.task
        images = order.event["detail"]["images"] if order.event else []
        table.add_row(
            order.request["provider"],
            task.get("id", ""),
            task.get("status", "…"),
            f"{order.seconds:.1f}" if order.seconds else "",
            "\n".join(image["key"] for image in images),
            "\n".join(f"{image['width']} x {image['height']}, {image['size']:,} B" for image in images),
            order.event["detail-type"] if order.event else "",
        )
    return table


def _check(orders: list[_Order]) -> None:
    for order in orders:
        task = order.task
        if task["status"] != "completed":
            raise DemoFailed(
                f"{task['id']} by {task['provider']} is {task['status']}: {task['error'] or 'nothing came'}"
            )
        if order.event is None or order.event["detail-type"] != "images.completed":
            raise DemoFailed(f"No images.completed was received for {task['id']}")


def _save(api: httpx.Client, order: _Order, folder: Path) -> Iterator[Path]:
    folder.mkdir(exist_ok=True)
    for number, file in enumerate(order.task["files"]):
        redirect = api.get(file["path"])
        if not redirect.has_redirect_location:
            raise DemoFailed(f"GET {file['path']} answered {redirect.status_code}: {redirect.text}")
        content = httpx.get(redirect.headers["location"], trust_env=False).raise_for_status().content
        if len(content) != file["size"]:
            raise DemoFailed(f"{file['path']} has {len(content)} bytes in place of {file['size']}")
        path = folder / f"{order.task['provider']}-{order.task['id']}-{number}.{file['content_type'].partition('/')[2]}"
        path.write_bytes(content)
        yield path


def _how_to_go_on(task_id: str) -> str:
    return f"""\
    source .local/env
    curl $API/images -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' \\
        -d '{{"model": "nano-banana-2", "prompt": "a robot tending a garden"}}'
    curl $API/images/{task_id} -H "Authorization: Bearer $KEY"
    curl -L $API/images/{task_id}/files/0 -H "Authorization: Bearer $KEY" -o image.png

    make down        stops it"""
