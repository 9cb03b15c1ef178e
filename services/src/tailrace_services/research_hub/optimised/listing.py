"""Pages by statements that are made once for each kind and shape. Touches: the database.

To make a page's statement costs more than to send it; there are as many as ways to ask, some dozens. For PostgreSQL to
plan one takes longer than to run it, so pages of usual sizes have statements of their own, which are planned once:
whatever a reading's parameters are, it has one good plan. What is shown of rows that the database has just given is
plain dictionaries: models of them take ten times as long and find nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Executable, Row

from tailrace.db import Database, PageRequest
from tailrace.db.keyset import Statement
from tailrace.db.totals import Executor, count_statement
from tailrace.fastapi import Listing, RequestedPage

__all__ = ["Pager", "Reading"]

USUAL = frozenset({5, 10, 20, 25, 50, 100})
"""Rows of pages that people ask for."""


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
        self._made: dict[Hashable, Executable] = {}

    async def fetch(
        self, database: Database, page: RequestedPage, reading: Reading, parameters: Mapping[str, Any]
    ) -> Listing[Any]:
        """The page that is asked for.

        Raises:
            DatabaseError: one of its kinds.

        Cost: 1 round trip, and those of a total.
        """
        return await self.fetch_by(database, page, reading, parameters)

    async def fetch_by(
        self,
        executor: Executor,
        page: RequestedPage,
        reading: Reading,
        parameters: Mapping[str, Any],
    ) -> Listing[Any]:
        """The same over a connection or in a session of the caller's."""
        return await page.fetch(
            executor,
            reading.statement,
            reading.view,
            prepared=self.prepared(page, reading),
            counted=reading.counted,
            counting=self._counting(page.request, reading),
            parameters=parameters,
        )

    def prepared(self, page: RequestedPage, reading: Reading) -> Executable:
        """The page's statement, made once for all pages of its kind."""
        asked = page.request
        fixed = asked.offset is None and asked.limit in USUAL
        key = (reading, asked.sort, asked.shape, asked.limit if fixed else None)
        if key not in self._made:
            self._made[key] = asked.statement(reading.statement, fixed=fixed)
        return self._made[key]

    def _counting(self, asked: PageRequest, reading: Reading) -> Executable | None:
        if asked.total not in ("capped", "estimated"):
            return None
        key = (reading, asked.cap)
        if key not in self._made:
            self._made[key] = count_statement(reading.counted, cap=asked.cap)
        return self._made[key]
