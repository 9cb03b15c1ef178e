"""Plans: what PostgreSQL means to do with a statement, asked for by EXPLAIN and read. Touches: the connection.

**Source:** PostgreSQL documentation, EXPLAIN and 14.1.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ClauseElement, Executable

from tailrace.db.database import Database
from tailrace.db.errors import translated

__all__ = ["Executor", "Plan", "explain", "nodes"]

Executor = AsyncSession | AsyncConnection | Database
"""Where a statement that reads is run; by a database, without a transaction."""

Plan = Mapping[str, Any]
"""One node of a plan, as EXPLAIN writes it in JSON."""


class _Explain(Executable, ClauseElement):
    """``EXPLAIN`` before any statement, with its parameters."""

    inherit_cache = False

    def __init__(self, statement: Executable) -> None:
        self.statement = statement


@compiles(_Explain)
def _compile(element: _Explain, compiler: Any, **options: Any) -> str:
    return f"EXPLAIN (FORMAT JSON) {compiler.process(element.statement, **options)}"


async def explain(executor: Executor, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Plan:
    """The topmost node of the plan; the statement is planned and not run.

    Raises:
        DatabaseError: one of its kinds.

    Cost: 1 round trip.
    """
    with translated():
        found = (await executor.execute(_Explain(statement), parameters)).scalar_one()
    (plan,) = json.loads(found) if isinstance(found, str) else found
    return plan["Plan"]  # type: ignore[no-any-return]


def nodes(plan: Plan) -> Iterator[Plan]:
    """Every node of a plan, from the top."""
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)
