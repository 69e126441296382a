"""Each test gets a world of its own, in which nothing has happened yet."""

from collections.abc import Iterator

import pytest

from tests.flow.dialects import DIALECTS, Dialect
from tests.flow.world import World, a_world


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with a_world(monkeypatch) as world:
        yield world


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    """Each provider in turn."""
    return DIALECTS[request.param]
