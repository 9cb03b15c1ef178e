"""The dependencies that endpoints name."""

from __future__ import annotations

import inspect
from typing import get_args

import pytest

from tailrace.fastapi import dependencies, streams

NAMED = {
    name: getattr(module, name) for module in (dependencies, streams) for name in module.__all__ if "Dependency" in name
}


@pytest.mark.parametrize("name", sorted(NAMED))
def test_no_dependency_is_called_in_a_thread(name: str) -> None:
    """FastAPI calls there what is neither a coroutine nor its generator: these wait for nothing but the database."""
    call = get_args(NAMED[name])[1].dependency
    assert inspect.iscoroutinefunction(call) or inspect.isasyncgenfunction(call)
