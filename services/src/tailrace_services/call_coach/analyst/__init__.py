"""Analysis of calls: conversation metrics by published definitions, and scores by a rubric with a version."""

from __future__ import annotations

from tailrace_services.call_coach.analyst.analysis import Analysis, Analyst, ConversationMetrics, Dimension, Evidence
from tailrace_services.call_coach.analyst.conversation import Conversation, Turn
from tailrace_services.call_coach.analyst.metrics import Metrics, measure
from tailrace_services.call_coach.analyst.rubric import RUBRIC_VERSION

__all__ = [
    "RUBRIC_VERSION",
    "Analysis",
    "Analyst",
    "Conversation",
    "ConversationMetrics",
    "Dimension",
    "Evidence",
    "Metrics",
    "Turn",
    "measure",
]
