"""The rows that searches read are what the tables say, whoever writes, together or not; and indexes serve them."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from sqlalchemy import select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession
from tests.services.call_coach.endpoints.conftest import ANCHOR

from tailrace.core.cursor import Cursors
from tailrace.db import Database, check_order
from tailrace.db.order_check import judge_order
from tailrace.db.plans import explain, nodes
from tailrace_services.call_coach.optimised.call_counts import exact_count, whole_days
from tailrace_services.call_coach.optimised.call_search import CALL_SEARCH
from tailrace_services.call_coach.optimised.opportunity import CONTACTED
from tailrace_services.call_coach.optimised.rep_insights import REMARKS
from tailrace_services.call_coach.optimised.search_calls import DESCRIBED_WITH_MOMENTS, search_calls
from tailrace_services.call_coach.optimised.search_counts import capped_count
from tailrace_services.call_coach.optimised.search_statements import bounds, kind_of
from tailrace_services.call_coach.optimised.search_window import weeks_between
from tailrace_services.call_coach.tools import search_pages as pages
from tailrace_services.call_coach.tools.search_calls import SORTS, SearchCalls, Sort, TotalAsked, Words
from tailrace_services.call_coach.tools.search_mix import mixed_searches

WRONG = """
SELECT array_agg(coalesce(r.call_id, c.id)) FROM calls c FULL JOIN call_search r ON r.call_id = c.id
WHERE (c.title, c.product, c.call_type, c.scheduled_at, c.duration_seconds)
      IS DISTINCT FROM (r.title, r.product, r.call_type, r.scheduled_at, r.duration_seconds)
   OR r.score IS DISTINCT FROM (SELECT round(avg(score), 2) FROM coaching_sessions s WHERE s.call_id = c.id)
   OR r.document IS DISTINCT FROM (SELECT tsvector_agg(search ORDER BY sequence_number, id)
                                   FROM transcripts t WHERE t.call_id = c.id)
   OR r.reps IS DISTINCT FROM ARRAY(SELECT DISTINCT email FROM speakers s WHERE s.call_id = c.id
                                    AND company_side = 'rep' AND email IS NOT NULL ORDER BY 1)
