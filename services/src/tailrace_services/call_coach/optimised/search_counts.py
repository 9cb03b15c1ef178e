"""The statements that count calls up to a cap, in bounded work. Pure.

To count to a thousand, a thousand of the calls that fit are read, if they are found without the others. Where a tenth
of the newest calls or more fit, those are walked. Fewer are looked up, and no further than the cap, which leaves the
reading of indexes: a planner that is asked for a thousand rows hopes that they lie close together, and reads a million
where they do not, so what is looked up is a materialized ``WITH``. That is planned as if all of it were wanted, and
read as far as it is.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sqlalchemy import CTE, Executable, and_, case, select

from tailrace.core.cursor import Position
from tailrace.db.keyset import page_statement
from tailrace_services.call_coach.optimised.call_search import CALL_SEARCH
from tailrace_services.call_coach.optimised.search_look_ups import beside_words, number
from tailrace_services.call_coach.optimised.search_statements import (
    KINDS,
    PROBES,
    found_enough,
    how_many,
    served_by,
    window_of,
)
from tailrace_services.call_coach.tools import search_pages as pages
from tailrace_services.call_coach.tools.search_calls import Sort

__all__ = ["capped_count", "count_bounds"]

NEWEST: Sort = "-scheduled_at"
ONE_IN = 10
"""Calls are walked where one of so many fits: to look up more reads more of the index than walking reads rows."""
PLENTY = 2
"""So far the window reaches, as of ``search_window``: the probe has seen many calls."""


def count_bounds(cap: int) -> dict[str, int]:
    """The values of ``capped_count``'s own parameters, for counting to one more than ``cap``."""
    needed = cap + 1
    steps = needed * ONE_IN
    return {"needed": needed, "steps": steps, "probe": steps // PROBES, "promising": max(1, needed // PROBES)}


@lru_cache(maxsize=KINDS)
def capped_count(given: frozenset[str]) -> Executable:
    """Counts the calls that fit, to ``:needed`` at most.

    Args:
        given: as of ``Kind``.
    """
    conditions = pages.conditions(given, CALL_SEARCH)
    needed = number("needed")
    fitting = select(CALL_SEARCH.c.call_id).where(*conditions.values(), *beside_words(given))
    found = fitting.cte("looked").prefix_with("MATERIALIZED")
    looked_up = how_many(select(found.c.call_id).limit(needed).cte("counted"))
    served = served_by(conditions, NEWEST)
    tested = [condition for column, condition in conditions.items() if column not in served]
    if not tested:
        return select(looked_up)
    within = [condition for column, condition in conditions.items() if column in served]
    seen = select(CALL_SEARCH.c.scheduled_at, and_(*tested).label("fits")).where(*within)
    walk: Any = page_statement(seen, pages.order(CALL_SEARCH, NEWEST), Position(), number("steps"))
    steps: CTE = walk.cte("steps").prefix_with("MATERIALIZED")
    walked = select(steps.c.fits).where(steps.c.fits).limit(needed).cte("walked")
    ways: list[tuple[Any, Any]] = [(found_enough(steps, walked), how_many(walked))]
    window = window_of(conditions, NEWEST, steps, plenty=PLENTY)
    if window is not None:
        of_weeks = fitting.where(window).cte("of_weeks").prefix_with("MATERIALIZED")
        newest = how_many(select(of_weeks.c.call_id).limit(needed).cte("newest"))
        ways.append((newest >= needed, needed))
    return select(case(*ways, else_=looked_up))
