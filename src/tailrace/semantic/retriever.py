"""Asking a table whose search was declared. Touches: the database, the embedder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from tailrace.db import Database
from tailrace.semantic.courtesy import without_courtesy
from tailrace.semantic.embedder import Embedder, Vector
from tailrace.semantic.evidence import Evidence
from tailrace.semantic.hybrid import HybridSearch
from tailrace.semantic.wording import folded

__all__ = ["Found", "Retriever", "as_text"]

LONGEST_QUESTION = 2_000
"""Characters of a question that are read."""
FIRST_COLUMN = 7
"""Where in a row begins what was asked for of the text."""


@dataclass(frozen=True, slots=True)
class Found:
    """A text that was found.

    Attributes:
        key: its primary key.
        score: of the fusion; larger is better, and means nothing beyond the order.
        by_words, by_meaning: its places in the two lists, from 1; None where it is not among their first.
        columns: what was asked for of its row.
        evidence: what the search knows of its question, the same for all that it found.
    """

    key: Any
    score: float
    by_words: int | None
    by_meaning: int | None
    columns: Mapping[str, Any]
    evidence: Evidence


class Retriever:
    """Searches one table.

    Args:
        columns: what is returned of the rows that are found.
    """

    def __init__(
        self, database: Database, search: HybridSearch, embedder: Embedder, *, columns: Sequence[str] = ()
    ) -> None:
        self._database = database
        self._embedder = embedder
        self._columns = tuple(columns)
        self._statement = text(search.statement(self._columns))
        self._with_tenant = search.tenant is not None

    async def search(self, question: str, *, limit: int = 10, tenant: Any = None) -> list[Found]:
        """The texts that answer best, the best first. A new text is found by its words at once, by its meaning later.

        Args:
            question: what is looked for; courtesy around it is not.
            tenant: whose texts; needed exactly where the search declares tenants.

        Raises:
            ValueError: a tenant is missing, or none was declared.
            DatabaseError: one of its kinds.
            OverloadedError: too many questions wait to be embedded.

        Cost: an embedding and a round trip.
        """
        if (tenant is not None) != self._with_tenant:
            raise ValueError("a tenant must be named where the search declares tenants, and only there")
        # What PostgreSQL has no text for, NUL and lone surrogates, no text there has either.
        question = question[:LONGEST_QUESTION].replace("\x00", " ").encode("utf-8", "replace").decode()
        question = without_courtesy(question)
        vector = await self._embedder.embed(folded(question))
        asked = {"question": question, "vector": as_text(vector), "limit": limit}
        if self._with_tenant:
            asked["tenant"] = tenant
        rows: Sequence[Any] = await self._database.fetch(self._statement, asked)
        evidence = Evidence(*rows[0][4:FIRST_COLUMN]) if rows else Evidence(None, 0, False)
        return [
            Found(row[0], row[1], row[2], row[3], dict(zip(self._columns, row[FIRST_COLUMN:], strict=True)), evidence)
            for row in rows
        ]


def as_text(vector: Vector) -> str:
    """The form in which pgvector reads it."""
    return "[" + ",".join([f"{number:.6g}" for number in vector.tolist()]) + "]"