"""
WRITES = (
    "INSERT INTO coaching_sessions (call_id, rep_id, dimension, score, rubric_version) "
    "SELECT id, 1, 'discovery', {small}, 'x' FROM calls WHERE id IN ({calls})",
    "UPDATE coaching_sessions SET score = {small} WHERE call_id IN ({calls})",
    "UPDATE coaching_sessions SET call_id = (SELECT min(id) FROM calls) WHERE call_id IN ({calls}) AND score < 50",
    "DELETE FROM coaching_sessions WHERE call_id IN ({calls}) AND score > 50",
    "UPDATE transcripts SET text = 'discount {small}' WHERE call_id IN ({calls}) AND sequence_number < 4",
    "DELETE FROM transcripts WHERE call_id IN ({calls}) AND sequence_number = 5",
    "UPDATE speakers SET email = 'r{small}@x' WHERE call_id IN ({calls}) AND company_side = 'rep'",
    "UPDATE calls SET title = 'T{small}', product = NULL WHERE id IN ({calls})",
    "DELETE FROM calls WHERE id IN ({calls}) AND id % 5 = 0",
    "INSERT INTO calls (title, scheduled_at, duration_seconds) VALUES ('new', '2026-03-01Z', {small})",
)
"""Each to be given some calls and a small number."""


@pytest.fixture
async def url(new_database: Callable[[str], str]) -> str:
    """A database with a small year and everything declared."""
    return new_database("optimised")


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    """The same as the service has it."""
    database = Database(url)
    yield database
    await database.aclose()


@pytest.mark.parametrize("isolation", ["read_committed", "repeatable_read"])
async def test_rows_stay_exact_while_many_write(url: str, isolation: Any) -> None:
    """Writers of the same calls, several statements a transaction, leave each row as the tables say; some give way."""

    async def write(seed: int) -> tuple[int, int]:
        chance = random.Random(seed)
        done = given_up = 0
        writer = await asyncpg.connect(url)
        for _ in range(12):
            try:
                async with writer.transaction(isolation=isolation):
                    for statement in chance.sample(WRITES, chance.choice((1, 1, 2))):
                        calls = ", ".join(str(chance.randint(1, 12)) for _ in range(3))
                        await writer.execute(statement.format(calls=calls, small=chance.randint(1, 99)))
                done += 1
            except (asyncpg.SerializationError, asyncpg.DeadlockDetectedError):
                given_up += 1
        await writer.close()
        return done, given_up

    counts = await asyncio.gather(*(write(seed) for seed in range(4)))
    connection = await asyncpg.connect(url)
    assert await connection.fetchval(WRONG) is None
    await connection.close()
    assert sum(done for done, _ in counts) > 12


async def test_the_second_of_two_writers_sees_what_the_first_wrote(url: str) -> None:
    """One writes a turn and does not commit; another writes another turn of the call; both words are found."""
    first, second = [await asyncpg.connect(url) for _ in range(2)]
    change = "UPDATE transcripts SET text = $1 WHERE call_id = 3 AND sequence_number = $2"
    transaction = first.transaction()
    await transaction.start()
    await first.execute(change, "zeppelin", 1)
    waiting = asyncio.ensure_future(second.execute(change, "balloon", 2))
    await asyncio.sleep(0)
    await transaction.commit()
    await waiting
    found = "SELECT call_id FROM call_search WHERE document @@ to_tsquery('english', 'zeppelin & balloon')"
    assert await first.fetchval(found) == 3
    assert await first.fetchval(WRONG) is None
    for connection in (first, second):
        await connection.close()


async def test_every_order_is_served_by_an_index(database: Database) -> None:
    """Every page of every order is a range of an index that ends when the page is full, however many rows there are."""
    async with database.session() as session:
        for sort in SORTS:
            if sort != "relevance":
                await check_order(session, select(CALL_SEARCH), pages.order(CALL_SEARCH, sort))
        newest = pages.order(CALL_SEARCH, "-scheduled_at")
        for filtered, index in (
            (CALL_SEARCH.c.product == "Atlas Routing", "call_search_product"),
            (CALL_SEARCH.c.call_type == "demo", "call_search_type"),
        ):
            verdict = await judge_order(session, select(CALL_SEARCH).where(filtered), newest)
            assert verdict.served
            assert {name.removesuffix("_down") for name in verdict.indexes} == {index}


async def test_the_mix_is_answered(database: Database) -> None:
    """Every search of the mix that is measured is a valid one, page after page, and most find something."""
    cursors = Cursors([b"sixteen bytes or more"])
    reps = [f"rep{number:04d}@tailrace.example" for number in range(6)]
    found = 0
    mix = list(itertools.islice(mixed_searches(1, reps, ANCHOR), 120))
    assert mix == list(itertools.islice(mixed_searches(1, reps, ANCHOR), 120))
    for each in mix:
        page = await search_calls(database, cursors, each.question)
        found += bool(page.items)
    assert found > 40


def _page_of(question: SearchCalls, words: Words | None = None) -> Any:
    """The statement of the question's first page."""
    given = pages.parameters(question, words)
    fitting = select(CALL_SEARCH.c.call_id).where(*pages.conditions(given, CALL_SEARCH).values())
    request = pages.page(question, pages.pages_of(CALL_SEARCH, question.sort), Cursors([b"sixteen bytes or more"]))
    return request.statement(fitting).params(given)


NAMED = {
    "coaching_sessions_rep_created": REMARKS.bindparams(
        rep_id=1, start=ANCHOR - timedelta(days=90), end=ANCHOR, rubric_version="manager-1", product=None
    ),
    "call_opportunities_opportunity": CONTACTED.bindparams(opportunity_id=1),
    "emails_opportunity_sent": CONTACTED.bindparams(opportunity_id=1),
    "transcripts_call_sequence": DESCRIBED_WITH_MOMENTS.bindparams(call_ids=[1, 2], every="'price'", any="'price'"),
    "speakers_call": DESCRIBED_WITH_MOMENTS.bindparams(call_ids=[1, 2], every="'price'", any="'price'"),
    "call_search_words": _page_of(SearchCalls(text="waypoint"), Words("'waypoint'", "'waypoint'")),
}
"""Index -> what the service asks, in its own words, and is answered by it."""


