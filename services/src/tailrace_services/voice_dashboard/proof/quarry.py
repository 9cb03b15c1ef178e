"""The Voice Dashboard as it is hunted: its customers' calls are counted, their agents have names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tailrace.verify.client import Request
from tailrace_services.data.connection import open_connection
from tailrace_services.hunt.observation import Observation
from tailrace_services.hunt.quarry import Cast, Endpoint, Quarry
from tailrace_services.voice_dashboard.data import DATA
from tailrace_services.voice_dashboard.proof import SUBJECT
from tailrace_services.voice_dashboard.proof.customers import load_customers

__all__ = ["QUARRY"]

JSON = {"Content-Type": "application/json"}


async def _load(url: str, count: int) -> Cast:
    """Users with two or more agents, and few enough calls that reads are about caches rather than rows."""
    people = [person for person in await load_customers(url) if len(person.agents) >= 2]
    chosen = sorted(people, key=lambda person: person.weight)[:count]
    async with open_connection(url) as connection:
        rows = await connection.fetch("SELECT id, name FROM agents WHERE is_active")
        last_call = await connection.fetchval("SELECT max(id) FROM calls")
    names: dict[int, str] = {row["id"]: row["name"] for row in rows}
    return Cast(
        {person.id: {agent: names[agent] for agent in person.agents} for person in chosen},
        {person.id: {"X-API-Key": person.key} for person in chosen},
        last_call,
    )


def _overview(_agent: int, body: Mapping[str, Any]) -> Observation:
    seen = Observation()
    seen.counts["overview conversations", None] = body["conversations"]["total"]
    seen.counts["overview interactions", None] = body["kpis"]["totalInteractions"]
    for call in body["recentActivity"]:
        seen.names[call["agentId"]] = call["agentName"]
    return seen


def _analytics(_agent: int, body: Mapping[str, Any]) -> Observation:
    seen = Observation()
    days, agents = body["callsPerDay"]["data"], body["agentComparison"]["data"]
    if days is not None:  # a part that was not ready in time says nothing, and nothing wrong
        seen.counts["analytics calls per day", None] = sum(day["calls"] for day in days)
    for agent in agents or ():
        seen.counts["analytics agent comparison", agent["agentId"]] = agent["calls"]
        seen.names[agent["agentId"]] = agent["name"]
    return seen


def _agents(_agent: int, body: Mapping[str, Any]) -> Observation:
    seen = Observation()
    for agent in body["agents"]:
        seen.counts["agents performance", agent["id"]] = agent["performance"]["conversations"]
        seen.names[agent["id"]] = agent["name"]
    return seen


def _record(_user: int, agent: int, _moment: str) -> Request:
    call = {"agentId": agent, "status": "completed", "durationMinutes": 1.5, "creditsUsed": 0.25}
    return Request("write", "/api/calls", "POST", JSON, json.dumps(call).encode())


def _rename(agent: int, name: str) -> Request:
    return Request("write", f"/api/agents/{agent}", "PATCH", JSON, json.dumps({"name": name}).encode())


def _insert(user: int, agent: int, moment: str) -> str:
    return (
        "INSERT INTO calls (user_id, agent_id, status, duration_minutes, credits_used, created_at) "  # noqa: S608
        f"VALUES ({int(user)}, {int(agent)}, 'completed', 2.5, 0.75, '{moment}')"
    )


def _update(agent: int, name: str) -> str:
    return f"UPDATE agents SET name = '{name}' WHERE id = {int(agent)}"  # noqa: S608 - names of our own making


QUARRY = Quarry(
    data=DATA,
    ready=SUBJECT.ready,
    simulator=SUBJECT.simulator,
    load=_load,
    endpoints={
        "overview": Endpoint("/api/dashboard/overview", _overview, 6),
        "analytics": Endpoint("/api/dashboard/analytics?days=7", _analytics, 3),
        "agents": Endpoint("/api/agents", _agents, 2),
        "agent": Endpoint("/api/agents/{agent}", lambda agent, body: _agents(agent, {"agents": [body]}), 1),
    },
    record=_record,
    rename=_rename,
    insert=_insert,
    update=_update,
    calls="SELECT agent_id, count(*) AS calls FROM calls WHERE user_id = $1 AND id > $2 GROUP BY agent_id",
    names="SELECT id, name FROM agents WHERE user_id = $1 AND is_active",
)
