"""The attack corpus: tests/attacks/<kind>.yaml lists cases, each with a name and what has to come of it.

Beside plain YAML there are `!repeat [text, times]` and `!join [parts]` for what is too large to be written out, and
`!hex` for bytes. What a kind's cases hold besides their name is the business of the test that runs them.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.counted import COUNTED

ATTACKS = Path(__file__).parents[1] / "attacks"

type Case = dict[str, Any]
type Note = Callable[[str, object], None]
"""pytest's `record_property`."""


class _Loader(yaml.SafeLoader):
    """Reads the corpus's own tags too."""


def _repeat(loader: _Loader, node: yaml.SequenceNode) -> str:
    text, times = loader.construct_sequence(node, deep=True)
    return str(text) * int(times)


def _join(loader: _Loader, node: yaml.SequenceNode) -> str:
    return "".join(loader.construct_sequence(node, deep=True))


def _hex(loader: _Loader, node: yaml.ScalarNode) -> bytes:
    return bytes.fromhex(str(loader.construct_scalar(node)))


_Loader.add_constructor("!repeat", _repeat)
_Loader.add_constructor("!join", _join)
_Loader.add_constructor("!hex", _hex)


@cache
def attacks(kind: str) -> tuple[Case, ...]:
    """All cases of a kind; no two have the same name."""
    cases = yaml.load((ATTACKS / f"{kind}.yaml").read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a safe loader
    names = [case["name"] for case in cases]
    assert len(set(names)) == len(names), sorted(name for name in names if names.count(name) > 1)
    return tuple(cases)


def try_all(kind: str, check: Callable[[Case], None], subtests: pytest.Subtests, note: Note, *, every: int = 1) -> None:
    """Checks the cases of a kind, or each so many; those that fail are reported by their names, and all are counted."""
    cases = attacks(kind)[::every]
    note(COUNTED, len(cases))
    for case in cases:
        with subtests.test(case["name"]):
            check(case)
