from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI

from tailrace import Tailrace
from tailrace.fastapi.collector import THRESHOLDS, collect_less_often
from tailrace.settings import HttpSettings, Settings

MEMORY = Settings(database_url=None, valkey_url=None)
USUAL = (700, 10, 10)


@pytest.fixture(autouse=True)
def thresholds() -> Iterator[None]:
    """The garbage collector's thresholds."""
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