@pytest.mark.parametrize("index", NAMED)
async def test_each_index_is_used_by_its_query(database: Database, index: str) -> None:
    """The plan of the service's own statement reads the index; few rows are not read without one here."""
    async with database.session() as session:
        await session.execute(text("SET LOCAL enable_seqscan = off"))
        plan = await explain(session, NAMED[index])
    assert index in {node.get("Index Name") for node in nodes(plan)}, plan


async def _reads(session: AsyncSession, question: SearchCalls, words: Words | None, **bounded: int) -> dict[str, int]:
    """What the question's first page reads, by name: the rows of steps, and how often the index of words is read."""
    given = pages.parameters(question, words)
    given |= weeks_between(given)
    kind = kind_of(frozenset(given), question.sort)
    request = pages.page(question, kind.pages, Cursors([b"sixteen bytes or more"]))
    return await _read_by(
        session, kind.statement(request), {**given, **bounds(request), **request.parameters, **bounded}
    )


async def _read_by(session: AsyncSession, statement: Any, values: dict[str, Any]) -> dict[str, int]:
    """What a statement reads with these values: the rows of steps and of what is looked up, and the index of words."""
    sql = statement.params({name: value for name, value in values.items() if name in statement.compile().params})
    written = sql.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})
    (plan,) = await session.scalar(text(f"EXPLAIN (ANALYZE, FORMAT JSON) {str(written).replace(':', chr(92) + ':')}"))
    found = dict.fromkeys(("steps", "words", "entries", "of_weeks", "looked"), 0)
    for node in nodes(plan["Plan"]):
        if node.get("Subplan Name") in ("CTE steps", "CTE of_weeks", "CTE looked"):
            found[node["Subplan Name"].removeprefix("CTE ")] = int(node["Actual Rows"])
        if node.get("Index Name") == "call_search_words":
            found["words"] += int(node["Actual Loops"])
            found["entries"] += int(node["Actual Loops"] * node["Actual Rows"])
    return found


@pytest.mark.parametrize("total", ["none", "exact"])
async def test_no_more_is_walked_than_promises_a_page(database: Database, total: TotalAsked) -> None:
    """What fits often is found by walking alone, until the page is full; what never fits is looked up after a probe,
    and what fits too seldom once all steps are made."""
    often, never = Words("'thank'", "'thank'"), Words("'xyzzy'", "'xyzzy'")
    bounded = {"steps": 150, "probe": 30, "promising": 1}
    asked = SearchCalls(text="...", limit=5, total=total)
    async with database.session() as session:
        await session.execute(text("SET LOCAL enable_seqscan = off"))
        walked = await _reads(session, asked, often, **bounded)
        assert walked["words"] == 0
        assert 6 <= walked["steps"] < 150
        # Once the weeks behind the probe, and then everything.
        given_up = await _reads(session, asked, never, **bounded)
        assert (given_up["steps"], given_up["words"]) == (30, 2)
        exhausted = await _reads(session, asked, never, **bounded | {"promising": 0})
        assert (exhausted["steps"], exhausted["words"]) == (150, 2)
        # All there is has been walked: there is nothing to look up.
        assert (await _reads(session, asked, never, **bounded | {"steps": 900, "probe": 300}))["words"] == 0


