"""The Call Coach's tables and rows, as one value. Touches nothing by itself."""

from __future__ import annotations

from tailrace_services.call_coach.generator import GENERATION
from tailrace_services.call_coach.migrations import MIGRATIONS
from tailrace_services.call_coach.optimised.objects import objects
from tailrace_services.data.service import ServiceData

__all__ = ["DATA"]

DATA = ServiceData(
    service="call_coach",
    title="Call Coach",
    migrations=MIGRATIONS,
    generation=GENERATION,
    counted={
        "reps": "reps",
        "opportunities": "opportunities",
        "calls": "calls",
        "turns": "transcripts",
        "emails": "emails",
        "sessions": "coaching_sessions",
    },
    newest="calls.scheduled_at",
    imports="transcript_imports",
    objects=objects,
)
