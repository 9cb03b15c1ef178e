"""``analyze_call``: from the cache, else from the stored analyses, else analysed once.

Touches: the cache, the database, the analyst.

However many ask, on however many processes, one of them analyses: within a process they share a flight, between
processes one holds a lease in the database while the others look whether it has stored its analysis. Whoever takes the
lease looks first. An owner renews its lease; when it dies, the next takes over within :data:`LEASE` seconds.

An analysis that is forced must have been begun after it was asked for; those who ask at the same time share one.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

from tailrace.cache import Answer, CachePolicy, SingleFlight, Uncacheable, read_as, tag
from tailrace.clock import Clock
from tailrace.db import Database
from tailrace.errors import ConstraintError, DatabaseError
from tailrace.fastapi import Tailrace
from tailrace_services.call_coach.analyst import Analyst
from tailrace_services.call_coach.optimised.analysis_rows import LEASE, AnalysisRows, CallState
from tailrace_services.call_coach.tools.analyze_call import (
    CALL_ANALYSIS,
    AnalyzeCall,
    CallAnalysis,
    call_not_found,
)

__all__ = ["Analyses"]

POLICY = CachePolicy("analyze_call", ttl=3600.0)

FIRST_PAUSE, LONGEST_PAUSE = 0.005, 0.1
"""Seconds between two looks whether another process has done it."""


class Analyses:
    """Analyses of calls, by one analyst.

    Args:
        tailrace: its cache keeps them, its database has them.
        clock: the service's time, which a comparison may freeze.
    """

    def __init__(self, tailrace: Tailrace, database: Database, analyst: Analyst, clock: Clock) -> None:
        self._cache = tailrace.cache
        self._pauses = tailrace.clock
        self._analyst = analyst
        self._rows = AnalysisRows(database, analyst.rubric_version)
        self._clock = clock
        self._flights: SingleFlight[CallAnalysis] = SingleFlight()

    async def read(self, question: AnalyzeCall) -> CallAnalysis:
        """The answer.

        Raises:
            RequestError: 404, there is no such call.
            DatabaseError: one of its kinds.

        Cost: no round trip when the cache has it, one when it is stored; else some, and the analyst's time.
        """
        call_id = question.call_id
        if question.force:
            found, _ = await self._flights.next((call_id, "forced"), lambda: self._forced(call_id))
        else:
            key = f"call-coach:analyze_call:{self._analyst.rubric_version}:{call_id}"
            tags = [tag("calls", "id", call_id)]
            tags += [tag(table, "call_id", call_id) for table in ("speakers", "transcripts", "call_analyses")]
            kept = await read_as(self._cache, key, lambda: self._stored(call_id), _read, policy=POLICY, depends_on=tags)
            if kept is not None:
                found = kept
            else:
                found, _ = await self._flights.join(call_id, lambda: self._settled(call_id, None))
        return found.of(question.dimensions)

    async def _stored(self, call_id: int) -> bytes | Uncacheable:
        """What is stored of the call as it is; nothing that could be kept where that has to be made first."""
        state = await self._rows.state(call_id)
        if state is None:
            raise call_not_found(call_id)
        if state.stored is None or not state.is_current:
            return Uncacheable(b"", shareable=True)
        return CALL_ANALYSIS.dump_json(state.stored)

    async def _forced(self, call_id: int) -> CallAnalysis:
        return await self._settled(call_id, await self._rows.now())

    async def _settled(self, call_id: int, since: datetime | None) -> CallAnalysis:
        """The call's current analysis, begun at ``since`` or later by the database's clock, whoever makes it."""
        owner = uuid.uuid4().hex
        pause = FIRST_PAUSE
        while True:
            state = await self._rows.state(call_id)
            if state is None:
                raise call_not_found(call_id)
            if state.is_current and (found := _acceptable(state, since)) is not None:
                return found
            # What an analysis refers to may vanish while it is made: then it is looked for again.
            with suppress(ConstraintError):
                if await self._rows.claim(call_id, owner):
                    made = await self._made(call_id, owner, since)
                    if made is not None:
                        return made
                    continue
            await self._pauses.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _made(self, call_id: int, owner: str, since: datetime | None) -> CallAnalysis | None:
        """An analysis made and stored by the lease's owner; None if another look is needed."""
        async with self._renewed(call_id, owner):
            read = await self._rows.state_and_turns(call_id)
            if read is None:
                return None
            state, conversation = read
            found = _acceptable(state, since)
            if found is not None:
                if not state.is_current and not await self._rows.store(found, owner, begun_at=state.begun_at):
                    return None
                return found
            analysis = await self._analyst.analyse(conversation)
            now = datetime.fromtimestamp(self._clock.now(), UTC)
            found = CallAnalysis(call_id, state.transcript_version, now, analysis)
            # Another analyst's word is given to who asks now, and not kept as if it were this one's.
            return found if analysis.degraded or await self._rows.store(found, owner) else None

    @asynccontextmanager
    async def _renewed(self, call_id: int, owner: str) -> AsyncIterator[None]:
        """Keep the lease alive, and end it however the work ends."""

        async def renew() -> None:
            while True:
                await self._pauses.sleep(LEASE / 4)
                with suppress(DatabaseError):  # in time again, or the lease passes on and what is stored is refused
                    await self._rows.renew(call_id, owner)

        renewing = asyncio.create_task(renew(), name=f"renewing the lease of call {call_id}")
        try:
            yield
        finally:
            renewing.cancel()
            with suppress(asyncio.CancelledError):
                await renewing
            with suppress(DatabaseError):  # it ends by itself
                await self._rows.release(call_id, owner)


def _acceptable(state: CallState, since: datetime | None) -> CallAnalysis | None:
    if state.stored is None or (since is not None and (state.begun_at is None or state.begun_at < since)):
        return None
    return state.stored


def _read(answer: Answer) -> CallAnalysis | None:
    return CALL_ANALYSIS.validate_json(answer.value) if answer.value else None
