"""Each declared index is what the planner takes for the query that it stands beside, on tables of some size."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect
from sqlalchemy.ext.asyncio import create_async_engine
from tests.conftest import Originals

from tailrace.core.cursor import Cursors
from tailrace.db import Pages, check_order
from tailrace.db.plans import explain, nodes
from tailrace.schema import Index, apply
from tailrace_services.data.connection import driver_url
from tailrace_services.research_hub.api import pages
from tailrace_services.research_hub.generator import Scale, generate
from tailrace_services.research_hub.migrations import migrate
from tailrace_services.research_hub.optimised import cards, collection, objects, people
from tailrace_services.research_hub.optimised.listing import Reading

ANCHOR = datetime(2026, 3, 31, 12, tzinfo=UTC)
CURSORS = Cursors([b"a secret of this test's own"])

# index: the reading, its pages and order, and what it is asked with
READINGS: dict[str, tuple[Reading, Pages, str, dict[str, Any]]] = {
    "cards_published": (cards.PUBLISHED, pages.CARDS, "-published_at", {}),
    "cards_user_created": (cards.OWN, pages.OWN_CARDS, "-created_at", {"user_id": 7}),
    "contents_scraped": (collection.CONTENTS[None, False], pages.CONTENTS, "-scraped_at", {}),
    "contents_platform_scraped": (
        collection.CONTENTS[None, True],
        pages.CONTENTS,
        "-scraped_at",
        {"platform": "podcast"},
    ),
    "contents_analyzed": (collection.CONTENTS["analyzed", False], pages.CONTENTS, "-scraped_at", {}),
    "contents_embedded": (collection.CONTENTS["embedded", False], pages.CONTENTS, "-scraped_at", {}),
    "authors_names": (collection.AUTHORS, pages.AUTHORS, "best", {"q": "nakamura"}),
    "patterns_confidence": (collection.PATTERNS[False], pages.PATTERNS, "-confidence_score", {}),
    "patterns_discovered": (collection.PATTERNS[False], pages.PATTERNS, "-discovered_at", {}),
    "attributions_card": (collection.ATTRIBUTIONS[True, False], pages.ATTRIBUTIONS, "-id", {"card_id": 4711}),
    "attributions_content": (collection.ATTRIBUTIONS[False, True], pages.ATTRIBUTIONS, "-id", {"content_id": 4711}),
    "users_lower_username": (people.USERS[True], pages.USERS, "-id", {"username": "Nobody"}),
    "research_sessions_status_created": (people.SESSIONS, pages.SESSIONS, "-created_at", {"status": "failed"}),
}


@pytest.fixture(scope="module")
def sizable_url(originals: Originals) -> str:
    """A database in which reading a table as a whole is never the quickest way; a tenth of its posts are embedded."""

    async def load(url: str) -> None:
        await migrate(url)
        await generate(url, Scale("plans", 40_000, 2_000, 20_000), 1, ANCHOR)
        connection = await asyncpg.connect(url)
        await connection.execute(
            "UPDATE contents SET embedding = array_fill(0.05::real, ARRAY[384])::halfvec WHERE id % 10 = 0"
        )
        await connection.execute(
            "INSERT INTO authors (platform, username, display_name) "
            "SELECT 'more', md5(n::text), 'Author ' || n FROM generate_series(1, 50000) AS n"
        )
        await connection.close()
        await apply(url, objects())
        connection = await asyncpg.connect(url)
        await connection.execute("VACUUM ANALYZE")
        await connection.close()

    return originals.url("hub_plans", load)


async def used(url: str, statement: Any, parameters: Mapping[str, Any]) -> set[str]:
    """Names of the indexes in the plan of a statement."""
    engine = create_async_engine(driver_url(url, "+asyncpg"))
    try:
        async with engine.connect() as connection:
            plan = await explain(connection, statement, parameters)
            return {node["Index Name"] for node in nodes(plan) if "Index Name" in node}
    finally:
        await engine.dispose()


@pytest.mark.parametrize("index", READINGS)
async def test_the_planner_takes_it(sizable_url: str, index: str) -> None:
    """A first page is read by the index that was declared for it, with nothing of the planner's switched off."""
    reading, asked, sort, parameters = READINGS[index]
    request = asked.request(sort=sort, filters={}, identity=None, cursors=CURSORS)
    statement = request.statement(reading.statement)
    assert index in await used(sizable_url, statement, {**request.parameters, **parameters})


@pytest.mark.parametrize("index", READINGS)
async def test_a_page_of_a_usual_size_is_planned_once(sizable_url: str, index: str) -> None:
    """By the index that was declared for it, whatever its parameters, and not again at each execution."""
    reading, asked, sort, parameters = READINGS[index]
    request = asked.request(sort=sort, filters={}, identity=None, cursors=CURSORS)
    compiled = request.statement(reading.statement, fixed=True).compile(dialect=asyncpg_dialect())
    values = [{**compiled.params, **parameters}[name] for name in compiled.positiontup]
    connection = await asyncpg.connect(sizable_url)
    try:
        await connection.execute(f"PREPARE page AS {compiled}")
        page = await connection.prepare(str(compiled))
        for _ in range(12):  # of which five are planned for their values, before PostgreSQL chooses
            await page.fetch(*values)
        plans = "SELECT generic_plans FROM pg_prepared_statements WHERE statement = $1"
        if index != "authors_names":  # how many names are like one, only that one tells: it may be planned each time
            assert await connection.fetchval(plans, str(compiled)) >= 7
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        given = f"({', '.join(['NULL'] * len(values))})" if values else ""
        (plan,) = json.loads(await connection.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE page{given}"))
        assert index in {node["Index Name"] for node in nodes(plan["Plan"]) if "Index Name" in node}
    finally:
        await connection.close()


async def test_an_address_is_looked_up(sizable_url: str) -> None:
    """Whoever has an address is found by one probe."""
    assert "users_lower_email" in await used(sizable_url, people.BY_EMAIL, {"email": "x@hub.example"})


@pytest.mark.parametrize("index", [index for index in READINGS if index not in ("authors_names", "attributions_card")])
async def test_any_page_is_a_range_of_an_index(sizable_url: str, index: str) -> None:
    """Whatever the depth, either way: no page sorts or skips, and no position is tested row by row."""
    reading, asked, sort, parameters = READINGS[index]
    engine = create_async_engine(driver_url(sizable_url, "+asyncpg"))
    try:
        async with engine.connect() as connection:
            order = asked.orders[sort]
            # Without what is shown of each row, which is read in orders of its own.
            rows = reading.statement.with_only_columns(order.terms[-1].expression, maintain_column_froms=True)
            await check_order(connection, rows.params(**parameters), order)
    finally:
        await engine.dispose()


def test_every_declared_index_is_asked_for() -> None:
    """No index is kept that no query here needs."""
    declared = {each.name for room in (cards, collection, people) for each in room.OBJECTS if isinstance(each, Index)}
    assert declared == {*READINGS, "users_lower_email"}