@pytest.mark.parametrize(
    "sort",
    ["-scheduled_at", "scheduled_at", "relevance", "product", "-product", "score", "-score", "duration", "-duration"],
)
async def test_calls_are_looked_up_where_the_page_is_first(database: Database, sort: Sort) -> None:
    """A page that is given up after a probe reads those of a few weeks from the index, of the first product, or of the
    first scores or durations, and nothing of all others."""
    words = Words("'thank'", "'thank'")
    bounded = {"needed": 8, "steps": 150, "probe": 5, "promising": 6}
    async with database.session() as session:
        await session.execute(text("SET LOCAL enable_seqscan = off"))
        (calls,) = await session.scalars(text("SELECT count(*) FROM call_search WHERE document @@ 'thank'"))
        found = await _reads(session, SearchCalls(text="...", limit=7, sort=sort), words, **bounded)
    assert (found["steps"], found["words"]) == (5, 1)
    assert 8 <= found["entries"] < calls / 2


async def test_a_time_is_met_in_the_index_of_words(database: Database) -> None:
    """In whatever order, what was said in a month is looked up in its weeks; a long time is not told the index."""
    words, begin = Words("'thank'", "'thank'"), ANCHOR - timedelta(days=60)
    bounded = {"steps": 150, "probe": 5, "promising": 6}
    found = []
    async with database.session() as session:
        for setting in ("enable_seqscan = off", "enable_indexscan = off"):
            await session.execute(text(f"SET LOCAL {setting}"))
        for index in ("date", "product", "product_down", "type"):  # so few calls would be found by their dates
            await session.execute(text(f"DROP INDEX call_search_{index}"))
        for end in (begin + timedelta(days=30), begin + timedelta(days=9000)):
            asked = SearchCalls(text="...", sort="title", scheduled_from=begin, scheduled_until=end)
            found.append(await _reads(session, asked, words, **bounded))
        (calls,) = await session.scalars(text("SELECT count(*) FROM call_search WHERE document @@ 'thank'"))
    assert [each["words"] for each in found] == [1, 1]
    assert 0 < found[0]["entries"] < calls / 4
    assert found[1]["entries"] == calls


async def test_a_capped_total_reads_no_further_than_its_cap(database: Database) -> None:
    """What fits often is counted while the newest are walked, without the index of words; what fits less often is
    looked up in some weeks and then in all, no more of it than the cap; where all is walked, that is the total."""

    async def reads(question: SearchCalls, words: Words | None, **bounded: int) -> dict[str, int]:
        given = pages.parameters(question, words)
        return await _read_by(session, capped_count(frozenset(given)), {**given, **bounded})

    often, never = Words("'thank'", "'thank'"), Words("'xyzzy'", "'xyzzy'")
    asked = SearchCalls(text="...")
    bounded = {"needed": 8, "steps": 80, "probe": 20, "promising": 2}
    async with database.session() as session:
        await session.execute(text("SET LOCAL enable_seqscan = off"))
        walked = await reads(asked, often, **bounded)
        assert 8 <= walked["steps"] < 80
        assert (walked["looked"], walked["words"], walked["of_weeks"]) == (0, 0, 0)
        seldom = await reads(asked, often, **bounded | {"probe": 6, "promising": 7})
        assert (seldom["steps"], seldom["words"], seldom["of_weeks"], seldom["looked"]) == (6, 1, 8, 0)
        nothing = {"words": 2, "entries": 0, "of_weeks": 0, "looked": 0}
        assert await reads(asked, never, **bounded) == {"steps": 20} | nothing
        everything = bounded | {"steps": 900, "probe": 300}
        assert await reads(asked, never, **everything) == {"steps": 200} | nothing | {"words": 0}
        assert (await reads(SearchCalls(call_type="demo"), None, **bounded))["looked"] == 8


async def test_exact_totals_of_products_types_and_times_read_no_calls(database: Database) -> None:
    """They are added up from days, but for calls of the days in which a time begins or ends."""
    month = {"scheduled_from": ANCHOR - timedelta(days=40), "scheduled_until": ANCHOR - timedelta(days=10)}
    for given, reads_calls in (({"product": "Atlas Routing", "call_type": "demo"}, False), (month, True)):
        values = {**given, **(whole_days(given) or {})}
        async with database.session() as session:
            plan = await explain(session, exact_count(frozenset(given)), values)
        found = {node["Relation Name"] for node in nodes(plan) if "Relation Name" in node}
        assert "calls_by_day" in found
        assert ("call_search" in found) == reads_calls
