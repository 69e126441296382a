"""Each test gets a world of its own, in which nothing has happened yet."""

from collections.abc import Iterator

import pytest

from tests.flow.dialects import DIALECTS, Dialect
from tests.flow.world import World, a_world
from tests.support.attacks import COUNTED


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with a_world(monkeypatch) as world:
        yield world


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    """Each provider in turn."""
    return DIALECTS[request.param]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says at how many points something was made to go wrong, and how many attacks were tried."""

    def counted(what: str) -> int:
        passed = terminalreporter.getreports("passed")
        return sum(int(str(value)) for report in passed for name, value in report.user_properties if name == what)

    if points := counted("points tried"):
        terminalreporter.write_line(f"{points} points at which a process died or a call failed, and nothing was lost")
    if tried := counted(COUNTED):
        terminalreporter.write_line(f"{tried} attacks, and nobody got in")
