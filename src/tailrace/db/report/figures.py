"""What is known of a database's health, as values. Sizes in bytes, times in milliseconds, shares 0..1."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

__all__ = [
    "Advice",
    "ConnectionCount",
    "DatabaseReport",
    "IndexFigures",
    "MissingForeignKeyIndex",
    "SlowStatement",
    "TableFigures",
]


@dataclass(frozen=True, slots=True)
class TableFigures:
    """One table. ``rows`` and ``dead_rows`` are the server's running estimates; ``hit_share`` None: never read."""

    name: str
    rows: int
    dead_rows: int
    changed_rows: int
    """Rows changed since the last ANALYZE."""
    table_bytes: int
    index_bytes: int
    total_bytes: int
    sequential_scans: int
    rows_by_sequential_scans: int
    index_scans: int
    hit_share: float | None
    last_vacuum: datetime | None
    last_analyze: datetime | None


@dataclass(frozen=True, slots=True)
class IndexFigures:
    """One index. ``same_as``: another one that holds the same columns in the same order, or more behind them."""

    name: str
    table: str
    definition: str
    bytes: int
    scans: int
    unique: bool
    valid: bool
    same_as: str | None


@dataclass(frozen=True, slots=True)
class MissingForeignKeyIndex:
    """A foreign key whose columns no index begins with: each delete of a parent reads the whole table."""

    table: str
    constraint: str
    columns: tuple[str, ...]
    rows: int


@dataclass(frozen=True, slots=True)
class ConnectionCount:
    """Connections of one kind.

    ``longest``: seconds for which the oldest has been in its state; None where that is not shown to who asks.
    """

    application: str
    state: str
    count: int
    longest: float | None


@dataclass(frozen=True, slots=True)
class SlowStatement:
    """One statement, without its constants, by the time that all its calls took. ``plan``: None if it has none."""

    statement: str
    calls: int
    total_time: float
    mean_time: float
    rows: int
    hit_share: float | None
    plan: str | None = None


@dataclass(frozen=True, slots=True)
class Advice:
    """Something to do, or to know. ``sql`` does it; None where a person has to decide how.

    ``level``: ``act`` = the database works worse than it could; ``note`` = right for some.
    """

    level: Literal["act", "note"]
    code: str
    about: str
    message: str
    sql: str | None = None


@dataclass(frozen=True, slots=True)
class DatabaseReport:
    """Everything, at one moment.

    Attributes:
        database: its name.
        version: of the server.
        bytes: size of the database.
        counted_since: when the server's counters began, None if it does not tell.
        hit_share: reads answered from the server's buffers.
        max_connections: the server's limit.
        transaction_age: transactions since the oldest that is not frozen; at 2,000 million the server stops writing.
        statements: None where pg_stat_statements is not there.
    """

    database: str
    version: str
    bytes: int
    counted_since: datetime | None
    hit_share: float | None
    max_connections: int
    transaction_age: int
    tables: list[TableFigures]
    indexes: list[IndexFigures]
    unindexed_foreign_keys: list[MissingForeignKeyIndex]
    connections: list[ConnectionCount]
    statements: list[SlowStatement] | None
    advice: list[Advice] = field(default_factory=list)
