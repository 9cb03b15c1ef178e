"""The slow implementation of the service. Touches: the database, and the analyst's network."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from tailrace.clock import Clock
from tailrace_services.call_coach.analyst import Analyst
from tailrace_services.call_coach.analyst.chat_completions import ChatSettings
from tailrace_services.call_coach.analyst.chosen import running_analyst
from tailrace_services.call_coach.baseline.analyze_call import analyze_call
from tailrace_services.call_coach.tools.analyze_call import AnalyzeCall, CallAnalysis
from tailrace_services.plain_sessions import Sessions

__all__ = ["BaselineCoach"]


class BaselineCoach:
    """``Coach`` without Tailrace, on any database that has the service's tables. It answers while ``running``.

    Args:
        database_url: of the database.
        chat: where a language model is that analyses, if one is to.
        clock: the service's time.
    """

    def __init__(self, database_url: str, *, chat: ChatSettings | None, clock: Clock) -> None:
        self._sessions = Sessions(database_url)
        self._chat = chat
        self._clock = clock
        self._analyst: Analyst | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Between the application's start and its stop."""
        try:
            async with running_analyst(self._chat) as self._analyst:
                yield
        finally:
            await self._sessions.aclose()

    async def analyze_call(self, question: AnalyzeCall) -> CallAnalysis:
        """One transaction, held while a model is asked."""
        assert self._analyst is not None
        now = datetime.fromtimestamp(self._clock.now(), UTC)
        async with self._sessions.begin() as session:
            return await analyze_call(session, self._analyst, question, now)
