"""The writes of the mix: through the API as users make them, and by raw SQL as an operator with psql does. Touches: the
network and the database.

Every write belongs to one user, so that whoever holds that user's lock knows that nothing changes under them.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from random import Random
from typing import Any

from tailrace.verify.client import Request
from tailrace.verify.http1 import Response
from tailrace_services.prove.subject import Execute
from tailrace_services.voice_dashboard.proof.customers import Customer

__all__ = ["SQL_WRITES", "CustomerWriter", "new_call", "sql_write"]

STATUSES = ("completed", "failed", "no_answer", "busy", "in_progress")
JSON = {"Content-Type": "application/json"}
KINDS = ("call", "call", "call", "lead", "change", "create", "delete")
"""The kinds of write, as often as they are drawn."""


def _post(name: str, path: str, customer: Customer, body: dict[str, Any], method: str = "POST") -> Request:
    return Request(name, path, method, {**customer.headers, **JSON}, json.dumps(body).encode())


def new_call(customer: Customer, random: Random) -> Request:
    """A call that one of the customer's agents made just now."""
    body = {
        "agentId": random.choice(customer.agents),
        "status": random.choice(STATUSES),
        "durationMinutes": random.randrange(0, 20_000) / 1000,
        "creditsUsed": random.randrange(0, 500) / 100,
    }
    return _post("POST calls", "/api/calls", customer, body)


def new_lead(customer: Customer, random: Random, call: int) -> Request:
    """An analysis of the call ``call``."""
    return _post("POST lead", f"/api/calls/{call}/lead", customer, {"totalScore": random.randrange(101)})


def change_agent(customer: Customer, random: Random) -> Request:
    """Another name or status for one of the customer's agents."""
    body = random.choice(
        [
            {"name": f"Agent {random.randrange(10**9)}"},
            {"status": random.choice(["active", "draft", "paused"])},
            {"description": f"Changed {random.randrange(10**9)}"},
        ]
    )
    return _post("PATCH agent", f"/api/agents/{random.choice(customer.agents)}", customer, body, "PATCH")


def new_agent(customer: Customer, random: Random) -> Request:
    """One more agent."""
    return _post("POST agents", "/api/agents", customer, {"name": f"New {random.randrange(10**9)}", "type": "support"})


def delete_agent(customer: Customer, agent: int) -> Request:
    """Away with an agent that was created before."""
    return Request("DELETE agent", f"/api/agents/{agent}", "DELETE", customer.headers)


class CustomerWriter:
    """What one customer writes, knowing the calls and agents that it made before."""

    def __init__(self, customer: Customer) -> None:
        self._customer = customer
        self._calls: list[int] = []
        self._agents: list[int] = []

    def usual(self, random: Random) -> Request:
        """Mostly calls that were made, sometimes an analysis of one or a change of an agent."""
        kind = random.random()
        if kind < 0.2:
            return change_agent(self._customer, random)
        if kind < 0.4 and self._calls:
            return new_lead(self._customer, random, self._calls[-1])
        return new_call(self._customer, random)

    def any(self, random: Random) -> Request:
        """Every kind of write about as often, calls more often."""
        kind = random.choice(KINDS)
        if kind == "lead" and self._calls:
            return new_lead(self._customer, random, random.choice(self._calls))
        if kind == "change":
            return change_agent(self._customer, random)
        if kind == "create" and len(self._agents) < 3:
            return new_agent(self._customer, random)
        if kind == "delete" and self._agents:
            return delete_agent(self._customer, self._agents.pop())
        return new_call(self._customer, random)

    def take(self, request: Request, response: Response) -> None:
        """Remember the numbers of what was made."""
        if request.name == "POST calls":
            self._calls.append(response.json()["id"])
        elif request.name == "POST agents":
            self._agents.append(response.json()["id"])

    def forget(self) -> None:
        """psql may have deleted any call."""
        self._calls.clear()


