"""One set of simulators for all these tests, in which tasks take no time; each test finds it empty."""

from collections.abc import Iterator

import pytest

from local.simulators.engine import Settings
from tests.unit.simulators.support import Receiver, Simulators, running_receiver, running_simulators


@pytest.fixture(scope="package")
def _started() -> Iterator[Simulators]:
    # The documented 30 s, 2 min and 10 min become 3, 12 and 60 ms.
    with running_simulators(Settings(delay_s=0, time_scale=0.0001)) as simulators:
        yield simulators


@pytest.fixture
def simulators(_started: Simulators) -> Iterator[Simulators]:
    yield _started
    _started.forget()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as receiver:
        yield receiver
