"""The service on TimescaleDB, over HTTP: the answers that it gives on plain PostgreSQL, kept and ended alike.

The TimescaleDB of these tests has one connection, so a PgBouncer shares it out; it speaks no COPY, so signals go in by
INSERT there; and it builds no index CONCURRENTLY, so items have none of theirs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from tests.integration.timeseries.timescaledb_server import connected, running_timescaledb
from tests.pooling import running_pgbouncer
from tests.services.implementations import client_of
from tests.services.trading_desk.endpoints.conftest import SECRET, Service
from tests.waiting import wait_until

from tailrace.schema import Index, Patience, apply, plan
from tailrace.settings import DatabaseSettings, HttpSettings, Settings
from tailrace.testing.clock import FakeClock
from tailrace.timeseries import ingest, maintain
from tailrace_services.clock import FrozenClock
from tailrace_services.identity.keys import hash_api_key
from tailrace_services.trading_desk.keys import api_key
from tailrace_services.trading_desk.migrations import migrate
from tailrace_services.trading_desk.optimised import desk, objects
from tailrace_services.trading_desk.optimised.application import create_app
from tailrace_services.trading_desk.signal_series import SIGNAL_DAYS, SIGNALS

NOW = datetime.now(UTC).replace(microsecond=0)
"""TimescaleDB's own jobs go by its server's clock."""
DAY = timedelta(days=1)
TODAY = NOW.replace(hour=0, minute=0, second=0)
ADMITTED = ("lock_timeout", "statement_timeout", "jit", "application_name", "extra_float_digits", "search_path")
TRADER = "INSERT INTO traders (id, name, email, api_key_hash) VALUES (1, 'One', 'one@example.com', $1)"
JOB = "SELECT job_id FROM timescaledb_information.jobs WHERE proc_schema = 'tailrace'"
POLICIES = "SELECT count(*) FROM timescaledb_information.jobs WHERE proc_name IN ('policy_retention', 'policy_refresh')"
ROW = (
    "INSERT INTO signals (time, asset, signal_type, channel, price) VALUES ($1, $2, 'close', 'floor', 7.25)",
    "UPDATE signals SET price = price * 2 WHERE asset = 'WTI' AND time >= $1",
    "DELETE FROM signals WHERE asset = 'COCOA' AND time >= $1",
)
READS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("/api/signals", {"limit": 1000}),
    ("/api/signals", {"asset": "GOLD", "sort": "time", "limit": 7}),
    ("/api/signals", {"channel": "oanda", "total": "exact"}),
    ("/api/signals", {"signal_type": "buy", "since": (NOW - 3 * DAY).isoformat()}),
    ("/api/signals/summary", {"asset": "GOLD"}),
    ("/api/signals/summary", {"asset": "WTI", "channel": "oanda", "sort": "day"}),
    ("/api/signals/summary", {"asset": "COCOA", "signal_type": "quote", "limit": 3}),
    ("/api/signals/summary", {"asset": "TIN"}),
)


@pytest.fixture
def timescaledb_url(server_folder: Path) -> Iterator[str]:
    """A started TimescaleDB, in memory, behind a PgBouncer."""
    with (
        running_timescaledb() as url,
        running_pgbouncer(
            url,
            server_folder,
            ["server_tls_sslmode = disable", f"ignore_startup_parameters = {','.join(ADMITTED)}"],
        ) as pooled,
    ):
        yield pooled


def signals(start: datetime, number: int, step: timedelta) -> list[dict[str, Any]]:
    """Quotes and advice of three assets by two channels."""
    found: list[dict[str, Any]] = []
    for n in range(number):
        one = {
            "time": (start + n * step).isoformat(),
            "asset": ("GOLD", "WTI", "COCOA")[n % 3],
            "channel": ("oanda", "floor")[n // 3 % 2],
        }
        price = f"{100 + n * 37 % 41}.{n % 8}5"
        if n % 4:
            found.append({**one, "signal_type": "quote", "bid": price, "ask": str(float(price) + 0.25)})
        else:
            found.append({**one, "signal_type": "buy", "price": price, "raw_message": f"buy {n}"})
    return found


class Story:
    """The same things done to the service on one engine, and all that it answered."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.answers: list[Any] = []

    async def tell(self) -> list[Any]:
        """From the first signals to those that are dropped by age."""
        await self.post(signals(TODAY - 6 * DAY, 300, timedelta(minutes=29)))
        await self.read()
        assert await self.outcomes() == ["hit"] * len(READS)
        await self.post([{**signals(NOW, 1, DAY)[0], "asset": "TIN"}])
        assert await self.outcomes() == ["miss", "hit", "miss", "miss", "hit", "hit", "hit", "miss"]
        await self.read()
        await self.post(signals(TODAY - 3 * DAY, 3, timedelta(hours=1)))  # late: their day is over
        await self.read()
        for statement, *arguments in (
            (ROW[0], NOW, "GOLD"),
            (ROW[1], TODAY),
            (ROW[2], TODAY),
        ):
            await self.sql(statement, *arguments)
            await wait_until(self.service.app.state.tailrace.freshness.fence)
            await self.read()
        await self.sql(ROW[0], TODAY - 2 * DAY, "GOLD")
        await self.maintain(NOW)
        await self.read()
        await self.maintain(TODAY - 4 * DAY + SIGNALS.keep)  # type: ignore[operator]
        await self.read()
        return self.answers

    async def post(self, new: list[dict[str, Any]]) -> None:
        """By the API; whoever sent them reads them at once."""
        answer = await self.service.ask("POST", "/api/signals", body={"signals": new})
        assert (answer.status_code, answer.json()) == (201, {"stored": len(new)})

    async def sql(self, statement: str, *arguments: Any) -> None:
        """As psql would."""
        async with connected(self.service.database_url) as connection:
            await connection.execute(statement, *arguments)

    async def maintain(self, moment: datetime) -> None:
        """What is done each night, and what it changed known to the service."""
        await maintain(self.service.database_url, SIGNALS, clock=FakeClock(moment.timestamp()))
        await wait_until(self.service.app.state.tailrace.freshness.fence)

    async def read(self) -> None:
        """Keep all answers."""
        for path, query in READS:
            answer = await self.service.get(path, **query)
            assert answer.status_code == 200, answer.text
            self.answers.append(answer.json())

    async def outcomes(self) -> list[str]:
        """Whence each answer comes now."""
        found = []
        for path, query in READS:
            status = (await self.service.get(path, **query)).headers["cache-status"]
            found.append("hit" if "; hit" in status else "miss")
        return found


