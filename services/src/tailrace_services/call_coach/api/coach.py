"""What an implementation of the service does. Pure: a protocol; questions and answers are the tools' own."""

from __future__ import annotations

from typing import Protocol

from tailrace_services.call_coach.tools.analyze_call import AnalyzeCall, CallAnalysis
from tailrace_services.call_coach.tools.learning_insights import GetLearningInsights, LearningInsights
from tailrace_services.call_coach.tools.opportunity import AnalyzeOpportunity, OpportunityAnalysis
from tailrace_services.call_coach.tools.rep_insights import GetRepInsights, RepInsights
from tailrace_services.call_coach.tools.search_calls import FoundCalls, SearchCalls

__all__ = ["Coach"]


class Coach(Protocol):
    """Answers the tools' questions. Database trouble is raised as ``TailraceError``."""

    async def analyze_call(self, question: AnalyzeCall) -> CallAnalysis:
        """The analysis of a call; ``RequestError`` 404 if there is no such call."""
        ...

    async def get_rep_insights(self, question: GetRepInsights) -> RepInsights:
        """How a representative is doing; ``RequestError`` 404 if there is no such one."""
        ...

    async def analyze_opportunity(self, question: AnalyzeOpportunity) -> OpportunityAnalysis:
        """Where a sale stands; ``RequestError`` 404 if there is no such opportunity."""
        ...

    async def search_calls(self, question: SearchCalls) -> FoundCalls:
        """A page of the calls that fit; ``RequestError`` 400 or 422 if there is no such page or search."""
        ...

    async def get_learning_insights(self, question: GetLearningInsights) -> LearningInsights:
        """A representative beside the top performers; ``RequestError`` 404 if there is no such one."""
        ...
