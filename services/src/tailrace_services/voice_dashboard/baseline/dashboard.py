"""The slow implementation of the service. Touches: the database and the voice provider."""

from __future__ import annotations

from datetime import datetime

from tailrace.clock import Clock
from tailrace.errors import RequestError
from tailrace_services.identity.accounts import PlainAccounts
from tailrace_services.plain_sessions import Sessions
from tailrace_services.voice_dashboard.api import records
from tailrace_services.voice_dashboard.api.dashboard import Reply
from tailrace_services.voice_dashboard.api.requests import AgentChange, NewAgent, NewCall, NewLead
from tailrace_services.voice_dashboard.api.schemas import AgentRow, CallRow, CreditBalance, LeadRow
from tailrace_services.voice_dashboard.baseline.agents import (
    ProviderCalls,
    calculate_agent,
    calculate_agents,
    calculate_configuration,
)
from tailrace_services.voice_dashboard.baseline.analytics import calculate_analytics
from tailrace_services.voice_dashboard.baseline.overview import KpiCache, calculate_overview

__all__ = ["BaselineDashboard"]


class BaselineDashboard:
    """``Dashboard`` without Tailrace, on any database that has the service's tables.

    Args:
        database_url: of the database.
        provider_url: where the voice provider's API is.
        provider_key: its API key.
        clock: for the cache's keys.
    """

    def __init__(self, database_url: str, *, provider_url: str, provider_key: str, clock: Clock) -> None:
        self._sessions = Sessions(database_url)
        self._provider = ProviderCalls(provider_url, provider_key)
        self._cache = KpiCache(clock)
        self.accounts = PlainAccounts(self._sessions, records.FIND_ACCOUNT)

    async def overview(self, user_id: int, now: datetime, *, only_cached: bool = False) -> Reply:
        """Calculated every time."""
        if only_cached:
            raise RequestError("the answer is not in the cache", status=504, code="CACHE_MISS")
        async with self._sessions.begin() as session:
            return Reply((await calculate_overview(self._cache, session, user_id, now)).json_bytes())

    async def analytics(self, user_id: int, days: int, now: datetime) -> Reply:
        """Calculated every time."""
        async with self._sessions.begin() as session:
            return Reply((await calculate_analytics(session, user_id, days, now)).json_bytes())

    async def agents(self, user_id: int, now: datetime) -> Reply:
        """Calculated and fetched every time; holds a database connection while it waits for the provider."""
        async with self._sessions.begin() as session:
            return Reply((await calculate_agents(session, self._provider, user_id, now)).json_bytes())

    async def agent(self, user_id: int, agent_id: int, now: datetime) -> Reply:
        """Calculated and fetched every time."""
        async with self._sessions.begin() as session:
            return Reply((await calculate_agent(session, self._provider, user_id, agent_id, now)).json_bytes())

    async def configuration(self, user_id: int, agent_id: int, now: datetime) -> Reply:
        """Fetched every time."""
        async with self._sessions.begin() as session:
            return Reply((await calculate_configuration(session, self._provider, user_id, agent_id)).json_bytes())

    async def credits(self, user_id: int) -> CreditBalance:
        """One row by primary key."""
        async with self._sessions.begin() as session:
            return await records.read_credits(session, user_id)

    async def record_call(self, user_id: int, call: NewCall, now: datetime) -> CallRow:
        """One transaction."""
        async with self._sessions.begin() as session:
            return await records.record_call(session, user_id, call, now)

    async def record_lead(self, user_id: int, call_id: int, lead: NewLead, now: datetime) -> LeadRow:
        """One transaction."""
        async with self._sessions.begin() as session:
            return await records.record_lead(session, user_id, call_id, lead, now)

    async def create_agent(self, user_id: int, agent: NewAgent, now: datetime) -> AgentRow:
        """One transaction."""
        async with self._sessions.begin() as session:
            return await records.create_agent(session, user_id, agent, now)

    async def change_agent(self, user_id: int, agent_id: int, change: AgentChange) -> AgentRow:
        """One transaction."""
        async with self._sessions.begin() as session:
            return await records.change_agent(session, user_id, agent_id, change)

    async def delete_agent(self, user_id: int, agent_id: int) -> None:
        """One transaction."""
        async with self._sessions.begin() as session:
            await records.delete_agent(session, user_id, agent_id)

    async def aclose(self) -> None:
        """Close every database connection."""
        await self._sessions.aclose()