@asynccontextmanager
async def running(url: str, database: DatabaseSettings) -> AsyncIterator[Service]:
    """The service on the database at ``url``, which is empty."""
    await migrate(url)
    declared = [each for each in objects() if not isinstance(each, Index) or each.source is SIGNAL_DAYS]
    await apply(url, declared, patience=Patience(clock=FakeClock(NOW.timestamp())))
    assert not await plan(url, declared)
    async with connected(url) as connection:
        await connection.execute(TRADER, hash_api_key(api_key(1, 1)))
    http = HttpSettings(cursor_secrets=[SecretStr(SECRET)])
    settings = Settings(database_url=SecretStr(url), http=http, database=database)
    app = create_app(settings, clock=FrozenClock(NOW))
    async with client_of(app) as client:
        yield Service("optimised", url, app, client)


async def test_answers_do_not_tell_the_engine(
    database_url: str, timescaledb_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages and days after every kind of write, kept between, are those of plain PostgreSQL; none is older than it."""
    monkeypatch.setenv("PGSSLMODE", "disable")
    async with running(database_url, DatabaseSettings()) as service:
        plain = await Story(service).tell()
    async with connected(timescaledb_url) as connection:
        await connection.execute("CREATE EXTENSION timescaledb")
    monkeypatch.setattr(desk, "ingest", partial(ingest, copy=False))
    async with running(timescaledb_url, DatabaseSettings(pgbouncer=True, pool_size=4)) as service:
        timescale = await Story(service).tell()
    for number, (theirs, ours) in enumerate(zip(timescale, plain, strict=True)):
        assert theirs == ours, (number // len(READS), READS[number % len(READS)])
    assert sum(len(answer["items"]) for answer in plain) > 1000


async def test_its_own_job_does_and_tells_what_its_policies_would(
    timescaledb_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Days that are over get what came late, chunks go by age, and no answer that was kept outlives either."""
    monkeypatch.setenv("PGSSLMODE", "disable")
    monkeypatch.setattr(desk, "ingest", partial(ingest, copy=False))
    async with connected(timescaledb_url) as connection:
        await connection.execute("CREATE EXTENSION timescaledb")
    async with running(timescaledb_url, DatabaseSettings(pgbouncer=True, pool_size=4)) as service:
        story = Story(service)

        async def day_by_day() -> tuple[dict[str, int], bool]:
            answer = await service.get("/api/signals/summary", asset="GOLD", sort="day")
            found = {each["day"]: each["signals"] for each in answer.json()["items"]}
            return found, "; hit" in answer.headers["cache-status"]

        async def job_runs() -> None:
            async with connected(timescaledb_url) as connection:
                (job,) = await connection.fetch(JOB)
                await connection.execute(f"CALL run_job({job[0]})")
            await wait_until(service.app.state.tailrace.freshness.fence)

        await story.post(signals(TODAY - DAY, 3, timedelta(hours=1)))
        await job_runs()  # what was there is kept from now on, and days that are over are not looked at again
        assert SIGNALS.keep is not None
        await story.sql(ROW[0], TODAY - 2 * DAY, "GOLD")
        await story.sql(ROW[0], NOW - SIGNALS.keep - 40 * DAY, "GOLD")
        await wait_until(service.app.state.tailrace.freshness.fence)
        first = {f"{TODAY - DAY:%Y-%m-%d}": 1}
        assert await day_by_day() == (first, False)
        assert await day_by_day() == (first, True)
        await job_runs()
        assert await day_by_day() == (first | {f"{TODAY - 2 * DAY:%Y-%m-%d}": 1}, False)
        async with connected(timescaledb_url) as connection:
            assert await connection.fetchval(POLICIES) == 0
            assert await connection.fetchval("SELECT count(*) FROM signals WHERE asset = 'GOLD'") == 2
