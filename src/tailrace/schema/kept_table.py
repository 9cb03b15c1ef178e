"""A table that the service's own SQL keeps, for what no rollup can add up. Touches: PostgreSQL.

    CALL_SEARCH = KeptTable(call_search, keep=[FUNCTION, *TRIGGERS], undo=["DROP FUNCTION keep() CASCADE"], fill=FILL)

The table and what keeps it are made in one transaction. Triggers shut out writers while they are made and see every
write from then on; what was there before is filled in piece by piece, each piece a transaction of its own, while the
service writes. So the statements must agree on who accounts for a row: ``fill`` inserts what is missing, and a trigger
that meets a row which is missing inserts it too, whole, so that the unique key lets only one of them do it.

A filling that is interrupted goes on where it was. A change of the declaration makes everything anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from tailrace.errors import SchemaError
from tailrace.schema.backfill import Progress, Report
from tailrace.schema.connection import Connection, Patience, with_patience
from tailrace.schema.declarations import as_table, schema_of
from tailrace.schema.objects import record
from tailrace.schema.sql_text import definition_hash, qualified

__all__ = ["KeptTable", "KeptTableBuild"]


@dataclass(frozen=True, eq=False)
class KeptTable:
    """A table of the service's own, and the SQL that keeps and fills it. Indexes on it are declared as on any other.

    Args:
        table: a ``Table`` or mapped class; made with its constraints, without its indexes.
        keep: statements that make what keeps it: functions, triggers on other tables.
        undo: statements that take that away, whether or not it is there (``DROP FUNCTION IF EXISTS ... CASCADE``).
        fill: a statement that fills in a piece of what is missing and returns how many rows that was; run until it
            returns 0.
    """

    table: Any
    keep: Sequence[str]
    undo: Sequence[str]
    fill: str

    def __post_init__(self) -> None:
        if not (self.keep and self.undo and self.fill.strip()):
            raise SchemaError(f"kept table {self.name}: say what keeps it, what takes that away, and what fills it")

    @property
    def source(self) -> Table:
        """The table itself."""
        return as_table(self.table)

    @property
    def name(self) -> str:
        """``schema.table``."""
        return f"{schema_of(self.source)}.{self.source.name}"

    def creation(self) -> tuple[str, ...]:
        """The statements that make it, in order."""
        table = CreateTable(self.source).compile(dialect=postgresql.dialect())  # type: ignore[no-untyped-call]
        return (str(table).strip(), *self.keep)

    def removal(self) -> tuple[str, ...]:
        """The statements that take it away, as far as it is there."""
        return (*self.undo, f"DROP TABLE IF EXISTS {qualified(schema_of(self.source), self.source.name)}")

    def definition_hash(self) -> str:
        """Changes when the table or what keeps it does."""
        return definition_hash(*self.creation(), *self.removal(), self.fill)


@dataclass(slots=True)
class KeptTableBuild:
    """One kept table's making: what is left of an older one goes first."""

    connection: Connection
    kept: KeptTable
    definition_hash: str
    patience: Patience
    report: Report | None = None

    async def make(self) -> None:
        """Make it and what keeps it, empty."""
        await with_patience(self.patience, self._make)

    async def fill(self) -> None:
        """Fill in what was there before, or the rest of it, and let it be read."""
        done = 0
        while filled := await with_patience(self.patience, self._fill_a_piece):
            done += filled
            self._tell("fill", done)
        await self.connection.execute(f"ANALYZE {qualified(schema_of(self.kept.source), self.kept.source.name)}")
        await self._record("ready")
        self._tell("filled", done)

    async def _make(self) -> None:
        async with self.connection.transaction():
            for statement in (*self.kept.removal(), *self.kept.creation()):
                await self.connection.execute(statement)
            await self._record("building")

    async def _fill_a_piece(self) -> int:
        return int(await self.connection.fetchval(self.kept.fill) or 0)

    async def _record(self, state: str) -> None:
        await record(self.connection, "table", self.kept.name, self.definition_hash, state)
        await self.connection.execute(
            "UPDATE tailrace.objects SET removal = $2 WHERE kind = 'table' AND name = $1",
            self.kept.name,
            list(self.kept.removal()),
        )

    def _tell(self, phase: str, done: int) -> None:
        if self.report is not None:
            self.report(Progress("table", self.kept.name, phase, done, max(done, 1), "rows"))
