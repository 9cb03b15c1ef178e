"""Each service's data at its smallest, for the tests of what all services share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from tailrace_services.call_coach.data import DATA as CALL_COACH
from tailrace_services.call_coach.generator import Scale as CallCoachScale
from tailrace_services.data.service import ServiceData
from tailrace_services.research_hub.data import DATA as RESEARCH_HUB
from tailrace_services.research_hub.generator import Scale as ResearchHubScale
from tailrace_services.trading_desk.data import DATA as TRADING_DESK
from tailrace_services.trading_desk.generator import Scale as TradingDeskScale
from tailrace_services.voice_dashboard.data import DATA as VOICE_DASHBOARD
from tailrace_services.voice_dashboard.generator import Scale as VoiceDashboardScale

__all__ = ["SAMPLES", "Sample", "each_service"]


@dataclass(frozen=True)
class Sample:
    """A service and what its tests need: two scales, a row of somebody real, its largest table and a row for it."""

    data: ServiceData
    tiny: Any
    other: Any
    real_row: str
    largest: str
    one_more: str


SAMPLES = (
    Sample(
        VOICE_DASHBOARD,
        VoiceDashboardScale("tiny", 4000, 60),
        VoiceDashboardScale("wee", 2000, 60),
        "INSERT INTO users (email, api_key_hash) VALUES ('real@example.com', '')",
        "calls",
        "INSERT INTO calls (user_id, agent_id, status) VALUES (1, 1, 'completed') RETURNING id",
    ),
    Sample(
        CALL_COACH,
        CallCoachScale("tiny", 240, 4_800, 8, 60),
        CallCoachScale("wee", 60, 600, 5, 10),
        "INSERT INTO reps (email, name) VALUES ('real@example.com', 'Real')",
        "calls",
        "INSERT INTO calls (title, scheduled_at, duration_seconds) VALUES ('new', now(), 1) RETURNING id",
    ),
    Sample(
        RESEARCH_HUB,
        ResearchHubScale("tiny", 400, 20, 1200),
        ResearchHubScale("wee", 100, 5, 60),
        "INSERT INTO users (email, username) VALUES ('real@example.com', 'real')",
        "cards",
        "INSERT INTO cards (user_id, content_id, title, body) VALUES (1, 1, '', '') RETURNING id",
    ),
    Sample(
        TRADING_DESK,
        TradingDeskScale("tiny", 600, 12, 900),
        TradingDeskScale("wee", 30, 3, 40),
        "INSERT INTO traders (name, email, api_key_hash) VALUES ('Real', 'real@example.com', '')",
        "items",
        "INSERT INTO items (title, category, priority) VALUES ('', 'risk', 1) RETURNING id",
    ),
)

each_service = pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.data.service)
