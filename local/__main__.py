"""`python -m local up|down|demo`: what the Makefile calls."""

import os
import sys

from local.demo import DemoFailed, demo
from local.processes import StartFailed
from local.stack import ROOT, DeployFailed, Stack


def main(command: str) -> int:
    """Does `command`; 0 if it went well."""
    stack = Stack(
        ROOT / ".local",
        port=int(os.environ.get("PIXHOOK_PORT", "4566")),
        simulators_port=int(os.environ.get("PIXHOOK_SIMULATORS_PORT", "4567")),
    )
    try:
        match command:
            case "up":
                info = stack.up()
                print(f"The API is at {info.api_url}; all else is in .local/stack.json")
            case "down":
                stack.down()
            case "demo":
                demo(stack.up(), stack.folder)
            case _:
                print("usage: python -m local up|down|demo", file=sys.stderr)
                return 2
    except (StartFailed, DeployFailed, DemoFailed) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2] or [""]))
