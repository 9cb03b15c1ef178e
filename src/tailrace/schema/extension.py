"""An extension that indexes or queries need. Pure but for the statement that makes it."""

from __future__ import annotations

from dataclasses import dataclass

from tailrace.errors import SchemaError
from tailrace.schema.sql_text import identifier

__all__ = ["Extension"]


@dataclass(frozen=True, slots=True)
class Extension:
    """An extension of PostgreSQL's, made before everything else; never removed, since others may have come to use it.

    Args:
        name: as ``CREATE EXTENSION`` has it. Its files must be on the server.
        schema: where its objects go; by default where the search path begins.
    """

    name: str
    schema: str | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise SchemaError("an extension has a name")

    @property
    def sql(self) -> str:
        """The statement; it does nothing if the extension is there."""
        place = "" if self.schema is None else f" SCHEMA {identifier(self.schema)}"
        return f"CREATE EXTENSION IF NOT EXISTS {identifier(self.name)}{place}"
