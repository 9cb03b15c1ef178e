"""Pages by statements that are made once for each kind and shape. Touches: the database.

To make a page's statement costs more than to send it; there are as many as ways to ask, some dozens. What is shown of
rows that the database has just given is plain dictionaries: models of them take ten times as long and find nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Executable, Row
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from tailrace.db import Database
from tailrace.db.keyset import Statement
from tailrace.fastapi import Listing, RequestedPage

__all__ = ["Pager", "Reading"]


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """Rows that are asked for page by page.

    Args:
        statement: gives them; it has its parameters by name.
        view: what is shown of one.
        counted: has as many rows, without what each is shown with.
    """

    statement: Statement
    view: Callable[[Row[Any]], Any]
    counted: Statement


class Pager:
    """Fetches pages of readings."""

    def __init__(self) -> None:
        self._made: dict[tuple[Reading, str, Hashable], Executable] = {}

    async def fetch(
        self, database: Database, page: RequestedPage, reading: Reading, parameters: Mapping[str, Any]
    ) -> Listing[Any]:
        """The page that is asked for.

        Raises:
            DatabaseError: one of its kinds.

        Cost: 1 round trip, and those of a total.
        """
        return await database.read(lambda connection: self.fetch_by(connection, page, reading, parameters))

    async def fetch_by(
        self,
        executor: AsyncConnection | AsyncSession,
        page: RequestedPage,
        reading: Reading,
        parameters: Mapping[str, Any],
    ) -> Listing[Any]:
        """The same over a connection or in a session of the caller's."""
        asked = page.request
        key = (reading, asked.sort, asked.shape)
        if key not in self._made:
            self._made[key] = asked.statement(reading.statement)
        return await page.fetch(
            executor,
            reading.statement,
            reading.view,
            prepared=self._made[key],
            counted=reading.counted,
            parameters=parameters,
        )
