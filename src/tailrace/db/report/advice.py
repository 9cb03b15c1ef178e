"""What to do about a database, from its figures. Pure.

Each rule says from which size on it matters, so that small tables and young counters give no advice.

**Source:** PostgreSQL's manual, "Routine Database Maintenance Tasks" and "The Cumulative Statistics System".
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from tailrace.db.report.figures import Advice, DatabaseReport, IndexFigures, TableFigures

__all__ = ["advise"]

ENOUGH_ROWS = 10_000
"""Rows from which a table's state is worth a word."""
DEAD_SHARE = 0.2
CHANGED_SHARE = 0.2
"""Share of dead or changed rows from which a table wants VACUUM or ANALYZE; autovacuum's own default."""
ENOUGH_BYTES = 1024 * 1024
"""Size from which an index that nobody uses is worth a word."""
LONG_ENOUGH = timedelta(days=7)
"""Age of the counters from which "never used" means something: a weekly report has run by then."""
MANY_SCANS = 100
LONG_SCAN = 10_000
"""This many scans of this many rows each tell of an index that is missing."""
BUFFERS_SHARE = 0.95
IDLE_IN_TRANSACTION = 60.0
"""Seconds."""
CONNECTIONS_SHARE = 0.8
TRANSACTION_AGE = 1_000_000_000


def advise(report: DatabaseReport, now: datetime) -> list[Advice]:
    """Everything worth saying, what to act upon first."""
    found = [*_server(report)]
    for table in report.tables:
        found += _table(table)
    for key in report.unindexed_foreign_keys:
        if key.rows >= ENOUGH_ROWS:
            columns = ", ".join(key.columns)
            text = f"no index begins with ({columns}): each change of the parent's key reads all {key.rows:,} rows"
            sql = f"CREATE INDEX CONCURRENTLY ON {key.table} ({columns})"
            found.append(Advice("act", "foreign_key_unindexed", f"{key.table} {key.constraint}", text, sql))
    counted = report.counted_since is not None and now - report.counted_since >= LONG_ENOUGH
    for index in report.indexes:
        found += _index(index, counted)
    if report.statements is None:
        text = (
            "which statements are slow is not counted, or not shown to this role: put pg_stat_statements into "
            "shared_preload_libraries and restart the server, where that is not done, and create the extension"
        )
        found.append(
            Advice("note", "statements_not_counted", report.database, text, "CREATE EXTENSION pg_stat_statements")
        )
    return sorted(found, key=lambda advice: advice.level != "act")


def _server(report: DatabaseReport) -> Iterator[Advice]:
    name = report.database
    if report.transaction_age >= TRANSACTION_AGE:
        text = f"{report.transaction_age:,} transactions are not frozen; at 2,000,000,000 the server stops writing"
        yield Advice("act", "transactions_not_frozen", name, text, "VACUUM (FREEZE)")
    used = sum(connection.count for connection in report.connections)
    if used >= CONNECTIONS_SHARE * report.max_connections:
        yield Advice("act", "connections", name, f"{used} of {report.max_connections} connections are in use")
    for connection in report.connections:
        if connection.state.startswith("idle in transaction") and (connection.longest or 0.0) >= IDLE_IN_TRANSACTION:
            text = (
                f"{connection.application}: a transaction has idled for {connection.longest:,.0f} s and keeps dead rows"
            )
            yield Advice("act", "idle_in_transaction", name, text)
    if report.hit_share is not None and report.hit_share < BUFFERS_SHARE and report.bytes > 100 * ENOUGH_BYTES:
        text = f"{1 - report.hit_share:.0%} of the blocks read were not in the server's buffers (shared_buffers)"
        yield Advice("note", "buffers", name, text)


def _table(table: TableFigures) -> Iterator[Advice]:
    if table.last_analyze is None and table.rows >= ENOUGH_ROWS:
        yield Advice("act", "never_analyzed", table.name, "plans are made without statistics", f"ANALYZE {table.name}")
    elif table.changed_rows >= max(ENOUGH_ROWS, CHANGED_SHARE * table.rows):
        text = f"{table.changed_rows:,} rows have changed since the last ANALYZE"
        yield Advice("act", "statistics_old", table.name, text, f"ANALYZE {table.name}")
    if table.dead_rows >= max(ENOUGH_ROWS, DEAD_SHARE * table.rows):
        text = f"{table.dead_rows:,} dead rows beside {table.rows:,} living ones"
        yield Advice("act", "dead_rows", table.name, text, f"VACUUM {table.name}")
    scans = table.sequential_scans
    if scans >= MANY_SCANS and table.rows_by_sequential_scans / scans >= LONG_SCAN:
        text = f"read from end to end {scans:,} times, {table.rows_by_sequential_scans // scans:,} rows each time"
        yield Advice("note", "sequential_scans", table.name, text)


def _index(index: IndexFigures, counted: bool) -> Iterator[Advice]:
    drop = f"DROP INDEX CONCURRENTLY {index.name}"
    if not index.valid:
        text = "not valid: its building was broken off; it is written and never read"
        yield Advice("act", "index_invalid", index.name, text, f"REINDEX INDEX CONCURRENTLY {index.name}")
    elif index.same_as is not None:
        yield Advice("act", "index_needless", index.name, f"{index.same_as} serves all that it serves", drop)
    elif counted and not index.scans and not index.unique and index.bytes >= ENOUGH_BYTES:
        text = f"not used once since the counters began, and {index.bytes // ENOUGH_BYTES:,} MB to keep"
        yield Advice("note", "index_unused", index.name, text, drop)
