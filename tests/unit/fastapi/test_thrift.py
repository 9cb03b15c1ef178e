from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from tests.unit.asgi.driver import ask

from tailrace import Tailrace
from tailrace.fastapi.thrift import THRESHOLDS, collect_less_often, remember_no_telemetry
from tailrace.settings import HttpSettings, Settings
from tailrace.testing.clock import FakeClock

MEMORY = Settings(database_url=None, valkey_url=None)
USUAL = (700, 10, 10)


@pytest.fixture(autouse=True)
def thresholds() -> Iterator[None]:
    """As they were, afterwards."""
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


@pytest.mark.parametrize(
    ("before", "after"),
    [(USUAL, THRESHOLDS), ((50_000, 5, 100), (50_000, 20, 100)), ((0, 10, 10), (0, 10, 10))],
)
def test_the_collectors_thresholds_are_only_ever_raised(
    before: tuple[int, int, int], after: tuple[int, int, int]
) -> None:
    """Whoever has set higher ones, or turned the collector off, keeps that."""
    gc.set_threshold(*before)
    collect_less_often()
    assert gc.get_threshold() == after


@pytest.mark.parametrize(("asked", "expected"), [(True, THRESHOLDS), (False, USUAL)])
async def test_an_application_raises_them_as_it_starts_unless_that_is_turned_off(asked: bool, expected: Any) -> None:
    """The setting leaves the collector alone."""
    gc.set_threshold(*USUAL)
    settings = MEMORY.model_copy(update={"http": HttpSettings(collect_less_often=asked)})
    async with Tailrace(FastAPI(), settings).running():
        assert gc.get_threshold() == expected


async def test_it_is_asked_once_a_second_whether_there_is_telemetry_while_there_is_none() -> None:
    """What is configured later begins within a second; where there is telemetry, FastAPI is asked each time."""
    app, clock, said, times = FastAPI(), FakeClock(), False, 0

    def enabled() -> bool:
        nonlocal times
        times += 1
        return said

    app._native_telemetry.enabled = enabled  # type: ignore[method-assign]
    remember_no_telemetry(app, clock.monotonic)
    look = app._native_telemetry.enabled
    assert [look() for _ in range(3)] == [False] * 3
    assert times == 1
    said = True
    await clock.advance(1.0)
    assert [look() for _ in range(3)] == [True] * 3
    assert times == 4
    said = False
    assert [look() for _ in range(3)] == [False] * 3
    assert times == 5


async def test_an_application_without_telemetry_of_its_own_is_left_alone() -> None:
    """Starlette has none, nor has an older FastAPI."""
    app = Starlette()
    Tailrace(app, MEMORY)
    assert (await ask(app, "/none")).status == 404
