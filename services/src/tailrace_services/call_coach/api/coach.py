"""What an implementation of the service does. Pure: a protocol; questions and answers are the tools' own."""

from __future__ import annotations

from typing import Protocol

from tailrace_services.call_coach.tools.analyze_call import AnalyzeCall, CallAnalysis

__all__ = ["Coach"]


class Coach(Protocol):
    """Answers the tools' questions. Database trouble is raised as ``TailraceError``."""

    async def analyze_call(self, question: AnalyzeCall) -> CallAnalysis:
        """The analysis of a call; ``RequestError`` 404 if there is no such call."""
        ...
