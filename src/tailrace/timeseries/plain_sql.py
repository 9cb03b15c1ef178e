"""What plain PostgreSQL keeps of a time series: partitions, indexes, triggers. Pure: SQL text only.

The triggers stand on the table and on every partition: a statement fires those of the table that it names, and no
others, so rows that are written to a partition by its own name count too, and none counts twice.
"""

# ruff: noqa: S608 - statements are made here; every name in them went through sql_text.identifier

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from tailrace.schema.declarations import schema_of
from tailrace.schema.plpgsql import EVENT_ROWS, REFERENCING, Function, block, branch
from tailrace.schema.rollup_sql import SOURCE
from tailrace.schema.sql_text import definition_hash, identifier, literal, qualified, short_name
from tailrace.timeseries.partitions import Span
from tailrace.timeseries.summary_sql import SummarySql, day_of

__all__ = ["SPARSE_PAGES", "PlainSql"]

SPARSE_PAGES = 16
"""Pages of a shrunken partition that one entry of its index stands for (128 kB)."""
TRUNCATED = "tailrace_series_truncate"
SNAPSHOT = "current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted')"


@dataclass(frozen=True)
class PlainSql:
    """One series.

    Args:
        table: its table.
        time: the column that says when.
        segment_by: columns by which rows belong together.
        indexes: columns of each B-tree that a partition has until it is shrunken.
        summaries: what is kept of it by day.
    """

    table: Table
    time: str
    segment_by: tuple[str, ...]
    indexes: tuple[tuple[str, ...], ...]
    summaries: tuple[SummarySql, ...]

    @property
    def schema(self) -> str:
        """Where it lives."""
        return schema_of(self.table)

    @property
    def sql_name(self) -> str:
        """Its quoted name."""
        return qualified(self.schema, self.table.name)

    def create(self) -> list[str]:
        """The partitioned table, with one sparse index over time."""
        return [
            f"{self.plain_table()} PARTITION BY RANGE ({identifier(self.time)})",
            f"CREATE INDEX {identifier(short_name(f'{self.table.name}_{self.time}_brin'))} ON {self.sql_name} "
            f"USING brin ({identifier(self.time)}) WITH (pages_per_range = {SPARSE_PAGES})",
        ]

    def plain_table(self) -> str:
        """The table as it is declared."""
        return str(CreateTable(self.table).compile(dialect=postgresql.dialect())).strip()  # type: ignore[no-untyped-call]

    def index_statements(self, name: str) -> list[str]:
        """The B-trees of the table ``name`` (quoted)."""
        return [f"CREATE INDEX ON {name} ({self._list(columns)})" for columns in self.indexes]

    # --- partitions ------------------------------------------------------------------------------

    def partition_name(self, span: Span) -> str:
        """The name of the partition of ``span``."""
        start = span.start.astimezone(UTC)
        return short_name(f"{self.table.name}_{start:%Y%m%d}")

    def create_partition(self, span: Span) -> list[str]:
        """Statements of one transaction that make the partition of ``span``; writers and readers do not wait."""
        name = qualified(self.schema, self.partition_name(span))
        return [
            *self.bare_partition(name),
            *self.index_statements(name),
            self.attach(name, span),
            *self.trigger_statements(name, span),  # last: until PostgreSQL 18 a table that has them cannot be attached
        ]

    def bare_partition(self, name: str) -> list[str]:
        """A table ``name`` (quoted) that can become a partition."""
        return [f"CREATE TABLE {name} (LIKE {self.sql_name} INCLUDING ALL EXCLUDING IDENTITY EXCLUDING INDEXES)"]

    def attach(self, name: str, span: Span) -> str:
        """Make the table ``name`` (quoted) the partition of ``span``; other writers and readers do not wait."""
        return (
            f"ALTER TABLE {self.sql_name} ATTACH PARTITION {name} "
            f"FOR VALUES FROM ({_moment(span.start)}) TO ({_moment(span.end)})"
        )

    def detach(self, name: str, *, concurrently: bool) -> str:
        """Take the partition ``name`` (quoted) out."""
        return f"ALTER TABLE {self.sql_name} DETACH PARTITION {name}" + (" CONCURRENTLY" if concurrently else "")

    def finish_detaching(self, name: str) -> str:
        """Finish what an interrupted `detach` began."""
        return f"{self.detach(name, concurrently=False)} FINALIZE"

    def _list(self, columns: Sequence[str]) -> str:
        return ", ".join(identifier(name) for name in columns)

    def touch_summaries(self, name: str) -> list[str]:
        """Write what is kept of the days of the table ``name`` (quoted) as it is, so that watches of it tell."""
        moment = identifier(self.time)
        return [
            f"UPDATE {summary.sql_name} SET {count} = {count} WHERE day >= "
            f"(SELECT {day_of(f'min({moment})')} FROM {name}) AND day <= (SELECT max({moment}) FROM {name})"
            for summary in self.summaries
            for count in [identifier(summary.summary.row_count)]
        ]

    # --- shrinking -------------------------------------------------------------------------------

    def compressed_columns(self, name: str) -> list[str]:
        """Have the table ``name`` (quoted), before it is filled, compress what is long enough to gain by it."""
        return [f"ALTER TABLE {name} SET (toast_tuple_target = 128, fillfactor = 100)"]

    def sparse_index(self, name: str) -> list[str]:
        """What finds rows of the table ``name`` (quoted) that are in order of segment and time."""
        if not self.segment_by:
            return []  # the one over time is every partition's
        return [
            f"CREATE INDEX ON {name} USING brin ({self._list(self.segment_by)}) WITH (pages_per_range = {SPARSE_PAGES})"
        ]

    def bound_check(self, name: str, span: Span) -> str:
        """Prove that the rows of ``name`` (quoted) lie in ``span``: attaching it need not read them again."""
        return f"ALTER TABLE {name} ADD CONSTRAINT tailrace_bound CHECK ({_within(identifier(self.time), span)})"

    # --- triggers --------------------------------------------------------------------------------

    @cached_property
    def functions(self) -> tuple[Function, ...]:
        """The trigger functions that keep the summaries; none where there are no summaries."""
        if not self.summaries:
            return ()
        return tuple(self._function(event) for event in ("insert", "update", "delete", "truncate"))

    @property
    def functions_hash(self) -> str:
        """Changes when one of them does."""
        return definition_hash(*(text for function in self.functions for text in function.create("t")))

    def _function(self, event: str) -> Function:
        name = short_name(f"series {self.schema}.{self.table.name} {event}")
        when = f"AFTER {event.upper()} ON {{table}}{REFERENCING[event]} FOR EACH STATEMENT"
        return Function(f"tailrace_series_{event}", name, block(self._statements(event)), when)

    def _statements(self, event: str) -> list[str]:
        if event == "insert":
            return [summary.merge("new_rows") for summary in self.summaries]
        if event == "truncate":
            span = "day >= TG_ARGV[0]::timestamptz AND day < TG_ARGV[1]::timestamptz"
            return [f"DELETE FROM {summary.sql_name} WHERE {span}" for summary in self.summaries]
        body: list[str] = []
        for summary in self.summaries:
            touched = summary.keys_of(*EVENT_ROWS[event])
            body.append(branch(SNAPSHOT, [summary.lock_known(touched)]))
            body += summary.recompute(touched, self.sql_name)
        return body

    def trigger_statements(self, table: str, span: Span | None = None) -> list[str]:
        """Statements that give ``table`` (quoted) its triggers; the functions are there.

        Only a partition, of ``span``, notices TRUNCATE: that of the whole table empties and tells each of them.
        """
        statements = []
        for function in self.functions:
            text = function.create(table)[-1]
            if function.trigger != TRUNCATED:
                statements.append(text)
            elif span is not None:
                statements.append(f"{text.removesuffix('()')}({_moment(span.start)}, {_moment(span.end)})")
        return statements

    def function_statements(self) -> list[str]:
        """Statements that create or replace the functions."""
        return [text for function in self.functions for text in function.create(self.sql_name)[:-1]]

    # --- summaries -------------------------------------------------------------------------------

    def keys_within(self, summary: SummarySql, span: Span) -> str:
        """SELECT the keys of the summary, kept or due, in ``span``."""
        moment = identifier(self.time)
        rows = f"(SELECT * FROM {self.sql_name} WHERE {_within(moment, span)})"
        keys = ", ".join(identifier(name) for name in summary.summary.key)
        return f"{summary.keys_of(rows)} UNION SELECT {keys} FROM {summary.sql_name} WHERE {_within('day', span)}"

    def both_sides(self, summary: SummarySql, span: Span) -> tuple[str, str]:
        """SELECT what the rows in ``span`` say, and what is kept of them."""
        moment = f"{SOURCE}.{identifier(self.time)}"
        live = summary.aggregate(f"{self.sql_name} {SOURCE}", _within(moment, span))
        return live, f"SELECT * FROM {summary.sql_name} WHERE {_within('day', span)}"


def _moment(moment: datetime) -> str:
    return literal(moment.astimezone(UTC).isoformat(sep=" "))


def _within(column: str, span: Span) -> str:
    return f"{column} >= {_moment(span.start)} AND {column} < {_moment(span.end)}"
