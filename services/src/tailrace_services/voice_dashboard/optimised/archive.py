"""Where the provider's last configurations outlive the process. Touches: one table that no cached answer depends on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from tailrace.db import Database
from tailrace_services.voice_dashboard.model import ProviderConfiguration
from tailrace_services.voice_dashboard.provider.last_known import Configuration

__all__ = ["DatabaseArchive"]


class DatabaseArchive:
    """``Archive`` in the service's database.

    Args:
        database: holds ``provider_configurations``.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def recall(self, external_ids: Sequence[str]) -> Mapping[str, Configuration]:
        """Those that are known, in 1 round trip.

        Raises:
            DatabaseError: one of its kinds.
        """
        table = ProviderConfiguration
        statement = select(table.external_id, table.configuration, table.fetched_at)
        rows = await self._database.fetch(statement.where(table.external_id.in_(external_ids)))
        return {row.external_id: Configuration(row.configuration, row.fetched_at.timestamp()) for row in rows}

    async def remember(self, configurations: Mapping[str, Configuration]) -> None:
        """Keep them in place of older ones, in one transaction.

        Raises:
            DatabaseError: one of its kinds; nothing was kept.
        """
        rows = [
            {
                "external_id": external_id,
                "configuration": _storable(dict(kept.payload)),
                "fetched_at": datetime.fromtimestamp(kept.fetched_at, UTC),
            }
            # Processes that archive at the same time lock rows in the same order.
            for external_id, kept in sorted(configurations.items())
            if kept.payload is not None
        ]
        if not rows:
            return
        statement = insert(ProviderConfiguration).values(rows)
        newer = statement.on_conflict_do_update(
            index_elements=[ProviderConfiguration.external_id],
            set_={
                "configuration": statement.excluded.configuration,
                "fetched_at": statement.excluded.fetched_at,
            },
            where=ProviderConfiguration.fetched_at < statement.excluded.fetched_at,
        )

        async def write(session: AsyncSession) -> None:
            await session.execute(newer)

        await self._database.run(write)


def _storable(value: object) -> object:
    """``value`` without what ``jsonb`` cannot hold: NUL characters and lone surrogates in strings."""
    if isinstance(value, str):
        return value.replace("\x00", "").encode("utf-8", "ignore").decode()
    if isinstance(value, dict):
        return {_storable(key): _storable(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_storable(inner) for inner in value]
    return value
