"""A small service to try schema work on: users, agents, calls and leads, with every kind of rollup."""

# ruff: noqa: E501 - statements stay on one line

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import asyncpg
from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    ForeignKey,
    Integer,
    MetaData,
    Numeric,
    Table,
    Text,
)
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from tailrace.schema import Declaration, Index, Rollup, Through, Watch, avg, count, sum_
from tailrace.schema.declarations import Maintenance

metadata = MetaData()
users = Table("users", metadata, Column("id", Integer, primary_key=True))
agents = Table("agents", metadata, Column("id", Integer, primary_key=True), Column("name", Text))
calls = Table(
    "calls",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("agent_id", ForeignKey("agents.id", ondelete="SET NULL")),
    Column("status", Text, nullable=False),
    Column("minutes", Numeric(10, 2)),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("note", Text),
)
leads = Table(
    "leads",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("call_id", ForeignKey("calls.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("score", Integer),
    Column("created_at", DateTime(timezone=True), nullable=False),
)

_FIGURES = {
    "calls": count(),
    "completed": count(where=calls.c.status == "completed"),
    "minutes": sum_(calls.c.minutes),
    "mean_minutes": avg(calls.c.minutes),
}
BY_HOUR = Rollup(
    "calls_by_hour",
    calls,
    {"user_id": calls.c.user_id, "agent_id": calls.c.agent_id},
    time=calls.c.created_at,
    grain="hour",
    measures=_FIGURES,
)
BY_DAY = Rollup(
    "calls_by_day", calls, {"user_id": calls.c.user_id}, time=calls.c.created_at, grain="day", measures=_FIGURES
)
LEADS_BY_DAY = Rollup(
    "leads_by_day",
    leads,
    {"user_id": calls.c.user_id, "status": calls.c.status},
    time=leads.c.created_at,
    grain="day",
    join=(calls, leads.c.call_id == calls.c.id),
    measures={"hot": count(where=leads.c.score >= 70), "scored": count(leads.c.score), "score": sum_(leads.c.score)},
)
BERLIN = Rollup(
    "completed_in_berlin",
    calls,
    {},
    time=calls.c.created_at,
    grain="day",
    measures={"calls": count()},
    where=calls.c.status == "completed",
    time_zone="Europe/Berlin",
    leading=0,
)
ROLLUPS = [BY_HOUR, BY_DAY, LEADS_BY_DAY, BERLIN]
WATCHES = [Watch(calls, key="user_id"), Watch(leads, key=Through("call_id", calls, "id", "user_id"))]
RECENT = Index("calls_recent", calls, [calls.c.user_id, calls.c.created_at.desc()], include=["status"])
OBJECTS = [*WATCHES, *ROLLUPS, RECENT]

_HOURLY = """
SELECT user_id, (created_at AT TIME ZONE 'UTC')::date AS date, extract(hour FROM created_at AT TIME ZONE 'UTC')::int AS hour,
  agent_id, count(*) AS calls, count(*) FILTER (WHERE status = 'completed') AS completed, coalesce(sum(minutes), 0) AS minutes,
  coalesce(sum(minutes), 0) AS mean_minutes_sum, count(minutes) AS mean_minutes_count
FROM calls GROUP BY 1, 2, 3, 4
"""
_DAILY = """
SELECT user_id, (created_at AT TIME ZONE 'UTC')::date AS date, count(*) AS calls,
  count(*) FILTER (WHERE status = 'completed') AS completed, coalesce(sum(minutes), 0) AS minutes,
  coalesce(sum(minutes), 0) AS mean_minutes_sum, count(minutes) AS mean_minutes_count
FROM calls GROUP BY 1, 2
"""
_LEADS = """
SELECT c.user_id, (l.created_at AT TIME ZONE 'UTC')::date AS date, c.status, count(*) FILTER (WHERE l.score >= 70) AS hot,
  count(l.score) AS scored, coalesce(sum(l.score), 0) AS score, count(*) AS row_count
FROM leads l JOIN calls c ON c.id = l.call_id GROUP BY 1, 2, 3
"""
_BERLIN = """
SELECT (created_at AT TIME ZONE 'Europe/Berlin')::date AS date, count(*) AS calls
FROM calls WHERE status = 'completed' GROUP BY 1
"""
LIVE = {"calls_by_hour": _HOURLY, "calls_by_day": _DAILY, "leads_by_day": _LEADS, "completed_in_berlin": _BERLIN}
"""What each rollup must equal, written by hand."""
COUNTED_BY = {
    "calls_by_hour": "calls",
    "calls_by_day": "calls",
    "leads_by_day": "row_count",
    "completed_in_berlin": "calls",
}

KEYS = {rollup.name: rollup.key for rollup in ROLLUPS}


def declared(maintenance: Maintenance) -> list[Declaration]:
    """`OBJECTS` with their rollups kept in one way."""
    return [replace(o, maintenance=maintenance) if isinstance(o, Rollup) else o for o in OBJECTS]


def engine_of(url: str) -> AsyncEngine:
    """An engine that keeps no connection."""
    return create_async_engine(url.replace("postgresql:", "postgresql+asyncpg:", 1), poolclass=NullPool)


async def make_tables(url: str) -> None:
    """The empty service, with three users and three agents."""
    engine = engine_of(url)
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
        await connection.execute(users.insert(), [{"id": n} for n in (1, 2, 3)])
        await connection.execute(agents.insert(), [{"id": n, "name": f"agent {n}"} for n in (1, 2, 3)])
    await engine.dispose()


async def fill(connection: asyncpg.Connection, rows: int) -> None:
    """``rows`` calls over 40 days, every second with a lead."""
    await connection.execute(
        f"INSERT INTO calls SELECT g, g % 3 + 1, nullif(g % 4, 0), CASE WHEN g % 3 = 0 THEN 'failed' ELSE 'completed' END, "
        f"nullif(g % 7, 0) * 0.25, timestamptz '2026-03-01Z' + g * interval '40 days' / {rows} FROM generate_series(1, {rows}) g"
    )
    await connection.execute(
        f"INSERT INTO leads SELECT g, g * 2, nullif(g % 101, 100), timestamptz '2026-03-01Z' + g * interval '40 days' / {rows} "
        f"FROM generate_series(1, {rows} / 2) g"
    )


async def drift(connection: asyncpg.Connection) -> dict[str, list[tuple[object, ...]]]:
    """Rows in which a rollup and its live query differ; empty when all are exact."""
    found = {}
    for name, live in LIVE.items():
        columns = ", ".join(f'"{a.name}"' for a in (await connection.prepare(live)).get_attributes())
        keys = ", ".join(KEYS[name])
        sums = ", ".join(f"sum({c}) AS {c}" for c in columns.replace('"', "").split(", ") if c not in KEYS[name])
        kept = (
            f"SELECT {columns} FROM (SELECT {keys}, {sums} FROM {name} GROUP BY {keys}) g WHERE {COUNTED_BY[name]} <> 0"
        )
        rows = await connection.fetch(
            f"SELECT 'missing' AS side, x.* FROM ({live} EXCEPT ALL {kept}) x "
            f"UNION ALL SELECT 'surplus', x.* FROM ({kept} EXCEPT ALL {live}) x LIMIT 5"
        )
        if rows:
            found[name] = [tuple(row) for row in rows]
    return found


async def tags_since(connection: asyncpg.Connection) -> set[str]:
    """The outbox's tags, which it then forgets; each must have been written once."""
    rows = [row["tag"] for row in await connection.fetch("DELETE FROM tailrace.outbox RETURNING tag")]
    assert len(rows) == len(set(rows)), f"a tag was written twice: {sorted(rows)}"
    return set(rows)


def moment(day: int, hour: int = 12, minute: int = 0) -> datetime:
    """A time in March 2026, UTC."""
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC)
