"""The Voice Dashboard's tables and rows, as one value. Touches nothing by itself."""

from __future__ import annotations

from tailrace_services.data.service import ServiceData
from tailrace_services.voice_dashboard.generator import GENERATION
from tailrace_services.voice_dashboard.migrations import MIGRATIONS
from tailrace_services.voice_dashboard.optimised.rollups import objects

__all__ = ["DATA"]

DATA = ServiceData(
    service="voice_dashboard",
    title="Voice Dashboard",
    migrations=MIGRATIONS,
    generation=GENERATION,
    counted={"users": "users", "agents": "agents", "calls": "calls", "leads": "lead_analytics"},
    newest="calls.created_at",
    imports="campaign_imports",
    objects=objects,
)
