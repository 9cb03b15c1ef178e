"""Logs of differences: what a write changes in rollups is noted, and added to them later. Pure: SQL text only.

A rollup with ``maintenance="deltas"`` is a view: a table with what was folded, UNION ALL the log of what was not yet.
The writing transaction only appends to the log, so it locks no row of a summary and waits for nobody; all rollups that
count the same rows share one log, whose columns are the union of theirs (equal expressions once).

Folding deletes rows of the log and adds their sums to the tables, in one statement: every snapshot shows each
difference on exactly one side, so a reader's sum is right whoever folds, and also if nobody does.

Locks are taken in one order by all, the log before the tables: TRUNCATE of the source empties both.

A log's name ends in a hash of all that its rows mean. When the rollups that share it change, writers get another log,
under the lock that keeps them out for the change of triggers anyway; the old one is folded there and dropped.
"""

# ruff: noqa: S608 - statements are made here; every name in them went through sql_text.identifier

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tailrace.schema.declarations import Measure, Rollup, StoredMeasure, schema_of
from tailrace.schema.plpgsql import dollar
from tailrace.schema.rollup_sql import (
    add,
    columns_of_key,
    contribution,
    create_table,
    folded_table,
    live_rows,
    measure_column,
    table_name,
)
from tailrace.schema.sql_text import definition_hash, identifier, literal, qualified, render, short_name

__all__ = ["DeltaLog", "append", "drop_log", "folding_function", "logs_of"]

VACUUM = (
    "autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0, "
    "autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 20000"
)
"""Every row lives for a second or so: what is dead is cleared as soon as the launcher comes by."""


def folding_function(name: str) -> str:
    """The function that folds the log ``name``, quoted."""
    return qualified("tailrace", short_name(f"fold {name}"))


def drop_log(name: str) -> list[str]:
    """Statements that remove the log ``name``; what it holds is lost."""
    return [
        f"DELETE FROM tailrace.delta_logs WHERE name = {literal(name)}",
        f"DROP TABLE IF EXISTS {qualified('tailrace', name)}",
        f"DROP FUNCTION IF EXISTS {folding_function(name)}(integer)",
    ]


def append(rows: Rollup, select: str) -> str:
    """Note what ``select`` yields. ``rows`` is a log's `DeltaLog.rows`."""
    columns = ", ".join(identifier(c) for c in (*rows.key, *(s.column for s in rows.stored)))
    return f"INSERT INTO {table_name(rows)} ({columns})\n{select}"


