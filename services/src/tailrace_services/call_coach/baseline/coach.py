"""The slow implementation of the service. Touches: the database, and the analyst's network."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from tailrace.clock import Clock
from tailrace.core.cursor import Cursors
from tailrace_services.call_coach.analyst import Analyst
from tailrace_services.call_coach.analyst.chosen import running_analyst
from tailrace_services.call_coach.api.callers import FIND_CALLER
from tailrace_services.call_coach.baseline.analyze_call import analyze_call
from tailrace_services.call_coach.baseline.learning_insights import learning_insights
from tailrace_services.call_coach.baseline.opportunity import analyze_opportunity
from tailrace_services.call_coach.baseline.rep_insights import rep_insights
from tailrace_services.call_coach.baseline.search_calls import search_calls
from tailrace_services.call_coach.tools.analyze_call import AnalyzeCall, CallAnalysis
from tailrace_services.call_coach.tools.learning_insights import GetLearningInsights, LearningInsights
from tailrace_services.call_coach.tools.opportunity import AnalyzeOpportunity, OpportunityAnalysis
from tailrace_services.call_coach.tools.rep_insights import GetRepInsights, RepInsights
from tailrace_services.call_coach.tools.search_calls import FoundCalls, SearchCalls
from tailrace_services.chat_endpoint import ChatSettings
from tailrace_services.identity.accounts import PlainAccounts
from tailrace_services.plain_sessions import Sessions

__all__ = ["BaselineCoach"]


class BaselineCoach:
    """``Coach`` without Tailrace, on any database that has the service's tables. It answers while ``running``.

    Args:
        database_url: of the database.
        chat: where a language model is that analyses, if one is to.
        clock: the service's time.
        cursors: sign the pages of lists.

    Attributes:
        accounts: of those who may ask.
    """

    def __init__(self, database_url: str, *, chat: ChatSettings | None, clock: Clock, cursors: Cursors) -> None:
        self._sessions = Sessions(database_url)
        self._chat = chat
        self._clock = clock
        self._cursors = cursors
        self._analyst: Analyst | None = None
        self.accounts = PlainAccounts(self._sessions, FIND_CALLER)

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
        async with self._sessions.begin() as session:
            return await analyze_call(session, self._analyst, question, self._now())

    async def get_rep_insights(self, question: GetRepInsights) -> RepInsights:
        """Calculated every time."""
        async with self._sessions.begin() as session:
            return await rep_insights(session, question, self._now())

    async def analyze_opportunity(self, question: AnalyzeOpportunity) -> OpportunityAnalysis:
        """Read anew every time."""
        async with self._sessions.begin() as session:
            return await analyze_opportunity(session, question, self._now())

    async def search_calls(self, question: SearchCalls) -> FoundCalls:
        """One transaction."""
        async with self._sessions.begin() as session:
            return await search_calls(session, self._cursors, question)

    async def get_learning_insights(self, question: GetLearningInsights) -> LearningInsights:
        """Calculated and measured every time."""
        async with self._sessions.begin() as session:
            return await learning_insights(session, question, self._now())

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now(), UTC)