# Each takes (user, agent, moment, number): a statement must not need to know more than that.
SQL_WRITES = (
    # one call
    """INSERT INTO calls (user_id, agent_id, status, duration_minutes, credits_used, created_at)
       VALUES ($1, $2, (ARRAY['completed','failed','busy'])[1 + $4::int % 3], ($4::int % 9000) / 1000.0, 1.25, $3)""",
    # many calls over many days and hours, some outside every window
    """INSERT INTO calls (user_id, agent_id, status, duration_minutes, credits_used, created_at)
       SELECT $1, $2, 'completed', n / 10.0, 0.5, $3::timestamptz - n * interval '7 hours' - $4::int * interval '1 s'
       FROM generate_series(1, 40) AS n""",
    # an outcome corrected afterwards
    """UPDATE calls SET status = CASE status WHEN 'completed' THEN 'failed' ELSE 'completed' END,
              duration_minutes = duration_minutes + 0.125
       WHERE id IN (SELECT id FROM calls WHERE user_id = $1 AND agent_id = $2 AND $4::int >= 0
                    AND created_at <= $3 ORDER BY created_at DESC, id DESC LIMIT 3)""",
    # a call moved to another day
    """UPDATE calls SET created_at = created_at - interval '1 day'
       WHERE id IN (SELECT id FROM calls WHERE user_id = $1 AND agent_id = $2 AND $4::int >= 0
                    AND created_at <= $3 ORDER BY created_at DESC, id DESC OFFSET 5 LIMIT 2)""",
    # calls removed, and their leads with them
    """DELETE FROM calls
       WHERE id IN (SELECT id FROM calls WHERE user_id = $1 AND agent_id = $2 AND $4::int >= 0
                    AND created_at <= $3 ORDER BY created_at DESC, id DESC OFFSET 10 LIMIT 2)""",
    # leads, two of one call among them
    """INSERT INTO lead_analytics (call_id, total_score, created_at)
       SELECT id, ($4::int + n * 37) % 101, $3
       FROM (SELECT id FROM calls WHERE user_id = $1 AND agent_id = $2 AND created_at <= $3
             ORDER BY created_at DESC, id DESC LIMIT 3) AS newest, generate_series(1, 2) AS n""",
    # scores corrected across a threshold
    """UPDATE lead_analytics SET total_score = 100 - total_score
       WHERE id IN (SELECT l.id FROM lead_analytics l JOIN calls c ON c.id = l.call_id
                    WHERE c.user_id = $1 AND c.agent_id = $2 AND $4::int >= 0 AND c.created_at <= $3
                    ORDER BY c.created_at DESC, l.id LIMIT 4)""",
    # leads removed
    """DELETE FROM lead_analytics
       WHERE id IN (SELECT l.id FROM lead_analytics l JOIN calls c ON c.id = l.call_id
                    WHERE c.user_id = $1 AND c.agent_id = $2 AND $4::int >= 0 AND c.created_at <= $3
                    ORDER BY c.created_at DESC, l.id LIMIT 1)""",
    # a name
    """UPDATE agents SET name = 'Renamed ' || $4::int::text
       WHERE user_id = $1 AND id = $2 AND $3::timestamptz IS NOT NULL""",
    # a balance
    """UPDATE users SET credits = credits + 10
       WHERE id = $1 AND $2::bigint > 0 AND $3::timestamptz IS NOT NULL AND $4::int >= 0""",
)
"""What psql does to a user's rows: inserts, updates and deletes on either side of every join."""


async def sql_write(execute: Execute, customer: Customer, random: Random, now: datetime) -> None:
    """One statement of ``SQL_WRITES`` on the customer's rows, committed."""
    moment = now - timedelta(seconds=random.randrange(0, 3 * 24 * 3600))
    agent, number = random.choice(customer.agents), random.randrange(10**6)
    await execute(random.choice(SQL_WRITES), customer.id, agent, moment, number)
