"""Every table that is measured in process, by name. The names of the groups are those of the command line."""

from __future__ import annotations

from bench import caches, compression, hits, layers, limits, stacks
from bench.contender import Table

__all__ = ["GROUPS", "TABLES"]

GROUPS: dict[str, tuple[Table, ...]] = {
    "layers": layers.TABLES,
    "compression": compression.TABLES,
    "caches": caches.TABLES,
    "limits": limits.TABLES,
    "stacks": stacks.TABLES,
}

TABLES = {table.name: table for tables in (*GROUPS.values(), (stacks.OVER_LOOPBACK, hits.TABLE)) for table in tables}
