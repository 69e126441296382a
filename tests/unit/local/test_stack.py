"""Starting the local stack: what goes wrong is said in words that help."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from local.processes import StartFailed
from local.stack import ROOT, Stack


@pytest.mark.enable_socket
def test_a_port_in_use_is_named_with_the_way_out(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        stack = Stack(tmp_path, port=port, simulators_port=0, say=lambda _: None)

        with pytest.raises(StartFailed, match=rf"ministack: port {port} .* PIXHOOK_PORT="):
            stack.up()


def test_without_python_3_13_the_makefile_says_what_to_do(tmp_path: Path) -> None:
    for name in ("bash", "cat"):
        (tmp_path / name).symlink_to(Path("/bin") / name)

    done = subprocess.run(
        [ROOT / "local" / "find-python"],
        env={"PATH": str(tmp_path), "PYTHON": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "Pixhook needs Python 3.13" in done.stderr


def test_a_python_that_only_seems_to_be_there_is_passed_over(tmp_path: Path) -> None:
    """Such as a shim for a version that is not chosen."""
    shim = tmp_path / "python3.13"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    real = Path(sys.executable)

    done = subprocess.run(
        [ROOT / "local" / "find-python"],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHON": str(real)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.strip() == str(real)
