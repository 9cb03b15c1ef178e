"""Answers that stream: through a real server and nginx with its defaults, read by clients of others, browsers too."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from httpx_sse import ServerSentEvent, aconnect_sse
from pydantic import SecretStr
from tests.integration.fastapi.event_sources import CLIENTS, Listener, listening
from tests.integration.fastapi.nginx import nginx
from tests.integration.fastapi.serving import served
from tests.services.implementations import run_sql
from tests.services.trading_desk.endpoints.conftest import NOW
from tests.services.trading_desk.endpoints.documents import QUESTIONS
from tests.waiting import wait_until

from tailrace.db import Database
from tailrace.settings import Settings
from tailrace.testing.line import Line
from tailrace_services.clock import FrozenClock
from tailrace_services.trading_desk.optimised.application import create_app

WAITING = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%words AS MATERIALIZED%'"
"""Searches that wait for a lock."""

FIRST = ["start", "cache", "status"]
"""What is told before anything was found."""


@dataclass
class Desk:
    """The fast service, served, on a database with documents."""

    app: FastAPI
    url: str
    port: int

    async def stream(self, question: str, **headers: str) -> AsyncIterator[ServerSentEvent]:
        """The events of an answer."""
        async with (
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", timeout=60.0) as client,
            aconnect_sse(client, "GET", "/query/stream", params={"q": question}, headers=headers) as source,
        ):
            assert source.response.status_code == 200
            async for event in source.aiter_sse():
                yield event

    @asynccontextmanager
    async def searches_wait(self) -> AsyncIterator[None]:
        """Nothing is found meanwhile."""
        database = Database(self.url)
        try:
            async with database.session() as session:
                connection = await session.connection()
                await connection.exec_driver_sql("LOCK TABLE docs.chunks IN ACCESS EXCLUSIVE MODE")
                yield
        finally:
            await database.aclose()

    async def searching(self) -> bool:
        """A search waits."""
        return bool(await run_sql(self.url, WAITING))

    async def over(self) -> bool:
        """None does."""
        return not await self.searching()

    def series(self, metric: str) -> dict[Any, Any]:
        """What a metric says."""
        return dict(self.app.state.tailrace.metrics[metric].series)


@pytest.fixture
async def desk(loaded: str) -> AsyncIterator[Desk]:
    """Served to whoever connects to it."""
    app = create_app(Settings(database_url=SecretStr(loaded)), clock=FrozenClock(NOW))
    async with served(app) as port:
        yield Desk(app, loaded, port)


@pytest.fixture(params=["direct", "nginx"])
async def reached(desk: Desk, request: pytest.FixtureRequest, server_folder: Path) -> AsyncIterator[Desk]:
    """The same, and through nginx."""
    if request.param == "direct":
        yield desk
    else:
        with nginx(desk.port, server_folder) as port:
            yield Desk(desk.app, desk.url, port)


async def test_events_are_not_held_back(reached: Desk) -> None:
    """What is told before the search comes while the search waits, and the rest when it ends."""
    async with aclosing(reached.stream(QUESTIONS[0])) as events:
        async with reached.searches_wait():
            before = [(await anext(events)).event for _ in FIRST]
            await wait_until(reached.searching)
        after = [event.event async for event in events]
    assert before == FIRST
    assert after == ["status", *["chunk"] * after.count("chunk"), "sources", "done"]
    assert "chunk" in after


async def test_a_stream_is_taken_up_where_it_was(reached: Desk) -> None:
    """Who was cut off gets what is missing under the ids that it had; who had everything gets 204."""
    got = [event async for event in reached.stream(QUESTIONS[0])]
    assert got[0].retry == 2000
    assert len({event.id for event in got}) == len(got)
    cut = got[3].id
    rest = [event async for event in reached.stream(QUESTIONS[0], **{"last-event-id": cut})]
    assert [(event.id, event.event, event.data) for event in rest] == [
        (event.id, event.event, event.data) for event in got[4:]
    ]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{reached.port}") as client:
        last = {"last-event-id": got[-1].id}
        done = await client.get("/query/stream", params={"q": QUESTIONS[0]}, headers=last)
    assert done.status_code == 204
    anothers = [event async for event in reached.stream(QUESTIONS[1], **{"last-event-id": cut})]
    assert anothers[0].event == "start"


async def test_an_id_that_was_never_given_is_none(reached: Desk) -> None:
    """Whatever stands in ``Last-Event-ID``, the client gets the whole stream."""
    for forged in ("x" * 4_000, "A" * 22 + ".999999999", "A" * 22 + ".0", "' OR 1=1", "{}"):
        got = [event.event async for event in reached.stream(QUESTIONS[0], **{"last-event-id": forged})]
        assert (got[0], got[-1]) == ("start", "done")


async def test_who_leaves_ends_the_work(reached: Desk) -> None:
    """The search that was under way is cancelled in the database, and nothing of the answer is kept."""
    async with reached.searches_wait(), aclosing(reached.stream(QUESTIONS[2])) as events:
        assert [(await anext(events)).event for _ in FIRST] == FIRST
        await wait_until(reached.searching)
        await events.aclose()
        await wait_until(reached.over)
    await wait_until(lambda: ("client_left",) in reached.series("tailrace.stream.duration"))
    again = [event async for event in reached.stream(QUESTIONS[2])]
    assert json.loads(again[1].data)["outcome"] == "miss"


@pytest.fixture(params=CLIENTS)
async def listener(
    desk: Desk, request: pytest.FixtureRequest, server_folder: Path
) -> AsyncIterator[tuple[Listener, Line]]:
    """A client of others that asks through nginx, on a line that can be cut."""
    with nginx(desk.port, server_folder) as port:
        async with Line(port) as line, listening(request.param, line.port, server_folder) as listener:
            desk.app.get("/listen", include_in_schema=False)(listener.page)
            yield listener, line


async def test_clients_of_others_come_back_by_themselves(desk: Desk, listener: tuple[Listener, Line]) -> None:
    """Cut off amid the search, a client goes on where it was, gets each event once, and asks no more at the end."""
    client, line = listener
    async with desk.searches_wait():
        await client.open("/query/stream", q=QUESTIONS[0])
        assert await client.told() == {"state": "open"}
        first = [await client.told() for _ in FIRST]
        await wait_until(desk.searching)
        line.cut()
        assert await client.told() == {"state": "connecting"}
        await wait_until(lambda: ("client_left",) in desk.series("tailrace.stream.duration"))
        assert await client.told() == {"state": "open"}
        await wait_until(desk.searching)
    got = [*first, *[each async for each in client.until("done")]]
    assert await client.told() == {"state": "connecting"}
    assert await client.told() == {"state": "closed"}
    assert desk.series("tailrace.stream.resumptions").keys() == {("continued",), ("had_all",)}
    names = [event["event"] for event in got]
    assert names == [*FIRST, "status", *["chunk"] * names.count("chunk"), "sources", "done"]
    assert len({event["id"] for event in got}) == len(got)
    said = "".join(json.loads(event["data"])["text"] for event in got if event["event"] == "chunk")
    assert said.startswith("A margin call is answered within one hour. [1]")


async def test_clients_of_others_give_up_where_there_is_nothing(desk: Desk, listener: tuple[Listener, Line]) -> None:
    """Refused before the stream has begun, a client does not ask again."""
    client, _ = listener
    await client.open("/query/stream", q=QUESTIONS[0], corpus="nowhere")
    assert await client.told() == {"state": "closed"}
    assert desk.series("tailrace.stream.duration") == {}
