"""The tools while one in ten round trips to the database ends with a lost connection."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from tests.services.call_coach.endpoints.conftest import Service, StartService
from tests.services.call_coach.endpoints.faulty_line import FaultyLine

from tailrace_services.call_coach.model import DIMENSIONS

FAULTS = 0.1
CALLS = {"baseline": 10, "optimised": 20}
"""How many questions each tool is asked; twice as many analyses."""


def questions(calls: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Analyses of each call, first as they come and then forced; as many searches and comparisons, no two alike."""
    for force in (False, True):
        for call_id in range(1, calls + 1):
            yield "analyze_call", {"call_id": call_id, "force": force}
    for number in range(1, calls + 1):
        yield "search_calls", {"limit": number}
        yield "analyze_opportunity", {"opportunity_id": number}
        period = {"first_day": f"2026-01-{number:02}", "last_day": "2026-03-31"}
        whose = {"rep_email": "rep0001@tailrace.example", "period": period}
        yield "get_rep_insights", whose
        yield "get_learning_insights", {**whose, "focus_area": DIMENSIONS[number % 4]}


async def statuses(service: Service, calls: int) -> Counter[tuple[str, int]]:
    """Ask the tools, ten questions at a time; how each tool answered."""
    answered: Counter[tuple[str, int]] = Counter()
    asked = list(questions(calls))
    for start in range(0, len(asked), 10):
        ten = asked[start : start + 10]
        replies = await asyncio.gather(*(service.ask(tool, caller=1, **question) for tool, question in ten))
        answered.update((tool, reply.status_code) for (tool, _), reply in zip(ten, replies, strict=True))
    return answered


async def test_no_request_fails(start_service: StartService, new_database: Callable[[str], str]) -> None:
    """Reads and writes are repeated until they are done, each once, also where nobody could tell whether they were.

    The original fails where its line does, which shows that the line is as bad as it says.
    """
    made: dict[str, Counter[tuple[str, int]]] = {}
    for name, more in (("baseline", {}), ("optimised", {"rate_limit": {"enabled": False}})):
        url = new_database(name)
        port = urlsplit(url).port
        assert port is not None
        async with FaultyLine(port, FAULTS) as line:
            async with start_service(name, at=url.replace(f":{port}/", f":{line.port}/"), **more) as service:
                made[name] = await statuses(service, CALLS[name])
            assert line.broken >= 10
            assert 0.05 < line.broken / line.trips < 0.15
    assert made["optimised"] == Counter((tool, 200) for tool, _ in questions(CALLS["optimised"]))
    assert made["baseline"]["analyze_call", 503] > 0
