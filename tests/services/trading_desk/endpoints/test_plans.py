"""Few indexes serve every way to ask for items and signals: each is what the planner takes, on tables of some size."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from sqlalchemy import bindparam
from sqlalchemy.ext.asyncio import create_async_engine

from tailrace.core.cursor import Cursors
from tailrace.db import Pages
from tailrace.db.plans import explain, nodes
from tailrace.embedded import PostgresServer
from tailrace.schema import apply
from tailrace_services.data.connection import driver_url
from tailrace_services.trading_desk.api.filters import AUDIT as AUDIT_PAGES
from tailrace_services.trading_desk.api.filters import ITEMS, ItemFilter
from tailrace_services.trading_desk.api.signals import DAYS, DayFilter, SignalFilter
from tailrace_services.trading_desk.api.signals import SIGNALS as SIGNAL_PAGES
from tailrace_services.trading_desk.generator import Scale, generate
from tailrace_services.trading_desk.migrations import migrate
from tailrace_services.trading_desk.model import AuditEntry
from tailrace_services.trading_desk.optimised import objects
from tailrace_services.trading_desk.optimised.days import DayQuery
from tailrace_services.trading_desk.optimised.desk import AUDIT
from tailrace_services.trading_desk.optimised.items import ItemQuery
from tailrace_services.trading_desk.optimised.objects import INDEXES
from tailrace_services.trading_desk.optimised.signals import SignalQuery
from tailrace_services.trading_desk.signal_series import SIGNALS

ANCHOR = datetime(2026, 3, 31, 12, tzinfo=UTC)
CURSORS = Cursors([b"a secret of this test's own"])
ACTIVE, URGENT = ("open", "in_progress"), (3, 4)
MARCH = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)

# what is asked for: the filter, the order, and the index
QUERIES: dict[str, tuple[ItemFilter, str, str]] = {
    "all, the newest first": (ItemFilter(), "-created_at", "items_created"),
    "all, the oldest first": (ItemFilter(), "created_at", "items_created"),
    "recent": (ItemFilter(since=MARCH), "-created_at", "items_created"),
    "of a time": (ItemFilter(since=MARCH, before=ANCHOR), "created_at", "items_created"),
    "the last changed first": (ItemFilter(), "-updated_at", "items_updated"),
    "a category": (ItemFilter(category="research"), "-created_at", "items_category_status_created"),
    "a category with a status": (
        ItemFilter(category="research", statuses=("in_review",)),
        "-created_at",
        "items_category_status_created",
    ),
    "a category's active": (
        ItemFilter(category="risk", statuses=ACTIVE),
        "created_at",
        "items_category_status_created",
    ),
    "a status": (ItemFilter(statuses=("in_review",)), "-created_at", "items_status_priority_created"),
    "active": (ItemFilter(statuses=ACTIVE), "-created_at", "items_status_priority_created"),
    "a priority": (ItemFilter(priorities=(4,)), "-created_at", "items_status_priority_created"),
    "a priority with a status": (
        ItemFilter(statuses=("open",), priorities=(4,)),
        "-created_at",
        "items_status_priority_created",
    ),
    "urgent and active": (
        ItemFilter(statuses=ACTIVE, priorities=URGENT),
        "-created_at",
        "items_status_priority_created",
    ),
    "the most urgent first": (ItemFilter(), "-priority", "items_status_priority_created"),
    "the most urgent active first": (ItemFilter(statuses=ACTIVE), "-priority", "items_status_priority_created"),
    "one of some tags": (ItemFilter(tags_any=("rare", "scarce")), "-created_at", "items_contents"),
    "all of some tags": (ItemFilter(tags_all=("rare", "scarce")), "-created_at", "items_contents"),
    "metadata": (ItemFilter(details='{"asset": "COCOA", "hours": 13}'), "-created_at", "items_contents"),
    "words": (ItemFilter(q="custodian cocoa"), "-created_at", "items_contents"),
    "words and tags": (ItemFilter(q="custodian", tags_any=("rare",)), "-created_at", "items_contents"),
}
RANGES = [name for name, (_, _, index) in QUERIES.items() if index != "items_contents"]


@pytest.fixture(scope="module")
def sizable_desk(postgres: PostgresServer) -> Iterator[str]:
    """A database in which reading a table as a whole is never the quickest way."""
    postgres.create_database("desk_plans")
    url = postgres.url("desk_plans")

    async def load() -> None:
        await migrate(url)
        await generate(url, Scale("plans", 30_000, 20, 30_000), 1, ANCHOR)
        await apply(url, objects())
        connection = await asyncpg.connect(url)
        await connection.execute("UPDATE items SET tags = tags || ARRAY['rare', 'scarce'] WHERE id % 3000 = 0")
        await connection.execute("VACUUM ANALYZE items, audit_log, signals, signals_daily")
        await connection.close()

    asyncio.run(load())
    yield url
    postgres.drop_database("desk_plans")


def asked_of(pages: Pages, sort: str, cursor: str | None = None) -> Any:
    """The request for a page."""
    return pages.request(sort=sort, cursor=cursor, filters={}, identity=None, cursors=CURSORS)


async def plan_of(url: str, statement: Any, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    """The nodes of a statement's plan."""
    engine = create_async_engine(driver_url(url, "+asyncpg"))
    try:
        async with engine.connect() as connection:
            return list(nodes(await explain(connection, statement, parameters)))
    finally:
        await engine.dispose()


