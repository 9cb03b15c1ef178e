"""The tools while one in ten round trips to the database ends with a lost connection."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from tests.services.call_coach.endpoints.conftest import Service, StartService

from tailrace.testing.breaking_line import BreakingLine
from tailrace_services.call_coach.model import DIMENSIONS

FAULTS = 0.1
CALLS = {"baseline": 10, "optimised": 20}
"""How many questions each tool is asked; twice as many analyses."""
PATIENCE = 120.0
"""Seconds for which a passing failure is met by a repetition."""


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

    No chance fails this test. What is repeated as a whole takes 10 round trips at most on a new connection, so that an
    attempt succeeds with 0.9 ** 10 = 0.35. The time allowed is that of 150 attempts at least, at 0.8 s each with their
    pauses, which is slower by far than any machine that can run the tests: 300 pieces of work all succeed but for
    300 * 0.65 ** 150 = 3e-26. The original makes some 600 round trips; that fewer than 10 of 500 break has the
    probability 1e-13, and that none does, so that it answers everything, 1e-23.
    """
    made: dict[str, Counter[tuple[str, int]]] = {}
    for name, more in (
        ("baseline", {}),
        ("optimised", {"rate_limit": {"enabled": False}, "database": {"retry_time": PATIENCE}}),
    ):
        url = new_database(name)
        port = urlsplit(url).port
        assert port is not None
        async with BreakingLine(port, FAULTS) as line:
            async with start_service(name, at=url.replace(f":{port}/", f":{line.port}/"), **more) as service:
                made[name] = await statuses(service, CALLS[name])
            assert line.broken >= 10
    assert made["optimised"] == Counter((tool, 200) for tool, _ in questions(CALLS["optimised"]))
    assert sum(count for (_, status), count in made["baseline"].items() if status == 503) > 0
