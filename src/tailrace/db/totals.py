"""Totals: how many rows there are in all, as exactly as it is worth. Touches: the database.

Counting reads every row, which on a large result costs more than the page. So a total says what it is: exact, the cap
at which counting stopped, or the planner's estimate; none costs nothing.

**Source:** PostgreSQL documentation, 14.1 (row estimates).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Executable, func, literal_column, select

from tailrace.db.errors import translated
from tailrace.db.keyset import Statement
from tailrace.db.plans import Executor, explain

__all__ = ["CAP", "NO_TOTAL", "Executor", "Total", "TotalMode", "count_statement", "fetch_total"]

CAP = 10_000
"""Rows at which counting stops, by default."""

TotalMode = Literal["none", "exact", "capped", "estimated"]


@dataclass(frozen=True, slots=True)
class Total:
    """How many rows there are.

    Attributes:
        rows: None when nobody counted.
        meaning: ``exact``; ``at_least``, counting stopped there; ``estimate``, the planner's; ``unknown``.
    """

    rows: int | None
    meaning: Literal["exact", "at_least", "estimate", "unknown"]


NO_TOTAL = Total(None, "unknown")


async def fetch_total(
    executor: Executor,
    statement: Statement,
    mode: TotalMode,
    *,
    cap: int = CAP,
    parameters: Mapping[str, Any] | None = None,
    counting: Executable | None = None,
) -> Total:
    """The total of the rows that ``statement`` gives; its own ORDER BY, LIMIT and OFFSET do not count.

    Args:
        mode: ``exact`` reads every row; ``capped`` at most one more than ``cap``; ``estimated`` as many, and what is
            more is the planner's estimate, made from statistics that ANALYZE keeps.
        cap: rows.
        parameters: the values of the parameters that ``statement`` has without a value of their own.
        counting: counts the same rows to one more than ``cap`` at most: ``count_statement`` that was made before, or a
            better way than reading the first of them; a statement that gives one number. Not used for ``exact``.

    Raises:
        DatabaseError: one of its kinds.

    Cost: 1 round trip; 2 for an estimate above the cap.
    """
    if mode == "none":
        return NO_TOTAL
    rows = statement.order_by(None).limit(None).offset(None)
    if mode == "exact":
        return Total(await _count(executor, _counting(rows), parameters), "exact")
    if counting is None:
        counting = _counting(rows.limit(cap + 1))
    counted = await _count(executor, counting, parameters)
    if counted <= cap:
        return Total(counted, "exact")
    if mode == "capped":
        return Total(cap, "at_least")
    planned = int((await explain(executor, rows, parameters))["Plan Rows"])
    return Total(max(planned, counted), "estimate")


def count_statement(statement: Statement, *, cap: int = CAP) -> Executable:
    """What ``fetch_total`` counts by up to a cap: to make it anew costs as much as to count thousands of rows.

    The cap stands in it as a number, so that PostgreSQL may plan it once.
    """
    return _counting(statement.order_by(None).limit(None).offset(None).limit(literal_column(str(cap + 1))))


def _counting(rows: Statement) -> Executable:
    return select(func.count()).select_from(rows.subquery())


async def _count(executor: Executor, counting: Executable, parameters: Mapping[str, Any] | None) -> int:
    with translated():
        counted = await executor.execute(counting, parameters)
        return int(counted.scalar_one())
