"""The status of what Trading Desk adds to the library's parts, each seen not to be well."""

from __future__ import annotations

from collections.abc import Callable

from tests.services.implementations import run_sql
from tests.services.trading_desk.endpoints.conftest import Service, StartService
from tests.services.trading_desk.endpoints.test_query import load
from tests.waiting import wait_until


async def states(service: Service, *names: str) -> dict[str, str]:
    """Of the parts that are named."""
    parts = await service.app.state.tailrace.status.parts()
    return {name: parts[name].state for name in names}


async def test_documents_are_missed_without_vectors_and_altogether(
    new_database: Callable[[str], str], start_service: StartService
) -> None:
    """Without documents nothing can be answered, and without a vector a passage is found by its words only; without
    their table the part is down."""
    url = new_database("optimised")
    async with start_service("optimised", at=url) as desk:

        async def shows(state: str) -> bool:
            return await states(desk, "documents") == {"documents": state}

        await wait_until(lambda: shows("degraded"))
        await load(url)
        await wait_until(lambda: shows("up"))
        await run_sql(url, "UPDATE docs.chunks SET embedding = NULL WHERE id = (SELECT min(id) FROM docs.chunks)")
        await wait_until(lambda: shows("degraded"))
        await run_sql(url, "ALTER TABLE docs.chunks RENAME TO gone")
        await wait_until(lambda: shows("down"))
