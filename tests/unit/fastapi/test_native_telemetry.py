"""FastAPI's own telemetry, asked for less often."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.applications import Starlette
from tests.unit.asgi.driver import ask

from tailrace import Tailrace
from tailrace.fastapi.native_telemetry import remember_no_telemetry
from tailrace.settings import Settings
from tailrace.testing.clock import FakeClock

MEMORY = Settings(database_url=None, valkey_url=None)


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
