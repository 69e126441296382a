"""The process: how it starts, what it serves beside the providers, what it keeps, and how it ends."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from local.simulators import PROVIDERS, providers_secret
from local.simulators.recent import Recent
from tests.unit.simulators.support import Simulators, eventually, opened

ROOT = Path(__file__).parents[3]


def test_secret_leads_to_each_simulator() -> None:
    secret = providers_secret("http://127.0.0.1:9000/")
    assert secret.keys() == PROVIDERS.keys()
    assert secret["apixo"] == {"api_key": "apixo-simulator-key", "base_url": "http://127.0.0.1:9000/apixo/api/v1"}


def test_oldest_is_given_up_when_there_are_too_many() -> None:
    dropped: list[str] = []
    recent: Recent[int, str] = Recent(limit=2, weight_limit=10, on_drop=dropped.append)
    for key, value in enumerate("abc"):
        recent.put(key, value)
    assert (list(recent), dropped, recent.get(0)) == (["b", "c"], ["a"], None)


def test_oldest_is_given_up_when_they_weigh_too_much() -> None:
    recent: Recent[str, str] = Recent(limit=9, weight_limit=10)
    recent.put("a", "light", 1)
    recent.put("b", "light", 1)
    recent.put("a", "heavier", 8)
    assert list(recent) == ["heavier", "light"]
    recent.put("c", "heaviest", 99)
    assert list(recent) == ["heaviest"]


@pytest.mark.enable_socket
@pytest.mark.parametrize("name", ["cat", "product"])
def test_ready_references_are_images(simulators: Simulators, name: str) -> None:
    response = simulators.http.get(f"{simulators.url}/references/{name}.png")
    assert response.headers["content-type"] == "image/png"
    assert opened(response.content).size == (512, 512)


@pytest.mark.enable_socket
def test_unknown_reference_and_file_are_not_found(simulators: Simulators) -> None:
    assert simulators.http.get(f"{simulators.url}/references/dog.png").status_code == 404
    assert simulators.http.get(f"{simulators.url}/files/none.png").status_code == 404


@pytest.mark.enable_socket
def test_process_starts_logs_and_ends_at_sigterm(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    command = [sys.executable, "-m", "local.simulators", "--port", str(port), "--delay", "600"]
    process = subprocess.Popen(
        command, cwd=ROOT, env={"TMPDIR": str(tmp_path)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    with process, httpx.Client(trust_env=False) as http:
        simulators = Simulators(f"http://127.0.0.1:{port}", http)
        eventually(lambda: _status(http, f"{simulators.url}/health"), lambda status: status == 200)
        simulators.defapi(callback_url="https://127.0.0.1:1/hook")
        assert len(list(tmp_path.iterdir())) == 1
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=15)
    assert process.returncode == 0
    (line,) = output.splitlines()
    assert line.endswith('"POST /defapi/api/image/gen HTTP/1.1" 200')
    assert list(tmp_path.iterdir()) == []


def _status(http: httpx.Client, url: str) -> int | None:
    try:
        return http.get(url).status_code
    except httpx.TransportError:
        return None
