"""A running set of simulators, a receiver for their callbacks, and the requests that tests make of them."""

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic
from typing import Any

import httpx
from PIL import Image

from local.simulators import providers_secret
from local.simulators.app import create_app
from local.simulators.engine import Settings
from local.simulators.server import make_server

DEADLINE_S = 15


def eventually[T](read: Callable[[], T], until: Callable[[T], bool]) -> T:
    """What `read` gives once it satisfies `until`; fails with the last reading when that never happens."""
    end = monotonic() + DEADLINE_S
    while not until(value := read()):
        assert monotonic() < end, f"still {value!r} after {DEADLINE_S} s"
    return value


def opened(data: bytes) -> Image.Image:
    """The image, decoded to its last pixel."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


@dataclass
class Simulators:
    """The simulators as their callers and their controller see them."""

    url: str
    http: httpx.Client

    def post(self, provider: str, path: str, body: object, **options: Any) -> httpx.Response:
        secret = providers_secret(self.url)[provider]
        headers = {"Authorization": f"Bearer {secret['api_key']}"} | options.pop("headers", {})
        return self.http.post(f"{secret['base_url']}{path}", json=body, headers=headers, **options)

    def get(self, provider: str, path: str, **params: str) -> httpx.Response:
        secret = providers_secret(self.url)[provider]
        headers = {"Authorization": f"Bearer {secret['api_key']}"}
        return self.http.get(f"{secret['base_url']}{path}", params=params, headers=headers)

    def apixo(self, model: str = "nano-banana-2", callback_url: str | None = None, **given: Any) -> httpx.Response:
        """Submit a valid request, changed as given; a field given as None is left out."""
        defaults = {"mode": "text-to-image", "prompt": "a fox", "aspect_ratio": "3:2", "resolution": "1k"}
        body: dict[str, Any] = {"request_type": "async", "input": _present(defaults | given)}
        if callback_url is not None:
            body |= {"request_type": "callback", "callback_url": callback_url}
        return self.post("apixo", f"/generateTask/{model}", body)

    def defapi(self, path: str = "/api/image/gen", **given: Any) -> httpx.Response:
        """Submit a valid request, changed as given; a field given as None is left out."""
        body = _present({"model": "google/gempix2", "prompt": "a fox"} | given)
        return self.post("defapi", path, body)

    def gptimage2api(self, **given: Any) -> httpx.Response:
        """Submit a valid request, changed as given; a field given as None is left out."""
        body = _present({"model": "gpt-image-2", "prompt": "a fox"} | given)
        return self.post("gptimage2api", "/api/ai/image/generate", body)

    def apixo_ended(self, task_id: str, model: str = "nano-banana-2") -> dict[str, Any]:
        """The status document once the task has ended."""
        return eventually(
            lambda: self.get("apixo", f"/statusTask/{model}", taskId=task_id).json(),
            lambda document: document["data"]["state"] in {"success", "failed"},
        )

    def defapi_ended(self, task_id: str) -> dict[str, Any]:
        """The status document once the task has ended."""
        return eventually(
            lambda: self.get("defapi", "/api/task/query", task_id=task_id).json(),
            lambda document: document["data"]["status"] in {"success", "failed"},
        )

    def gptimage2api_ended(self, task_id: str) -> dict[str, Any]:
        """The status document once the task has ended."""
        return eventually(
            lambda: self.get("gptimage2api", f"/api/ai/tasks/{task_id}").json(),
            lambda document: document["status"] in {1, 2},
        )

    def defapi_file(self, **given: Any) -> str:
        """Have one image made and return its URL."""
        ended = self.defapi_ended(self.defapi(**given).json()["data"]["task_id"])
        url: str = ended["data"]["result"][0]["image"]
        return url

    def misbehave(self, **behaviour: Any) -> None:
        response = self.http.post(f"{self.url}/_control/behaviours", json=behaviour)
        assert response.status_code == 201, response.text

    def control(self, name: str, **params: str) -> Any:
        return self.http.get(f"{self.url}/_control/{name}", params=params).json()

    def callbacks(self, task_id: str, count: int) -> list[dict[str, Any]]:
        """The task's callbacks once there are that many."""
        return eventually(
            lambda: self.control("callbacks", task_id=task_id)["callbacks"], lambda sent: len(sent) >= count
        )

    def forget(self) -> None:
        assert self.http.delete(f"{self.url}/_control").status_code == 204


def _present(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


@contextmanager
def running_simulators(settings: Settings) -> Iterator[Simulators]:
    """Simulators on a port of their own, in a thread."""
    server = make_server(create_app(settings), port=0)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        eventually(lambda: server.started, bool)
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(trust_env=False, timeout=DEADLINE_S) as http:
            yield Simulators(f"http://127.0.0.1:{port}", http)
    finally:
        server.should_exit = True
        thread.join(DEADLINE_S)


@dataclass
class Receiver:
    """Takes callbacks; answers with the `statuses` in turn, and with 200 after the last."""

    url: str
    statuses: list[int] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    content_types: list[str] = field(default_factory=list)
    while_delivering: Callable[[], None] = lambda: None


@contextmanager
def running_receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.paths.append(self.path)
            receiver.content_types.append(self.headers["Content-Type"])
            receiver.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            receiver.while_delivering()
            self.send_response(receiver.statuses.pop(0) if receiver.statuses else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(f"http://127.0.0.1:{server.server_port}/hook/task-1/mac-0123456789?v=1")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join(DEADLINE_S)
