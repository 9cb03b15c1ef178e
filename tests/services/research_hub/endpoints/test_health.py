"""Health: for load balancers and people, and what only administrators may do."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest
from sqlalchemy import event
from tests.services.research_hub.endpoints.conftest import Service, key_of
from tests.waiting import wait_until

from tailrace.embedded import PostgresServer
from tailrace_services.research_hub.generator.people import ADMINISTRATOR

CHANGES = ("/health/cache/clear", "/health/cache/cleanup")


async def post(service: Service, path: str, user: int | None) -> tuple[int, object]:
    response = await service.client.post(path, headers=key_of(user))
    return response.status_code, response.json().get("removed")


async def test_all_is_well(service: Service) -> None:
    """Whoever asks is told so, and told anew each time."""
    answer = await service.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert answer.headers["cache-control"] == "no-store"


async def test_health_is_one_query(optimised: Service) -> None:
    """However often it is asked for, one statement each time, whatever the cache knows."""
    statements: list[str] = []
    engine = optimised.app.state.tailrace.database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    for number in range(3):
        assert (await optimised.get("/health")).status_code == 200
        assert len(statements) == number + 1


async def test_a_missing_table_is_not_well(service: Service) -> None:
    """A database that answers, but cannot be worked with, is no database; a load balancer hears 5xx."""
    await service.sql("ALTER TABLE patterns RENAME TO lost")
    assert (await service.get("/health")).status_code >= 500


async def test_a_locked_table_is_said_in_time(optimised: Service) -> None:
    """Health does not wait for what it is to find out about."""
    connection = await asyncpg.connect(optimised.database_url)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE cards")
            answer = await optimised.get("/health")
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
    finally:
        await connection.close()
    assert (await optimised.get("/health")).status_code == 200


async def test_performance(service: Service) -> None:
    """Figures of the cache, of the database and its pool, and of the answer itself."""
    await service.get("/api/cards")
    body = (await service.get("/health/performance")).json()
    assert set(body) == {"cache", "database", "response_time_ms"}
    assert set(body["cache"]) == {"entries", "active", "hits", "misses", "hit_rate", "memory_bytes"}
    assert body["database"]["status"] == "up"
    assert 0 < body["database"]["latency_ms"] <= body["response_time_ms"]
    assert set(body["database"]["pool"]) == {"size", "checked_out", "overflow"}


async def test_figures_of_the_cache(optimised: Service) -> None:
    """They count what was looked up and what is held."""
    await optimised.settled()
    before = (await optimised.get("/health/performance")).json()["cache"]
    for _ in range(5):
        await optimised.get("/api/cards")
    after = (await optimised.get("/health/performance")).json()["cache"]
    assert (after["hits"] - before["hits"], after["misses"] - before["misses"]) == (4, 1)
    assert after["hit_rate"] == pytest.approx(after["hits"] / (after["hits"] + after["misses"]), abs=1e-4)
    assert after["entries"] >= after["active"] > before["active"]
    assert after["memory_bytes"] > before["memory_bytes"]


async def test_the_pool_shows_who_works(optimised: Service) -> None:
    """Connections handed out are counted while they are."""
    database = optimised.app.state.tailrace.database
    async with database.engine.connect(), database.engine.connect():
        pool = (await optimised.get("/health/performance")).json()["database"]["pool"]
    assert pool == {"size": 20, "checked_out": 2, "overflow": 0}


async def test_a_database_that_is_down_is_a_figure(optimised: Service, postgres: PostgresServer) -> None:
    """Performance is told of all the same, health is not well; both are again when the database is."""
    await asyncio.to_thread(postgres.kill)
    try:
        body = (await optimised.get("/health/performance")).json()
        assert (body["database"]["status"], body["database"]["latency_ms"]) == ("down", None)
        assert (await optimised.get("/health")).status_code == 503
    finally:
        await asyncio.to_thread(postgres.start)

    async def well() -> bool:
        return (await optimised.get("/health")).status_code == 200

    await wait_until(well)


@pytest.mark.parametrize("path", CHANGES)
async def test_only_administrators_change_anything(service: Service, path: str) -> None:
    """Nobody in particular is 401, another user 403, and GET is no way in; an administrator may."""
    assert (await post(service, path, None))[0] == 401
    assert (await post(service, path, ADMINISTRATOR + 1))[0] == 403
    forged = key_of(ADMINISTRATOR)["x-api-key"][:-1] + "x"
    assert (await service.client.post(path, headers={"x-api-key": forged})).status_code == 401
    assert (await service.client.get(path, headers=key_of(ADMINISTRATOR))).status_code == 405
    assert (await post(service, path, ADMINISTRATOR))[0] == 200


async def test_what_is_cleared_is_computed_anew(optimised: Service) -> None:
    """Everything goes, and nothing that was refused does."""
    await optimised.settled()
    await optimised.get("/api/cards")
    assert (await post(optimised, CHANGES[0], ADMINISTRATOR + 1))[0] == 403
    assert "hit" in (await optimised.get("/api/cards")).headers["cache-status"]
    status, removed = await post(optimised, CHANGES[0], ADMINISTRATOR)
    assert status == 200
    assert isinstance(removed, int)
    assert removed > 0
    assert "hit" not in (await optimised.get("/api/cards")).headers["cache-status"]


async def test_what_has_expired_is_cleaned_up(optimised: Service) -> None:
    """Only that: what is still good stays."""
    store = optimised.app.state.tailrace.store
    await optimised.settled()
    await optimised.get("/api/cards")
    await store.set({"short": b"x"}, 0.001)
    while not await store.expired():
        await asyncio.sleep(0.001)
    status, removed = await post(optimised, CHANGES[1], ADMINISTRATOR)
    assert (status, removed) == (200, 1)
    assert "hit" in (await optimised.get("/api/cards")).headers["cache-status"]
