"""Whether what Lambda gets has known vulnerabilities, as far as anybody could be asked: part of `make check`.

A finding fails. What the service does not know, or a service that is not to be had, does not; it is said.
"""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
REQUIREMENTS = Path("layers/dependencies/requirements.txt")

_PIP_AUDIT = ROOT / ".local" / "venvs" / "security" / "bin" / "pip-audit"
_UNREACHABLE = re.compile(r"requests\.exceptions\.|urllib3\.exceptions\.|\bServiceError\b|your network may be blocking")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came of an audit."""

    is_passed: bool
    said: Sequence[str]


def verdict(answer: str, trouble: str) -> Verdict:
    """What pip-audit's answer, as JSON, and what it wrote beside it come to."""
    try:
        packages = json.loads(answer)["dependencies"]
    except ValueError:
        return _without_answer(trouble)
    findings = [
        f"{package['name']} {package['version']}: {found['id']}, fixed in {', '.join(found['fix_versions']) or 'none'}"
        for package in packages
        for found in package.get("vulns", [])
    ]
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    checked = len(packages) - len(unknown)
    said = [*findings, f"{checked} of {len(packages)} packages checked for known vulnerabilities."]
    if unknown:
        said.append(f"NOT CHECKED, because the service does not know them: {', '.join(unknown)}.")
    return Verdict(is_passed=not findings, said=said)


def _without_answer(trouble: str) -> Verdict:
    last = trouble.strip().splitlines()[-1:] or ["no word"]
    if _UNREACHABLE.search(trouble):
        return Verdict(is_passed=True, said=[f"NOT CHECKED, because the service cannot be asked: {last[0]}"])
    return Verdict(is_passed=False, said=[f"pip-audit failed: {last[0]}"])


def main() -> int:
    """Audits; the process's exit code."""
    done = subprocess.run(
        [_PIP_AUDIT, "-r", REQUIREMENTS, "--require-hashes", "--disable-pip", "--format", "json", "--timeout", "10"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    found = verdict(done.stdout, done.stderr)
    for line in found.said:
        print(f"{REQUIREMENTS}: {line}")
    return 0 if found.is_passed else 1


if __name__ == "__main__":
    sys.exit(main())
