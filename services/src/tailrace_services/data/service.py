"""All that there is to know of a service's data, as one value. Touches nothing by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tailrace_services.data.generation import Generation
from tailrace_services.data.migrations import Migrations

__all__ = ["ServiceData"]


@dataclass(frozen=True, slots=True)
class ServiceData:
    """A service's tables and rows.

    Args:
        service: its name, which is its package's and part of its databases'.
        title: for people.
        migrations: of its own tables.
        generation: of its rows.
        counted: for each of the generated counts, the table that it is a count of.
        newest: the moment of the last call or whatever else rows are about, as ``table.column``.
        imports: the table with a row for each file that was imported.
        objects: what Tailrace keeps in the database for the optimised service.
    """

    service: str
    title: str
    migrations: Migrations
    generation: Generation[Any, Any]
    counted: Mapping[str, str]
    newest: str
    imports: str
    objects: Callable[[], Sequence[Any]]
