"""Generated rows and what is known of them: the same seed, scale and anchor give the same rows. Touches: the database.

All or nothing: the tables are truncated, filled, constrained again and recorded in ``dataset`` in one transaction. A
load that is interrupted, by Ctrl-C or by the server's death, leaves what was there before; a row in ``dataset`` means a
whole load. Because the tables are truncated in the same transaction, rows may be written frozen (``COPY ... FREEZE``):
no vacuum has to visit them again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import MetaData

from tailrace.errors import DatabaseError
from tailrace_services.data.connection import open_connection
from tailrace_services.data.loading import Connection, Progress, add_constraints, drop_constraints, finish_tables, lock
from tailrace_services.settings import DEFAULT_SEED

__all__ = ["DatasetConflictError", "GeneratedDataset", "Generation", "default_anchor"]


class DatasetConflictError(DatabaseError):
    """The database holds other rows than those asked for; nothing was changed."""

    code = "dataset_conflict"


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedDataset:
    """What is loaded; a service adds its counts. ``created`` is False if it was there already."""

    scale: str
    seed: int
    anchor: datetime
    created: bool = field(default=False, compare=False)

    @classmethod
    def counted(cls) -> list[str]:
        """The names of the counts."""
        own = {each.name for each in dataclasses.fields(GeneratedDataset)}
        return [each.name for each in dataclasses.fields(cls) if each.name not in own]

    def __str__(self) -> str:
        counts = ", ".join(f"{getattr(self, name):,} {name}" for name in self.counted())
        return f"{self.scale}: {counts}; seed {self.seed}, ending {self.anchor:%Y-%m-%d %H:%M} UTC"


S = TypeVar("S")
"""How much to generate: a dataclass of a ``name`` and of numbers that are counts of the data set, too."""
D = TypeVar("D", bound=GeneratedDataset)


def default_anchor(now: datetime) -> datetime:
    """The start of ``now``'s UTC hour: the moment the generated year ends.

    >>> default_anchor(datetime(2026, 1, 1, 13, 59, 59, 999999, UTC)).isoformat()
    '2026-01-01T13:00:00+00:00'
    """
    return now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


@dataclass(frozen=True, slots=True)
class Generation(Generic[S, D]):
    """How a service's rows are made.

    Args:
        service: its name.
        metadata: its tables, ``dataset`` among them.
        scales: the named ones.
        dataset: what ``dataset`` holds.
        fill: write the rows of a scale, a seed and an anchor into the empty tables by the connection, in the
            transaction that is open; the anchor is an aware moment, the end of the 365 days of rows.
    """

    service: str
    metadata: MetaData
    scales: dict[str, S]
    dataset: type[D]
    fill: Callable[[Connection, S, int, datetime, Progress], Awaitable[D]]

    async def loaded(self, url: str) -> D | None:
        """What was generated into the database at ``url``, or None.

        Raises:
            DatabaseUnavailableError: no connection.
            DatabaseError: the tables are not there.
        """
        async with open_connection(url) as connection:
            return await self._recorded(connection)

    async def holds_rows(self, url: str) -> bool:
        """Whether any table of the database at ``url`` has a row, generated or not.

        Raises: as :meth:`loaded`.
        """
        async with open_connection(url) as connection:
            return await self._holds_rows(connection)

    async def generate(
        self,
        url: str,
        scale: S,
        seed: int = DEFAULT_SEED,
        anchor: datetime | None = None,
        progress: Progress = lambda phase, done, total: None,
        *,
        replace: bool = False,
    ) -> D:
        """Fill the migrated database at ``url``, or find it filled with the same already.

        Args:
            scale: how much.
            seed: 0 or more; the same seed, scale and anchor give the same rows.
            anchor: an aware moment, the end of the 365 days of rows. None: whatever is loaded, else the current hour.
            progress: called as it goes.
            replace: remove other rows first, imported ones too, instead of refusing.

        Raises:
            DatasetConflictError: there are other rows and ``replace`` is false.
            DatabaseUnavailableError: no connection, or it was lost; nothing has changed.
            DatabaseError: the database refused; nothing has changed.
        """
        if seed < 0:
            raise ValueError(f"seed must be 0 or more, not {seed}")
        if anchor is not None and anchor.tzinfo is None:
            raise ValueError("anchor needs a time zone")
        async with open_connection(url) as connection, connection.transaction():
            await connection.execute("SET LOCAL statement_timeout = 0")
            await lock(connection, f"generate {self.service}")
            found = await self._recorded(connection)
            if found and (found.seed, self.scale_of(found)) == (seed, scale) and anchor in (None, found.anchor):
                return found
            if not replace:
                await self._refuse_other_rows(connection, found)
            return await self._load(connection, scale, seed, anchor or default_anchor(datetime.now(UTC)), progress)

    def described(self, scale: S) -> str:
        """A scale in words, as in ``small: 100,000 calls, 1,000 users``."""
        counts = dataclasses.asdict(cast(Any, scale))
        return f"{counts.pop('name')}: {', '.join(f'{count:,} {name}' for name, count in counts.items())}"

    def scale_of(self, dataset: D) -> S:
        """The scale that ``dataset`` was made at."""
        kind: Any = type(next(iter(self.scales.values())))
        counts = {each.name: getattr(dataset, each.name) for each in dataclasses.fields(kind) if each.name != "name"}
        return cast(S, kind(name=dataset.scale, **counts))

    @property
    def _tables(self) -> list[str]:
        return [table.name for table in self.metadata.sorted_tables if table.name != "dataset"]

    async def _recorded(self, connection: Connection) -> D | None:
        columns = ", ".join(self._columns)
        row = await connection.fetchrow(f"SELECT {columns} FROM dataset")  # noqa: S608 - names of our columns
        return self.dataset(**dict(row)) if row else None

    @property
    def _columns(self) -> list[str]:
        return ["scale", "seed", "anchor", *self.dataset.counted()]

    async def _holds_rows(self, connection: Connection) -> bool:
        held = " OR ".join(f"EXISTS (SELECT FROM {table})" for table in self._tables)
        return bool(await connection.fetchval(f"SELECT {held}"))

    async def _refuse_other_rows(self, connection: Connection, found: D | None) -> None:
        if found:
            what = f"the data set {found.scale} with seed {found.seed}, ending {found.anchor:%Y-%m-%d %H:%M} UTC"
            raise DatasetConflictError(f"the database already holds {what}; pass --replace to remove it first")
        if await self._holds_rows(connection):
            raise DatasetConflictError("the database holds rows that were not generated; pass --replace to remove them")

    async def _load(self, connection: Connection, scale: S, seed: int, anchor: datetime, progress: Progress) -> D:
        # Tailrace's triggers and views may lean on the constraints; then they stay, and the load is slower.
        bare = await connection.fetchval("SELECT to_regnamespace('tailrace') IS NULL")
        constraints = await drop_constraints(connection, self._tables) if bare else []
        await connection.execute(f"TRUNCATE dataset, {', '.join(self._tables)} RESTART IDENTITY")
        loaded = await self.fill(connection, scale, seed, anchor, progress)
        await add_constraints(connection, constraints, progress)
        await finish_tables(connection, self.metadata, progress)
        values = [getattr(loaded, column) for column in self._columns]
        places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
        await connection.execute(
            f"INSERT INTO dataset ({', '.join(self._columns)}) VALUES ({places})",  # noqa: S608 - our columns
            *values,
        )
        return loaded
