"""The fast implementation of the service. Touches: the cache, the database, and the analyst's network."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from tailrace.clock import Clock
from tailrace.db import Database
from tailrace.fastapi import Tailrace
from tailrace_services.call_coach.analyst.chosen import running_analyst
from tailrace_services.call_coach.optimised.analyze_call import Analyses
from tailrace_services.call_coach.optimised.learning_insights import get_learning_insights
from tailrace_services.call_coach.optimised.opportunity import analyze_opportunity
from tailrace_services.call_coach.optimised.rep_insights import get_rep_insights
from tailrace_services.call_coach.optimised.search_calls import search_calls
from tailrace_services.call_coach.tools.analyze_call import AnalyzeCall, CallAnalysis
from tailrace_services.call_coach.tools.learning_insights import GetLearningInsights, LearningInsights
from tailrace_services.call_coach.tools.opportunity import AnalyzeOpportunity, OpportunityAnalysis
from tailrace_services.call_coach.tools.rep_insights import GetRepInsights, RepInsights
from tailrace_services.call_coach.tools.search_calls import FoundCalls, SearchCalls
from tailrace_services.chat_endpoint import ChatSettings

__all__ = ["OptimisedCoach"]


class OptimisedCoach:
    """``Coach`` on Tailrace. It answers while ``running``.

    Args:
        tailrace: its database has the objects that ``objects()`` declares.
        chat: where a language model is that analyses, if one is to.
        clock: the service's time, which a comparison may freeze.
    """

    def __init__(self, tailrace: Tailrace, *, chat: ChatSettings | None, clock: Clock) -> None:
        self._tailrace = tailrace
        self._chat = chat
        self._clock = clock
        self._analyses: Analyses | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Between Tailrace's start and its stop."""
        tailrace = self._tailrace
        async with running_analyst(self._chat, clock=tailrace.clock, observer=tailrace.observer) as analyst:
            self._analyses = Analyses(tailrace, self._database, analyst, self._clock)
            try:
                yield
            finally:
                self._analyses = None

    @property
    def _database(self) -> Database:
        database = self._tailrace.database
        assert database is not None
        return database

    async def analyze_call(self, question: AnalyzeCall) -> CallAnalysis:
        """Analysed once for each transcript; forced ones are known to all readers at once."""
        assert self._analyses is not None
        return await self._analyses.read(question)

    async def get_rep_insights(self, question: GetRepInsights) -> RepInsights:
        """Kept until somebody is coached, or a representative changes."""
        return await get_rep_insights(self._tailrace.cache, self._database, question, self._now())

    async def analyze_opportunity(self, question: AnalyzeOpportunity) -> OpportunityAnalysis:
        """Kept until something of it changes, or the day ends."""
        return await analyze_opportunity(self._tailrace.cache, self._database, question, self._now())

    async def search_calls(self, question: SearchCalls) -> FoundCalls:
        """One transaction, whatever is asked in bounded work; nothing is kept of it, so nothing can be stale."""
        return await search_calls(self._database, self._tailrace.cursors, question)

    async def get_learning_insights(self, question: GetLearningInsights) -> LearningInsights:
        """Calls are measured once for each transcript; kept until somebody is coached, or one of them changes."""
        return await get_learning_insights(self._tailrace.cache, self._database, question, self._now())

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now(), UTC)
