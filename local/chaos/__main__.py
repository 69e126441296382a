"""`python -m local.chaos [--tasks N] [--seed N]`: what `make chaos` calls; 0 if all promises were kept."""

import argparse
import secrets
import sys

from rich.console import Console

from local.chaos.campaign import campaign
from local.chaos.invariants import violations
from local.chaos.report import report
from local.processes import StartFailed
from local.stack import ROOT, DeployFailed

MOST_TASKS = 1500
"""The simulators remember 5,000 callbacks: enough for so many."""


def main() -> int:
    """Runs a campaign and reports."""
    parser = argparse.ArgumentParser(prog="python -m local.chaos", description=__doc__)
    parser.add_argument("--tasks", type=int, default=500, help=f"at least how many, up to {MOST_TASKS}")
    parser.add_argument("--seed", type=int, default=None, help="of what is drawn; by default another each time")
    options = parser.parse_args()
    if not 1 <= options.tasks <= MOST_TASKS:
        parser.error(f"--tasks must be from 1 to {MOST_TASKS}")
    seed = secrets.randbelow(10**9) if options.seed is None else options.seed
    print(f"Seed {seed}: again with make chaos SEED={seed} TASKS={options.tasks}", flush=True)
    try:
        found = campaign(
            ROOT / ".local" / "chaos", seed=seed, tasks=options.tasks, say=lambda text: print(text, flush=True)
        )
    except (StartFailed, DeployFailed) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    broken = violations(found.world)
    report(found, broken, seed=seed, console=Console(width=None if sys.stdout.isatty() else 170))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