async def second_page(url: str, wanted: ItemFilter, sort: str) -> str | None:
    """The cursor of the page behind the first."""
    engine = create_async_engine(driver_url(url, "+asyncpg"))
    try:
        async with engine.connect() as connection:
            asked = asked_of(ITEMS, sort)
            query = ItemQuery.of(wanted, asked)
            page = await asked.fetch(connection, query.rows, prepared=query.page, parameters=query.parameters)
            return page.next_cursor
    finally:
        await engine.dispose()


@pytest.mark.parametrize("name", QUERIES)
async def test_the_planner_takes_it(sizable_desk: str, name: str) -> None:
    """A first page is read by the index that is meant for it, with nothing of the planner's switched off."""
    wanted, sort, index = QUERIES[name]
    asked = asked_of(ITEMS, sort)
    query = ItemQuery.of(wanted, asked)
    plan = await plan_of(sizable_desk, query.page, {**asked.parameters, **query.parameters})
    assert {node["Index Name"] for node in plan if "Index Name" in node} == {index}
    assert not [node for node in plan if node["Node Type"] == "Seq Scan"]


@pytest.mark.parametrize("name", RANGES)
async def test_any_page_is_a_few_ranges(sizable_desk: str, name: str) -> None:
    """Behind the first page too, nothing is sorted, and what is not asked for is not read and left out."""
    wanted, sort, index = QUERIES[name]
    asked = asked_of(ITEMS, sort, await second_page(sizable_desk, wanted, sort))
    query = ItemQuery.of(wanted, asked)
    plan = await plan_of(sizable_desk, query.page, {**asked.parameters, **query.parameters})
    kinds = {node["Node Type"] for node in plan}
    assert kinds <= {"Limit", "Merge Append", "Index Scan", "Subquery Scan"}, kinds
    assert {node["Index Name"] for node in plan if "Index Name" in node} == {index}
    assert not [node["Filter"] for node in plan if "Filter" in node]


async def test_the_log_of_an_item(sizable_desk: str) -> None:
    """It is read by an index."""
    asked = asked_of(AUDIT_PAGES, "-id")
    statement = asked.statement(AUDIT.where(AuditEntry.item_id == bindparam("item_id")))
    plan = await plan_of(sizable_desk, statement, {**asked.parameters, "item_id": 4711})
    assert "audit_log_item" in {node.get("Index Name") for node in plan}


# the index is that of a day's partition, without the partition's name
SIGNAL_QUERIES: dict[str, tuple[SignalFilter, str, str]] = {
    "all signals, the newest first": (SignalFilter(), "-time", "time_id_idx"),
    "all signals, the oldest first": (SignalFilter(), "time", "time_id_idx"),
    "a channel's signals": (SignalFilter(channel="oanda"), "-time", "time_id_idx"),
    "signals of a time": (SignalFilter(since=ANCHOR - 3 * DAY, before=ANCHOR - DAY), "time", "time_id_idx"),
    "an asset's signals": (SignalFilter(asset="COCOA"), "-time", "asset_time_id_idx"),
    "an asset's signals of a type": (SignalFilter(asset="COCOA", signal_type="buy"), "time", "asset_time_id_idx"),
}


@pytest.mark.parametrize("name", SIGNAL_QUERIES)
async def test_signals_are_read_in_order(sizable_desk: str, name: str) -> None:
    """A page ends with the day that completes it: nothing is sorted, and days that are not asked for are left out."""
    wanted, sort, index = SIGNAL_QUERIES[name]
    asked = asked_of(SIGNAL_PAGES, sort)
    query = SignalQuery.of(wanted, asked, ANCHOR)
    plan = await plan_of(sizable_desk, query.pages[-1], {**asked.parameters, **query.parameters})
    assert {node["Node Type"] for node in plan} <= {"Limit", "Append", "Index Scan"}
    days = [node["Relation Name"] for node in plan if "Relation Name" in node]
    assert {node["Index Name"] for node in plan if "Index Name" in node} == {f"{day}_{index}" for day in days}
    if wanted.since is not None:
        assert sorted(days) == ["signals_20260328", "signals_20260329", "signals_20260330"]


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (DayFilter("XAUUSD"), "signals_daily_asset_day"),
        (DayFilter("XAUUSD", since=MARCH.date()), "signals_daily_asset_day"),
        (DayFilter("XAUUSD", channel="oanda"), "signals_daily_pkey"),
    ],
)
async def test_days_are_read_from_what_is_kept(sizable_desk: str, wanted: DayFilter, index: str) -> None:
    """By an index, an asset's in order; no signal is read."""
    asked = asked_of(DAYS, "-day")
    query = DayQuery.of(wanted, asked)
    plan = await plan_of(sizable_desk, query.page, {**asked.parameters, **query.parameters})
    assert {node["Index Name"] for node in plan if "Index Name" in node} == {index}
    assert {node["Relation Name"] for node in plan if "Relation Name" in node} == {"signals_daily"}


def test_every_declared_index_is_asked_for() -> None:
    """No index is kept that no query here needs."""
    kept = {index.name for index in INDEXES}
    assert kept == {*[index for _, _, index in QUERIES.values()], "audit_log_item", "signals_daily_asset_day"}
    columns = {f"{'_'.join(columns)}_idx" for columns in SIGNALS.indexes or ()}
    assert columns == {index for _, _, index in SIGNAL_QUERIES.values()}
