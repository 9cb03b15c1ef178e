"""What imports of real rows share: both databases at once, in one transaction each. Touches: the databases.

Numbers come from the first database's own sequences; the baseline gets the same rows with the same numbers.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Generic, TypeVar

import asyncpg

from tailrace.errors import DatabaseError, RequestError
from tailrace_services.data.connection import open_connection
from tailrace_services.data.loading import Connection, lock

__all__ = ["RowsRejectedError", "continue_numbers", "import_transactions", "mirroring"]

R = TypeVar("R")
"""What says of a row that it was left out, and why."""


class RowsRejectedError(RequestError, Generic[R]):
    """Rows were rejected and none may be; nothing was changed."""

    def __init__(self, message: str, code: str, rejections: tuple[R, ...]) -> None:
        super().__init__(message, status=422, code=code)
        self.rejections = rejections


@asynccontextmanager
async def import_transactions(service: str, url: str, baseline_url: str | None) -> AsyncIterator[list[Connection]]:
    """A transaction in the database and, behind it, one in the baseline's, if there is one.

    Each holds a lock to its end, so that two imports of the same file cannot both find it new. The baseline commits
    first: should the commit that follows be lost, the next attempt finds the two different and says so.

    Raises:
        DatabaseUnavailableError: no connection, or it was lost.
        DatabaseError: a database refused; neither has changed.
    """
    async with AsyncExitStack() as stack:
        databases: list[Connection] = []
        for each in filter(None, (url, baseline_url)):
            connection = await stack.enter_async_context(open_connection(each))
            await stack.enter_async_context(connection.transaction())
            await lock(connection, f"import {service}")
            databases.append(connection)
        yield databases  # the stack is left in reverse order


@contextmanager
def mirroring() -> Iterator[None]:
    """While the same rows are written into the baseline's database.

    Raises:
        DatabaseError: it has other rows under their numbers, or with their names.
    """
    try:
        yield
    except asyncpg.IntegrityConstraintViolationError as error:
        raise DatabaseError(f"the baseline's database no longer has the same rows as the other: {error}") from error


async def continue_numbers(connection: Connection, tables: Sequence[str]) -> None:
    """Let the next number that each of ``tables`` gives out lie above all that it holds."""
    for table in tables:
        sequence = f"pg_get_serial_sequence('{table}', 'id')"
        await connection.execute(
            f"SELECT setval({sequence}, greatest((SELECT max(id) FROM {table}), nextval({sequence}) - 1, 1))"  # noqa: S608 - our tables
        )
