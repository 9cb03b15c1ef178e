"""The Research Hub's tables and rows, as one value. Touches nothing by itself."""

from __future__ import annotations

from tailrace_services.data.service import ServiceData
from tailrace_services.research_hub.generator import GENERATION
from tailrace_services.research_hub.migrations import MIGRATIONS
from tailrace_services.research_hub.optimised.objects import objects

__all__ = ["DATA"]

DATA = ServiceData(
    service="research_hub",
    title="Research Hub",
    migrations=MIGRATIONS,
    generation=GENERATION,
    counted={
        "users": "users",
        "authors": "authors",
        "contents": "contents",
        "cards": "cards",
        "attributions": "attributions",
        "patterns": "patterns",
        "sessions": "research_sessions",
        "movements": "token_ledger",
    },
    newest="contents.scraped_at",
    imports="post_imports",
    objects=objects,
)