@dataclass(frozen=True, eq=False)
class DeltaLog:
    """One log and the rollups that share it: all of the same rows at the same time, sorted by name."""

    rollups: tuple[Rollup, ...]

    @cached_property
    def _columns(self) -> tuple[dict[str, Any], dict[str, Measure], dict[tuple[str, str], str]]:
        """Dimensions and measures of the log, and which of its columns holds which of a rollup's."""
        dimensions: dict[str, Any] = {}
        measures: dict[str, Measure] = {}
        places: dict[tuple[str, str], str] = {}
        known: dict[tuple[Any, ...], str] = {}
        for rollup in self.rollups:
            for name, expression in rollup.dimensions.items():
                meaning = ("dimension", render(expression), str(expression.type))
                if meaning not in known:
                    known[meaning] = self._free_name(rollup, name, {"date", "hour", *known.values()})
                    dimensions[known[meaning]] = expression
                places[rollup.name, name] = known[meaning]
            for stored in rollup.stored:
                meaning = _meaning(stored)
                if meaning not in known:
                    known[meaning] = self._free_name(rollup, stored.column, {"date", "hour", *known.values()})
                    kind: Any = "count" if stored.counts else "sum"
                    measures[known[meaning]] = Measure(kind, stored.value, stored.where)
                places[rollup.name, stored.column] = known[meaning]
            places |= {(rollup.name, name): name for name in rollup.time_columns}
        return dimensions, measures, places

    @staticmethod
    def _free_name(rollup: Rollup, name: str, taken: Iterable[str]) -> str:
        return name if name not in set(taken) else short_name(f"{rollup.schema}.{rollup.name}.{name}")

    @cached_property
    def rows(self) -> Rollup:
        """What a row of the log holds, as if it were a rollup of its own: contributions are made from it."""
        return self._as_rollup(self.name)

    def _as_rollup(self, name: str) -> Rollup:
        dimensions, measures, _ = self._columns
        first = self.rollups[0]
        grain: Any = "hour" if any(r.grain == "hour" for r in self.rollups) else "day"
        return Rollup(
            name, first.source, dimensions, time=first.time, grain=grain, measures=measures, join=first.join,
            where=first.where, schema="tailrace", time_zone=first.time_zone, leading=0,
        )  # fmt: skip

    @cached_property
    def name(self) -> str:
        """Its name in the schema ``tailrace``."""
        draft = self._as_rollup("deltas")
        texts = [contribution(draft, live_rows(draft)), *self._definition(draft), *map(str, self._indexed())]
        for rollup in self.rollups:
            texts += [rollup.schema, rollup.name, create_table(rollup), *self._places(rollup).values()]
        meaning = definition_hash(*texts)[:12]
        return f"{short_name(f'deltas {self.source}', 40)} {meaning}"

    @property
    def source(self) -> str:
        """The table whose rows are counted."""
        return f"{schema_of(self.rollups[0].source)}.{self.rollups[0].source.name}"

    @property
    def table(self) -> str:
        """The log's table, quoted."""
        return qualified("tailrace", self.name)

    def _places(self, rollup: Rollup) -> dict[str, str]:
        """The rollup's column -> the log's that holds it."""
        places = self._columns[2]
        names = [*rollup.key, *(stored.column for stored in rollup.stored)]
        return {name: places[rollup.name, name] for name in names}

    def _definition(self, rows: Rollup) -> list[str]:
        return [f"{identifier(name)} {kind}{null}" for name, kind, null in columns_of_key(rows)] + [
            measure_column(stored) for stored in rows.stored
        ]

    def create(self) -> list[str]:
        """Statements that make the log and its folding function, unless they are there."""
        body = ",\n    ".join(self._definition(self.rows))
        made = [f"CREATE TABLE IF NOT EXISTS {self.table} (\n    {body}\n) WITH ({VACUUM})"]
        # Rows are found by their place and never updated, so there is no key; a publication of all tables wants one.
        made.append(f"ALTER TABLE {self.table} REPLICA IDENTITY FULL")
        for number, columns in enumerate(self._indexed()):
            index = identifier(f"{self.name} {number}")
            made.append(f"CREATE INDEX IF NOT EXISTS {index} ON {self.table} ({', '.join(map(identifier, columns))})")
        made += [
            self._fold(),
            f"REVOKE ALL ON FUNCTION {folding_function(self.name)}(integer) FROM PUBLIC",
            f"INSERT INTO tailrace.delta_logs (name, source) VALUES ({literal(self.name)}, {literal(self.source)}) "
            "ON CONFLICT (name) DO UPDATE SET retired = false",
        ]
        return made

    def _indexed(self) -> list[tuple[str, ...]]:
        """What readers look rows up by: the dimensions that lead each rollup's key, where no longer index has them.

        Not the first alone: who asks for each of a user's agents in turn would pass over all of the user's differences
        for every agent.
        """
        led = {tuple(self._places(r)[name] for name in r.key[: max(1, r.leading)]) for r in self.rollups}
        return sorted(c for c in led if not any(c == other[: len(c)] for other in led - {c}))

    def view(self, rollup: Rollup) -> str:
        """The rollup's view. A key has a row for what was folded and one for each difference that was not."""
        places = self._places(rollup)
        own = ", ".join(identifier(name) for name in places)
        logged = ", ".join(f"{identifier(place)} AS {identifier(name)}" for name, place in places.items())
        return (
            f"CREATE OR REPLACE VIEW {table_name(rollup)} AS\nSELECT {logged} FROM {self.table}\n"
            f"UNION ALL\nSELECT {own} FROM {folded_table(rollup)}"
        )

    def _fold(self) -> str:
        steps = [f"f{n} AS (\n{add(rollup, self._sums(rollup))})" for n, rollup in enumerate(self.rollups)]
        body = (
            "DECLARE folded bigint;\nBEGIN\n"
            f"WITH taken AS MATERIALIZED (DELETE FROM {self.table} WHERE ctid = ANY (ARRAY(\n"
            f"    SELECT ctid FROM {self.table} LIMIT most)) RETURNING *),\n"
            + ",\n".join(steps)
            + "\nSELECT count(*) INTO folded FROM taken;\nRETURN folded;\nEND"
        )
        return (
            f"CREATE OR REPLACE FUNCTION {folding_function(self.name)}(most integer) RETURNS bigint LANGUAGE plpgsql "
            f"SECURITY DEFINER\nSET search_path = pg_catalog, pg_temp AS {dollar(body)}"
        )

    def _sums(self, rollup: Rollup) -> str:
        places = self._places(rollup)
        keys = [identifier(places[name]) for name in rollup.key]
        sums = {s.column: f"sum({identifier(places[s.column])})" for s in rollup.stored}
        chosen = ", ".join([*keys, *(f"{sums[s.column]}::{s.sql_type}" for s in rollup.stored)])
        positions = ", ".join(str(n) for n in range(1, len(keys) + 1))
        some = " OR ".join(f"{total} <> 0" for total in sums.values())
        return f"SELECT {chosen} FROM taken GROUP BY {positions} HAVING {some} ORDER BY {positions}"


def logs_of(rollups: Iterable[Rollup]) -> list[DeltaLog]:
    """The logs that ``rollups`` need: one for all that count the same rows, in the same time zone."""
    found: dict[tuple[Any, ...], list[Rollup]] = {}
    for rollup in sorted((r for r in rollups if r.maintenance == "deltas"), key=table_name):
        where = None if rollup.where is None else render(rollup.where)
        same = (rollup.source, rollup.parent_link, where, render(rollup.time), rollup.time_zone)
        found.setdefault(same, []).append(rollup)
    return [DeltaLog(tuple(sharing)) for sharing in found.values()]


def _meaning(stored: StoredMeasure) -> tuple[Any, ...]:
    def text(part: Any) -> str | None:
        return None if part is None else render(part)

    return ("measure", stored.counts, text(stored.value), text(stored.where), stored.sql_type)
