"""Background processes that outlive the command that started them, each with a log and a record of its own."""

import json
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from local.waiting import wait_until

READY_SECONDS = 30


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class StartFailed(Exception):
    """A process did not come up; the message says which and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What is known of a started process."""

    pid: int
    born: float
    """When it started: a pid alone may be another process's by now."""
    port: int
    version: str
    """Whatever tells two builds of the program apart."""


class Process:
    """One background process, found again by its record in `folder`."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.log = folder / "logs" / f"{name}.log"
        self._record = folder / "run" / f"{name}.json"
        self._child: subprocess.Popen[bytes] | None = None
        """Where it is this very program that started it."""

    def running(self) -> Record | None:
        """Its record, if it still runs."""
        if not self._record.exists():
            return None
        record = Record(**json.loads(self._record.read_text()))
        return record if _alive(record) else None

    def children(self) -> list[psutil.Process]:
        """The processes that it has started and that still run."""
        record = self.running()
        try:
            return psutil.Process(record.pid).children() if record is not None else []
        except psutil.NoSuchProcess:
            return []

    def start(
        self,
        command: Sequence[str | Path],
        *,
        environment: Mapping[str, str],
        port: int,
        version: str,
        is_ready: Callable[[], bool],
    ) -> None:
        """Starts it and waits until it is ready. Raises `StartFailed`, with the end of its log."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._record.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._child = process
        born = psutil.Process(process.pid).create_time()
        record = Record(pid=process.pid, born=born, port=port, version=version)
        self._record.write_text(json.dumps(asdict(record)))
        wait_until(lambda: process.poll() is not None or is_ready(), seconds=READY_SECONDS)
        if process.poll() is not None:
            raise self._failed(f"ended at once with status {process.returncode}")
        if not is_ready():
            self.stop()
            raise self._failed(f"is not ready after {READY_SECONDS} seconds")

    def terminate(self) -> None:
        """Asks it to end, if it runs."""
        if record := self.running():
            psutil.Process(record.pid).terminate()

    def stop(self) -> bool:
        """Ends it and what it started; says whether it ran."""
        record = self.running()
        if record is not None:
            family = _family(record.pid)
            psutil.Process(record.pid).terminate()
            _, alive = psutil.wait_procs(family, timeout=10)
            for process in alive:
                process.kill()
        if self._child is not None:
            self._child.wait()
        self._record.unlink(missing_ok=True)
        return record is not None

    def _failed(self, how: str) -> StartFailed:
        self._record.unlink(missing_ok=True)
        end = "\n".join(f"    {line}" for line in self.log.read_text(errors="replace").splitlines()[-15:])
        return StartFailed(f"{self.name} {how}. The end of {self.log}:\n{end}")


def _alive(record: Record) -> bool:
    try:
        process = psutil.Process(record.pid)
        return process.create_time() == record.born and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [*process.children(recursive=True), process]
