"""What takes a while of the processor's time happens beside the event loop, which serves everybody else meanwhile."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from tests.services.call_coach.endpoints.conftest import StartService

from tailrace_services.call_coach.analyst import Conversation, Metrics
from tailrace_services.call_coach.analyst.metrics import measure

MEASURED_BY = {
    "get_learning_insights": "tailrace_services.call_coach.optimised.call_metrics.measure",
    "analyze_call": "tailrace_services.call_coach.analyst.analysis.measure",
}
QUESTIONS: dict[str, dict[str, Any]] = {
    "get_learning_insights": {
        "rep_email": "rep0001@tailrace.example",
        "focus_area": "discovery",
        "period": {"first_day": "2025-04-01", "last_day": "2026-03-31"},
    },
    "analyze_call": {"call_id": 3},
}
PATIENCE = 20.0
"""Seconds after which the loop counts as held. A loop that is held never sets what is waited for."""


@pytest.mark.parametrize("tool", QUESTIONS)
async def test_the_event_loop_turns_while_a_call_is_measured(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch, tool: str
) -> None:
    """Each measurement waits until the loop has done something else, which it can do only if it is not held."""
    loop = asyncio.get_running_loop()
    turned: list[bool] = []

    def measured(conversation: Conversation, *more: Any) -> Metrics:
        served = threading.Event()
        loop.call_soon_threadsafe(served.set)
        turned.append(served.wait(PATIENCE))
        return measure(conversation, *more)

    monkeypatch.setattr(MEASURED_BY[tool], measured)
    async with start_service("optimised") as service:
        reply = await service.ask(tool, **QUESTIONS[tool])
    assert reply.status_code == 200, reply.text
    assert turned
    assert all(turned)
