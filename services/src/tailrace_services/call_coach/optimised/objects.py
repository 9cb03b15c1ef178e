"""What the optimised service keeps in its database beyond the original's tables. Pure: declarations."""

from __future__ import annotations

from tailrace.schema import Declaration
from tailrace_services.call_coach.optimised import (
    analysis_rows,
    call_counts,
    call_search,
    coaching_rollups,
    opportunity,
    rep_insights,
)
from tailrace_services.call_coach.optimised.watches import WATCHES

__all__ = ["objects"]


def objects() -> list[Declaration]:
    """Everything that is declared, for ``plan`` and ``apply``."""
    return [
        *WATCHES,
        *analysis_rows.OBJECTS,
        *coaching_rollups.OBJECTS,
        *rep_insights.OBJECTS,
        *opportunity.OBJECTS,
        *call_search.OBJECTS,
        *call_counts.OBJECTS,
    ]
