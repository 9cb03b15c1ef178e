"""``search_calls`` from one row a call, in bounded work however many fit. Touches: the database."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Row, text

from tailrace.core.cursor import Cursors
from tailrace.db import Database, Page, PageRequest
from tailrace.db.totals import NO_TOTAL, Total, fetch_total
from tailrace_services.call_coach.optimised.call_counts import exact_count, whole_days
from tailrace_services.call_coach.optimised.search_counts import capped_count, count_bounds
from tailrace_services.call_coach.optimised.search_look_ups import may_be_late
from tailrace_services.call_coach.optimised.search_statements import Kind, bounds, kind_of
from tailrace_services.call_coach.optimised.search_window import weeks_between
from tailrace_services.call_coach.tools import search_pages as pages
from tailrace_services.call_coach.tools.search_calls import (
    FoundCall,
    FoundCalls,
    Moment,
    Representative,
    SearchCalls,
    Words,
    highlighted,
    words_of,
)

__all__ = ["search_calls"]

MOST_READ = 1_000
"""Texts of which it is remembered how PostgreSQL reads them: at most some 10 kB each."""
_READ: dict[tuple[str | None, tuple[str, ...]], Words] = {}
"""Text and topics -> how PostgreSQL reads them. That depends on nothing else: its functions for it are immutable."""

_REPS = """
  (SELECT json_agg(json_build_array(email, name) ORDER BY email)
   FROM (SELECT email, min(name) AS name FROM speakers
         WHERE call_id = r.call_id AND company_side = 'rep' AND email IS NOT NULL GROUP BY email) s)::text AS reps"""
DESCRIBED = text(f"SELECT r.call_id, {_REPS} FROM unnest(CAST(:call_ids AS bigint[])) AS r (call_id)")  # noqa: S608
DESCRIBED_WITH_MOMENTS = text(f"""
SELECT r.call_id, {_REPS}, {pages.RELEVANCE.format(document="r.document")} AS relevance,
  (SELECT json_agg(json_build_array(m.sequence_number, m.start_ms, m.end_ms, s.name, m.headline) ORDER BY m.place)
   FROM ({pages.MOMENTS_OF.format(call="r.call_id")}) m JOIN speakers s ON s.id = m.speaker_id)::text AS moments
FROM call_search r WHERE r.call_id = ANY (CAST(:call_ids AS bigint[]))
""")  # noqa: S608 - constants
"""What is shown of a page's calls beyond their rows."""


async def search_calls(database: Database, cursors: Cursors, question: SearchCalls) -> FoundCalls:
    """The page. Each statement stands for itself, so that one that meets a broken connection is repeated alone.

    Raises:
        RequestError: there is no such page (400), or nothing to look for (422).
        DatabaseError: one of its kinds.

    Cost: 2 round trips, 3 with words that are new; one or two more for a total, none if the page was looked up.
    """
    words = await _words(database, question)
    given = pages.parameters(question, words)
    if words is not None or question.reps:
        given |= weeks_between(given)
    if words is not None and words.unordered is not None and may_be_late(given, question.sort, question.total):
        given["unordered"] = words.unordered
    kind = kind_of(frozenset(given), question.sort)
    request = pages.page(question, kind.pages, cursors)
    found: Page[Row[Any]] = await replace(request, total="none").fetch(
        database, kind.fitting, prepared=kind.statement(request), parameters={**given, **bounds(request)}
    )
    total = await _total(database, kind, request, given, found)
    return FoundCalls(
        await _described(database, found.items, words),
        total.rows,
        total.meaning,
        found.has_next,
        found.has_previous,
        found.next_cursor,
        found.previous_cursor,
    )


async def _total(
    database: Database, kind: Kind, request: PageRequest, given: Mapping[str, Any], found: Page[Row[Any]]
) -> Total:
    """How many calls fit. The page often knows: if it was looked up, or if the last call is on it."""
    if request.total == "none":
        return NO_TOTAL
    skipped = None if request.position.values or request.position.backward else request.offset or 0
    fitting = found.items[0].fitting if found.items else None
    if fitting is None and skipped is not None and not found.has_next and (found.items or not skipped):
        fitting = skipped + len(found.items)
    if fitting is None and request.total == "exact" and (days := whole_days(given)) is not None:
        fitting = int((await database.execute(exact_count(frozenset(given)), {**given, **days})).scalar_one())
    if fitting is None:
        ranked = request.sort == "relevance"
        values = given if ranked or request.total == "exact" else {**given, **count_bounds(request.cap)}
        counting = None if ranked else capped_count(kind.given)
        return await fetch_total(
            database, kind.fitting, request.total, cap=request.cap, parameters=values, counting=counting
        )
    if request.total == "capped" and fitting > request.cap:
        return Total(request.cap, "at_least")
    return Total(fitting, "exact")


async def _words(database: Database, question: SearchCalls) -> Words | None:
    if question.text is None and not question.topics:
        return None
    asked = question.text, question.topics
    if (words := _READ.get(asked)) is None:
        parts = await database.fetch(pages.PARSE, {"text": question.text, "topics": list(question.topics)})
        words = words_of((row.query, row.indexable, row.lexemes) for row in parts)
        if len(_READ) >= MOST_READ:
            del _READ[next(iter(_READ))]
        _READ[asked] = words
    return words


async def _described(database: Database, rows: Sequence[Row[Any]], words: Words | None) -> tuple[FoundCall, ...]:
    """The calls of the page with what is shown of them; one that was deleted in between is left out."""
    if not rows:
        return ()
    asked: dict[str, Any] = {"call_ids": [row.call_id for row in rows]}
    if words is None:
        described = await database.fetch(DESCRIBED, asked)
    else:
        described = await database.fetch(DESCRIBED_WITH_MOMENTS, {**asked, "every": words.every, "any": words.any})
    more = {each.call_id: each for each in described}
    return tuple(_found(row, more[row.call_id], words) for row in rows if row.call_id in more)


def _found(row: Row[Any], more: Row[Any], words: Words | None) -> FoundCall:
    moments = json.loads(more.moments or "[]") if words is not None else []
    return FoundCall(
        call_id=row.call_id,
        title=row.title,
        product=row.product,
        call_type=row.call_type,
        scheduled_at=row.scheduled_at,
        duration_seconds=row.duration_seconds,
        score=row.score,
        reps=tuple(Representative(*each) for each in json.loads(more.reps or "[]")),
        relevance=more.relevance if words is not None else None,
        moments=tuple(
            Moment(number, start_ms, end_ms, speaker, highlighted(headline))
            for number, start_ms, end_ms, speaker, headline in moments
        ),
    )
