"""What an answer of the voice dashboard shows: how many calls, which names, and whose they are. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["ENDPOINTS", "Observation", "observe", "target"]


@dataclass(slots=True)
class Observation:
    """Figures by (what is shown, whose): numbers of calls of the user (agent None) or of an agent; names by agent."""

    counts: dict[tuple[str, int | None], int] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)

    @property
    def agents(self) -> set[int]:
        """Every agent that is mentioned."""
        return set(self.names) | {agent for _, agent in self.counts if agent is not None}


def _overview(body: Mapping[str, Any]) -> Observation:
    seen = Observation()
    seen.counts["overview conversations", None] = body["conversations"]["total"]
    seen.counts["overview interactions", None] = body["kpis"]["totalInteractions"]
    for call in body["recentActivity"]:
        seen.names[call["agentId"]] = call["agentName"]
    return seen


def _analytics(body: Mapping[str, Any]) -> Observation:
    seen = Observation()
    days, agents = body["callsPerDay"]["data"], body["agentComparison"]["data"]
    if days is not None:  # a part that was not ready in time says nothing, and nothing wrong
        seen.counts["analytics calls per day", None] = sum(day["calls"] for day in days)
    for agent in agents or ():
        seen.counts["analytics agent comparison", agent["agentId"]] = agent["calls"]
        seen.names[agent["agentId"]] = agent["name"]
    return seen


def _agents(body: Mapping[str, Any]) -> Observation:
    seen = Observation()
    for agent in body["agents"]:
        seen.counts["agents performance", agent["id"]] = agent["performance"]["conversations"]
        seen.names[agent["id"]] = agent["name"]
    return seen


def _agent(body: Mapping[str, Any]) -> Observation:
    return _agents({"agents": [body]})


ENDPOINTS: Mapping[str, tuple[str, Callable[[Mapping[str, Any]], Observation]]] = {
    "overview": ("/api/dashboard/overview", _overview),
    "analytics": ("/api/dashboard/analytics?days=7", _analytics),
    "agents": ("/api/agents", _agents),
    "agent": ("/api/agents/{id}", _agent),
}
"""Name: path, and how its answers are read."""


def target(endpoint: str, agent: int) -> str:
    """The path to ask; ``agent`` for the one that is about an agent."""
    return ENDPOINTS[endpoint][0].replace("{id}", str(agent))


def observe(endpoint: str, body: Mapping[str, Any]) -> Observation:
    """What the answer ``body`` of ``endpoint`` shows.

    Raises:
        KeyError, TypeError: it is not such an answer.
    """
    return ENDPOINTS[endpoint][1](body)
