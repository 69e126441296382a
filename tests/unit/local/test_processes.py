"""Background processes: what is started is found again, and a start that fails says which and why."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.processes import Process, StartFailed

SLEEPER = "import time; print('up', flush=True); time.sleep(600)"


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    """A process that is stopped in the end."""
    process = Process("sleeper", tmp_path)
    yield process
    process.stop()


def _start(process: Process, code: str, is_ready: Callable[[], bool] | None = None) -> None:
    process.start(
        [sys.executable, "-c", code],
        environment=dict(os.environ),
        port=1,
        version="1",
        is_ready=is_ready or (lambda: "up" in process.log.read_text()),
    )


def test_a_started_process_is_found_again(process: Process, tmp_path: Path) -> None:
    _start(process, SLEEPER)

    record = Process("sleeper", tmp_path).running()

    assert record is not None
    assert record.version == "1"


def test_a_stopped_process_is_gone(process: Process) -> None:
    _start(process, SLEEPER)

    assert process.stop()
    assert process.running() is None
    assert not process.stop()


def test_what_a_process_has_started_ends_with_it(process: Process) -> None:
    child = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
    _start(process, child + SLEEPER)
    record = process.running()
    assert record is not None

    process.stop()

    listed = subprocess.run(["ps", "-o", "stat=", "-g", str(record.pid)], capture_output=True, text=True, check=False)
    assert all(state.startswith("Z") for state in listed.stdout.split())


def test_a_failed_start_says_which_and_why(process: Process) -> None:
    with pytest.raises(StartFailed, match=r"sleeper ended at once with status 3(?s:.*)no such luck"):
        _start(process, "import sys; print('no such luck'); sys.exit(3)", lambda: False)
    assert process.running() is None


def test_a_record_of_another_process_is_not_believed(process: Process, tmp_path: Path) -> None:
    record = {"pid": os.getpid(), "born": 1.0, "port": 1, "version": "1"}
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "sleeper.json").write_text(json.dumps(record))

    assert process.running() is None
    assert not process.stop()
