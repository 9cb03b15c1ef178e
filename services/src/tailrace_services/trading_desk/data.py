"""The Trading Desk's tables and rows, as one value. Touches nothing by itself."""

from __future__ import annotations

from tailrace_services.data.service import ServiceData
from tailrace_services.trading_desk.generator import GENERATION
from tailrace_services.trading_desk.migrations import MIGRATIONS
from tailrace_services.trading_desk.optimised.objects import objects

__all__ = ["DATA"]

DATA = ServiceData(
    service="trading_desk",
    title="Trading Desk",
    migrations=MIGRATIONS,
    generation=GENERATION,
    counted={"traders": "traders", "items": "items", "audit_entries": "audit_log", "signals": "signals"},
    newest="items.created_at",
    imports="imports",
    objects=objects,
)
