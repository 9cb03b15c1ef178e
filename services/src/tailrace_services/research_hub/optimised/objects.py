"""What the optimised service keeps in its database beyond the original's tables. Pure: declarations."""

from __future__ import annotations

from tailrace.schema import Declaration
from tailrace_services.research_hub.optimised import cards, collection, people, research, token_balances
from tailrace_services.research_hub.optimised.watches import WATCHES

__all__ = ["objects"]


def objects() -> list[Declaration]:
    """Everything that is declared, for ``plan`` and ``apply``."""
    return [
        *WATCHES,
        *cards.OBJECTS,
        *collection.OBJECTS,
        *people.OBJECTS,
        *token_balances.OBJECTS,
        *research.SEARCH.objects(),
    ]
