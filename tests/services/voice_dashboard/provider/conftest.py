"""One running simulator for this folder, without faults at the start of each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.services.voice_dashboard.provider.running import RunningSimulator


@pytest.fixture(scope="module")
def _running() -> Iterator[RunningSimulator]:
    simulator = RunningSimulator()
    simulator.start()
    yield simulator
    simulator.stop()


@pytest.fixture
def simulator(_running: RunningSimulator) -> RunningSimulator:
    _running.control("DELETE")
    return _running
