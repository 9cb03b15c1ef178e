"""What requests wait for: never a thread."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.dependencies.models import _is_async_gen_callable, _is_coroutine_callable

from tailrace_services.services import SERVICES, Service


def callables(routes: Any) -> Iterator[Any]:
    """Endpoints and all that they depend on."""
    for route in routes:
        if dependant := getattr(route, "dependant", None):
            yield from within(dependant)
        if included := getattr(route, "original_router", None):
            yield from callables(included.routes)


def within(dependant: Any) -> Iterator[Any]:
    yield dependant.call
    for each in dependant.dependencies:
        yield from within(each)


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_no_request_goes_to_a_thread_and_back(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """FastAPI runs plain functions in threads, where each waits for the interpreter once more, and the loop for it."""
    monkeypatch.setenv("TAILRACE_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.setenv("TAILRACE_VALKEY_URL", "redis://127.0.0.1:1/0")
    app = importlib.import_module(f"{service.package}.applications").app_from_environment()
    found = set(callables(app.routes))
    assert len(found) > 5
    assert [each for each in found if not _is_coroutine_callable(each) and not _is_async_gen_callable(each)] == []
