"""When API keys were last used: noted at every request, written once a minute. Touches: the clock, the database.

A write at every request would make readers wait for writers, and end the cached account each time. So a key's row is
written at most once a minute, by whichever process comes first, and says when the key was last used to within two
minutes; a process that is killed takes at most its last minute with it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

from sqlalchemy import text

from tailrace.clock import Clock
from tailrace.errors import TailraceError

__all__ = ["NOTE_USES", "KeyUses"]

_log = logging.getLogger("tailrace_services.research_hub")

EVERY = 60.0
"""Seconds between two writings."""
LONGEST = 5.0
"""Seconds that one may take: nobody waits for it but the end of the process."""

# Rows that another process is writing just now are left to it; none waits, so none can wait for each other.
NOTE_USES = text(f"""
    WITH used AS (SELECT * FROM unnest(CAST(:keys AS bigint[]), CAST(:moments AS timestamptz[])) AS u (id, at)),
    due AS (
        SELECT k.id, used.at FROM api_keys AS k JOIN used USING (id)
        WHERE k.last_used_at IS NULL OR k.last_used_at <= used.at - interval '{EVERY:g} seconds'
        FOR NO KEY UPDATE OF k SKIP LOCKED
    )
    UPDATE api_keys AS k SET last_used_at = due.at FROM due WHERE k.id = due.id
""")  # noqa: S608 - a number of this module
"""Given ``keys`` and as many ``moments``."""

Write = Callable[[Mapping[str, object]], Awaitable[None]]
"""Runs ``NOTE_USES`` with these parameters."""


class KeyUses:
    """The uses that are not written yet.

    Args:
        write: stores them; ``TailraceError`` where the database is in trouble: then they wait for the next time.
        clock: the service's.
    """

    def __init__(self, write: Write, clock: Clock) -> None:
        self._write = write
        self._clock = clock
        self._noted: dict[int, float] = {}

    def note(self, key_id: int) -> None:
        """A key is being used. Cost: 0.2 microseconds."""
        self._noted[key_id] = self._clock.now()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Write once a minute, and at the end."""
        writing = asyncio.create_task(self._write_for_ever(), name="key uses")
        try:
            yield
        finally:
            writing.cancel()
            with suppress(asyncio.CancelledError):
                await writing
            await self._write_noted()

    async def _write_for_ever(self) -> None:
        while True:
            await self._clock.sleep(EVERY)
            await self._write_noted()

    async def _write_noted(self) -> None:
        noted, self._noted = self._noted, {}
        if not noted:
            return
        moments = [datetime.fromtimestamp(moment, UTC) for moment in noted.values()]
        try:
            async with asyncio.timeout(LONGEST):
                await self._write({"keys": list(noted), "moments": moments})
        except (TailraceError, TimeoutError):
            _log.warning("could not write when %d API keys were used", len(noted), exc_info=True)
            self._noted = noted | self._noted
