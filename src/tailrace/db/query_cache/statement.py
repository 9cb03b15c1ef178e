"""What a statement refers to, read from its parse tree. Touches: pglast, which is PostgreSQL's own parser.

EXPLAIN would not do: it leaves out tables behind functions, joins that the planner removes and what stands under
``WHERE false``, and each of them can count again with other values or after other writes.

**Source:** PostgreSQL's grammar (``gram.y``), by libpg_query.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from types import ModuleType
from typing import Any

from tailrace.db.query_cache.refusal import NotCachedError
from tailrace.extras import require

__all__ = ["Name", "References", "parse_expression", "parse_statement"]

Name = tuple[str | None, str]
"""Schema, where one is given, and name."""

PLACE = re.compile(r"%\((\w+)\)s|%%")
"""How psycopg writes a parameter, and a per cent sign."""
MOMENTS = frozenset({"now", "today", "tomorrow", "yesterday"})
"""Text that becomes the present moment where it is taken for a date."""
PHYSICAL = frozenset({"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"})
"""Columns that change without any write to the row: by locks, by VACUUM FULL."""
PRESENT = ("CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIMESTAMP", "LOCALTIME", "LOCALTIMESTAMP")
WRITES = ("InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt", "IntoClause")
UNORDERED = frozenset({"array_agg", "string_agg", "json_agg", "jsonb_agg", "xmlagg", "row_number", "first_value"})


@dataclass(slots=True)
class References:
    """What one statement refers to, views not yet expanded.

    Attributes:
        relations: tables and views, names of its own WITH left out.
        functions: functions called by name.
        operators: operators, by symbol.
        columns: last parts of columns' names: ``t.f`` may be a call of ``f(t)``.
        determined: whether equal rows in the tables certainly give equal rows here; LIMIT, for one, may choose.
    """

    relations: set[Name] = field(default_factory=set)
    functions: set[Name] = field(default_factory=set)
    operators: set[str] = field(default_factory=set)
    columns: set[str] = field(default_factory=set)
    determined: bool = True


@cache
def _parser() -> ModuleType:
    return require("pglast", "query-cache")


def parse_statement(sql: str) -> References:
    """What one SELECT refers to. Cost: 1 ms for a long one.

    Raises:
        NotCachedError: it is no SELECT, or one whose result follows from more than the tables' contents.
        MissingExtraError: pglast is not installed.
    """
    pglast = _parser()
    text = PLACE.sub(lambda place: "%" if place.group(1) is None else "$1", sql) if "%" in sql else sql
    try:
        statements = pglast.parse_sql(text)
    except pglast.parser.ParseError as error:
        raise NotCachedError("syntax", f"the parser of PostgreSQL's grammar stops: {error}") from error
    if len(statements) != 1:
        raise NotCachedError("writes", "it is several statements")
    statement = statements[0].stmt
    if type(statement).__name__ != "SelectStmt":
        raise NotCachedError("writes", f"it is no SELECT but {type(statement).__name__}")
    walk = _Walk()
    walk.enter(statement, frozenset())
    return walk.found


def parse_expression(sql: str) -> References:
    """What an expression refers to; raises as ``parse_statement`` does."""
    return parse_statement(f"SELECT {sql}")


class _Walk:
    """One pass over a parse tree, with the names that each WITH puts into scope."""

    def __init__(self) -> None:
        self.found = References()

    def enter(self, node: Any, scope: frozenset[str]) -> None:
        """Take in ``node`` and everything below it; ``scope`` has the names of surrounding WITH lists."""
        if isinstance(node, tuple | list):
            for each in node:
                self.enter(each, scope)
            return
        kind = type(node).__name__
        visit = getattr(self, f"_{kind}", None)
        if kind in WRITES:
            raise NotCachedError("writes", "it writes")
        if visit is not None:
            scope = visit(node, scope) or scope
        for child in _children(node):
            if kind != "SelectStmt" or child is not node.withClause:  # whose names a SELECT has gone through itself
                self.enter(child, scope)

    def _SelectStmt(self, node: Any, scope: frozenset[str]) -> frozenset[str]:  # noqa: N802
        if node.lockingClause:
            raise NotCachedError("locks", "it locks rows")
        if node.limitCount is not None or node.limitOffset is not None or node.distinctClause not in (None, (None,)):
            self.found.determined = False
        with_clause = node.withClause
        if with_clause is None:
            return scope
        names = frozenset(cte.ctename for cte in with_clause.ctes)
        inner = scope | names if with_clause.recursive else scope
        for cte in with_clause.ctes:
            self.enter(cte, inner)
            inner |= {cte.ctename}
        return scope | names

    def _RangeVar(self, node: Any, scope: frozenset[str]) -> None:  # noqa: N802
        if node.schemaname is not None or node.relname not in scope:
            self.found.relations.add((node.schemaname, node.relname))

    def _RangeTableSample(self, _node: Any, _scope: frozenset[str]) -> None:  # noqa: N802
        raise NotCachedError("function", "TABLESAMPLE depends on where rows lie")

    def _FuncCall(self, node: Any, _scope: frozenset[str]) -> None:  # noqa: N802
        *schema, name = [part.sval for part in node.funcname]
        self.found.functions.add((schema[-1] if schema else None, name))
        if node.over is not None or (name in UNORDERED and not node.agg_order):
            self.found.determined = False

    def _SQLValueFunction(self, node: Any, _scope: frozenset[str]) -> None:  # noqa: N802
        name = node.op.name.removeprefix("SVFOP_")
        if name.startswith(PRESENT):
            raise NotCachedError("time", f"{name} changes with time alone")

    def _A_Const(self, node: Any, _scope: frozenset[str]) -> None:  # noqa: N802
        value = getattr(node.val, "sval", None)
        if isinstance(value, str) and value.strip().lower() in MOMENTS:
            raise NotCachedError("time", f"'{value}' may mean the present moment")

    def _ColumnRef(self, node: Any, _scope: frozenset[str]) -> None:  # noqa: N802
        name = getattr(node.fields[-1], "sval", None)
        if name in PHYSICAL:
            raise NotCachedError("function", f"{name} changes without a write")
        if name is not None:
            self.found.columns.add(name)

    def _A_Indirection(self, node: Any, _scope: frozenset[str]) -> None:  # noqa: N802
        self.found.columns.update(part.sval for part in node.indirection if hasattr(part, "sval"))

    def _A_Expr(self, node: Any, _scope: frozenset[str]) -> None:  # noqa: N802
        self._operator(node.name)

    def _SubLink(self, node: Any, _scope: frozenset[str]) -> None:  # noqa: N802
        self._operator(node.operName)

    def _SortBy(self, node: Any, _scope: frozenset[str]) -> None:  # noqa: N802
        self._operator(node.useOp)

    def _operator(self, name: Any) -> None:
        if name:
            self.found.operators.add(name[-1].sval)


def _children(node: Any) -> Iterator[Any]:
    branches = (_parser().ast.Node, tuple, list)
    for slot in getattr(type(node), "__slots__", ()):
        value = getattr(node, slot)
        if isinstance(value, branches):
            yield value
