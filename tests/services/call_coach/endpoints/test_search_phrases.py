"""Calls that say a phrase are the right ones in every order, however they are found, and few transcripts are read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from sqlalchemy import literal, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import TSQUERY
from tests.services.call_coach.endpoints.conftest import ANCHOR

from tailrace.core.cursor import Cursors
from tailrace.db import Database
from tailrace.db.plans import nodes
from tailrace_services.call_coach.optimised import search_statements
from tailrace_services.call_coach.optimised.call_search import CALL_SEARCH
from tailrace_services.call_coach.optimised.search_calls import search_calls
from tailrace_services.call_coach.optimised.search_statements import bounds, kind_of
from tailrace_services.call_coach.tools import search_pages as pages
from tailrace_services.call_coach.tools.search_calls import SORTS, SearchCalls, Sort, words_of

SAID = '"zeppelin ledger"'
QUERY = "'zeppelin' <-> 'ledger'"
YEAR: dict[str, Any] = {"scheduled_from": ANCHOR - timedelta(days=400), "scheduled_until": ANCHOR + timedelta(days=30)}
"""All there is, told by its weeks, so that the index has something to narrow down by."""
CURSORS = Cursors([b"sixteen bytes or more"])


@pytest.fixture
async def database(new_database: Callable[[str], str]) -> AsyncIterator[Database]:
    """A small year, of whose calls half say two words one after the other, and a quarter the other way round."""
    url = new_database("optimised")
    connection = await asyncpg.connect(url)
    said = "CASE WHEN call_id % 4 = 0 THEN 'a ledger and a zeppelin' ELSE 'the zeppelin ledger' END"
    await connection.execute(f"UPDATE transcripts SET text = {said} WHERE sequence_number = 2 AND call_id % 4 < 3")
    await connection.close()
    database = Database(url)
    yield database
    await database.aclose()


async def _right(database: Database, sort: Sort) -> list[int]:
    """Every call that says it, as a plain scan finds and a plain sort orders them."""
    order = [term.ordered() for term in pages.order(CALL_SEARCH, sort).terms]
    says = CALL_SEARCH.c.document.bool_op("@@")(literal(QUERY).cast(TSQUERY))
    async with database.session() as session:
        for way in ("indexscan", "bitmapscan", "indexonlyscan"):
            await session.execute(text(f"SET LOCAL enable_{way} = off"))
        return [*await session.scalars(select(CALL_SEARCH.c.call_id).where(says).order_by(*order))]


@pytest.mark.parametrize("sort", [sort for sort in SORTS if sort != "relevance"])
async def test_all_pages_are_right_forward_and_backward(
    database: Database, sort: Sort, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looked up page by page, there and back again, are all the calls that say the words in their order, and no other,
    those without a score or a product where they belong."""
    monkeypatch.setattr(search_statements, "STEPS", 10)
    monkeypatch.setattr(search_statements, "STEPS_PER_ROW", 0)
    right = await _right(database, sort)
    assert len(right) > 60
    question, forward, last = SearchCalls(text=SAID, sort=sort, limit=7, **YEAR), list[int](), None
    while True:
        page = await search_calls(database, CURSORS, replace(question, cursor=last))
        forward += [call.call_id for call in page.items]
        if page.next_cursor is None:
            break
        last = page.next_cursor
    assert forward == right
    backward: list[int] = []
    while page.previous_cursor is not None:
        page = await search_calls(database, CURSORS, replace(question, cursor=page.previous_cursor))
        backward = [call.call_id for call in page.items] + backward
    assert backward == right[: len(backward)]
    assert len(backward) >= len(right) - 7
    skipping = await search_calls(database, CURSORS, replace(question, offset=20))
    assert [call.call_id for call in skipping.items] == right[20:27]


@pytest.mark.parametrize(
    "written",
    [
        "UPDATE calls SET duration_seconds = 'NaN' WHERE id % 8 = 0; UPDATE call_search SET score = 'NaN' "
        "WHERE call_id % 8 = 1; ANALYZE call_search",
        "SELECT pg_clear_attribute_stats('public', 'call_search', name, false) "
        "FROM unnest(ARRAY['score', 'duration_seconds']) AS name",
        "UPDATE calls SET duration_seconds = 0; UPDATE call_search SET score = NULL; ANALYZE call_search",
    ],
)
async def test_whatever_is_known_of_scores_and_durations_pages_are_right(
    database: Database, written: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a page is looked up first is guessed from statistics: what is no number, all alike or unknown misleads
    nobody."""
    monkeypatch.setattr(search_statements, "STEPS", 10)
    monkeypatch.setattr(search_statements, "STEPS_PER_ROW", 0)
    async with database.session() as session:
        for statement in written.split("; "):
            await session.execute(text(statement))
        await session.commit()
    for sort in ("score", "-score", "duration", "-duration"):
        found = await search_calls(database, CURSORS, SearchCalls(text=SAID, sort=sort, limit=50))
        assert [call.call_id for call in found.items] == (await _right(database, sort))[:50]


async def test_only_the_page_is_tested_for_the_order_of_its_words(database: Database) -> None:
    """Those that have the words are put in order first, and then read until the page is full: not all of them."""
    words = words_of([(QUERY, QUERY, ["zeppelin", "ledger"])])
    question = SearchCalls(text=SAID, sort="title", limit=5)
    given = {**pages.parameters(question, words), "unordered": words.unordered}
    kind = kind_of(frozenset(given), "title")
    request = pages.page(question, kind.pages, CURSORS)
    values: dict[str, Any] = {**given, **bounds(request), "steps": 10, "probe": 1, "promising": 2}
    statement: Any = kind.statement(request)
    sql = statement.params({name: value for name, value in values.items() if name in statement.compile().params})
    written = sql.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})
    async with database.session() as session:
        await session.execute(text("SET LOCAL enable_seqscan = off"))
        asked = f"EXPLAIN (ANALYZE, FORMAT JSON) {str(written).replace(':', chr(92) + ':')}"
        (plan,) = await session.scalar(text(asked))
    (read,) = [node for node in nodes(plan["Plan"]) if node["Node Type"] == "Tid Scan"]
    (looked_up,) = [node for node in nodes(plan["Plan"]) if node.get("Index Name") == "call_search_words"]
    assert looked_up["Actual Rows"] > 100
    assert 6 <= read["Actual Loops"] < 40
