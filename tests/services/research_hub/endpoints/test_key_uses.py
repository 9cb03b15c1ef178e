"""When a key was last used: known to a minute or two, and never at the cost of a write at each request."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from tests.services.implementations import IMPLEMENTATIONS
from tests.services.research_hub.endpoints.conftest import NOW, StartService, key_of
from tests.waiting import wait_until

from tailrace.errors import DatabaseUnavailableError
from tailrace.testing.clock import FakeClock
from tailrace_services.research_hub.api.key_uses import EVERY, NOTE_USES, KeyUses
from tailrace_services.research_hub.keys import api_key


class Written:
    """What was to be written, each time."""

    def __init__(self, *failures: Exception) -> None:
        self.times: list[dict[int, datetime]] = []
        self.failures = list(failures)

    async def __call__(self, uses: Mapping[str, Any]) -> None:
        self.times.append(dict(zip(uses["keys"], uses["moments"], strict=True)))
        if self.failures:
            raise self.failures.pop(0)


def moment(clock: FakeClock) -> datetime:
    return datetime.fromtimestamp(clock.now(), UTC)


async def passes(clock: FakeClock, seconds: float) -> None:
    """Let time pass for who is asleep by then."""
    await wait_until(lambda: clock.sleepers == 1)
    await clock.advance(seconds)


async def test_uses_are_written_together_once_a_minute() -> None:
    """However often a key is used, its last use is written, with those of the others; else nothing."""
    clock, written = FakeClock(), Written()
    uses = KeyUses(written, clock)
    async with uses.running():
        for _ in range(100):
            uses.note(7)
        uses.note(8)
        first = moment(clock)
        await passes(clock, 1)
        uses.note(7)
        second = moment(clock)
        assert written.times == []
        await passes(clock, EVERY)
        await wait_until(lambda: len(written.times) == 1)
        assert written.times == [{7: second, 8: first}]
        await passes(clock, EVERY)
        uses.note(9)
    assert written.times[1:] == [{9: moment(clock)}], "the end writes what is left"


@pytest.mark.parametrize("failure", [DatabaseUnavailableError("gone"), TimeoutError()])
async def test_what_could_not_be_written_is_written_the_next_time(
    failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """A database in trouble loses no use, and somebody is told."""
    clock, written = FakeClock(), Written(failure)
    uses = KeyUses(written, clock)
    with caplog.at_level(logging.WARNING, logger="tailrace_services.research_hub"):
        async with uses.running():
            uses.note(7)
            first = moment(clock)
            await passes(clock, EVERY)
            await wait_until(lambda: "1 API keys" in caplog.text)
            uses.note(8)
    assert written.times == [{7: first}, {7: first, 8: moment(clock)}]


async def last_used(url: str) -> dict[int, datetime]:
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch("SELECT id, last_used_at FROM api_keys WHERE last_used_at IS NOT NULL")
        return dict(rows)
    finally:
        await connection.close()


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
async def test_a_key_that_opened_something_was_used(name: str, start_service: StartService) -> None:
    """By itself or by its token, also where the answer was kept; no request writes, and a wrong key is nobody's."""
    async with start_service(name) as service:
        for _ in range(3):
            assert (await service.get("/api/tokens", user=1)).status_code == 200
        token = (await service.client.post("/api/auth/token", headers=key_of(2))).json()["access_token"]
        assert (
            await service.client.get("/api/tokens", headers={"authorization": f"Bearer {token}"})
        ).status_code == 200
        wrong = {"x-api-key": api_key(1, 3)[:-1] + "!"}
        assert (await service.client.get("/api/tokens", headers=wrong)).status_code == 401
        assert (await service.get("/api/cards")).status_code == 200
        assert await last_used(service.database_url) == {}
        url = service.database_url
    assert await last_used(url) == {1: NOW, 2: NOW}


async def test_two_processes_write_a_key_once_a_minute(start_service: StartService) -> None:
    """What is less than a minute later than what stands there is not written, nor what is earlier; rows that somebody
    else is writing are left to them, without waiting."""
    async with start_service("optimised") as service:
        connection, other = [await asyncpg.connect(service.database_url) for _ in range(2)]
        note = str(NOTE_USES).replace(":keys", "$1").replace(":moments", "$2")
        try:

            async def write(keys: list[int], seconds: float) -> str:
                moments = [NOW + timedelta(seconds=seconds)] * len(keys)
                status: str = await asyncio.wait_for(connection.execute(note, keys, moments), 10)
                return status

            assert await write([1, 2], 0) == "UPDATE 2"
            assert [await write([1], seconds) for seconds in (59, -100, 60)] == ["UPDATE 0", "UPDATE 0", "UPDATE 1"]
            async with other.transaction():
                await other.execute("UPDATE api_keys SET active = false WHERE id = 1")
                assert await write([1, 2], 200) == "UPDATE 1"
        finally:
            await connection.close()
            await other.close()
        assert await last_used(service.database_url) == {
            1: NOW + timedelta(seconds=60),
            2: NOW + timedelta(seconds=200),
        }
