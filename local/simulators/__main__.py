"""`python -m local.simulators --port PORT`: the simulators, until SIGTERM or Ctrl-C."""

import argparse
import logging
import signal
import sys
from typing import Any

from local.simulators.app import create_app
from local.simulators.engine import Settings
from local.simulators.server import make_server


class _NoHealthChecks(logging.Filter):
    """Leaves out the reads of /health, which say nothing and would be most of the log."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "/health" not in record.getMessage()


LOG_CONFIG: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"no_health_checks": {"()": _NoHealthChecks}},
    "formatters": {"line": {"format": "%(asctime)s %(message)s", "datefmt": "%H:%M:%S"}},
    "handlers": {
        "stdout": {
            "class": "logging.StreamHandler",
            "stream": "ext://sys.stdout",
            "formatter": "line",
            "filters": ["no_health_checks"],
        },
    },
    "loggers": {
        "uvicorn.access": {"level": "INFO"},
        "uvicorn.error": {"level": "WARNING"},
        "local.simulators": {"level": "INFO"},
    },
    "root": {"level": "WARNING", "handlers": ["stdout"]},
}


def main() -> None:
    defaults = Settings()
    parser = argparse.ArgumentParser(prog="python -m local.simulators", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="on 127.0.0.1")
    parser.add_argument("--delay", type=float, default=defaults.delay_s, help="seconds that a task takes")
    parser.add_argument(
        "--time-scale", type=float, default=defaults.time_scale, help="factor on the pauses between callbacks"
    )
    options = parser.parse_args()
    settings = Settings(delay_s=options.delay, time_scale=options.time_scale)
    # The server ends in good order at either signal and then raises it again for those who were there before.
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, lambda *_: sys.exit(0))
    make_server(create_app(settings), options.port, LOG_CONFIG).run()


if __name__ == "__main__":
    main()
