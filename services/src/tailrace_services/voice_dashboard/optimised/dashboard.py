"""The fast implementation of the service. Touches: the cache, the database and the voice provider."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TypeVar

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from tailrace.cache import Answer
from tailrace.clock import Clock
from tailrace.db import Database
from tailrace.errors import RequestError
from tailrace.fastapi import Tailrace
from tailrace_services.identity.accounts import CachedAccounts
from tailrace_services.voice_dashboard.api import figures, records
from tailrace_services.voice_dashboard.api.dashboard import NoAnswerError, Reply
from tailrace_services.voice_dashboard.api.requests import AgentChange, NewAgent, NewCall, NewLead
from tailrace_services.voice_dashboard.api.schemas import (
    AgentRow,
    CallRow,
    CreditBalance,
    LeadRow,
)
from tailrace_services.voice_dashboard.model import User
from tailrace_services.voice_dashboard.optimised.agents import AgentReader
from tailrace_services.voice_dashboard.optimised.analytics import DATASETS, read_analytics
from tailrace_services.voice_dashboard.optimised.answers import LIFE, Answers, Kind
from tailrace_services.voice_dashboard.optimised.archive import DatabaseArchive
from tailrace_services.voice_dashboard.optimised.cache_info import calculated_at, renew_cache_info, with_cache_info
from tailrace_services.voice_dashboard.optimised.overview import read_overview
from tailrace_services.voice_dashboard.optimised.rollups import account_tags
from tailrace_services.voice_dashboard.provider.client import VoiceProvider
from tailrace_services.voice_dashboard.provider.settings import VoiceProviderSettings

__all__ = ["OptimisedDashboard"]

T = TypeVar("T")

DEGRADED_LIFE = 1
"""Seconds for which agents without the provider's word are kept: soon asked again, yet not by every request."""

OVERVIEW = Kind("overview", timeout=5.0)
ANALYTICS = Kind("analytics", timeout=10.0)
AGENTS = Kind("agents", timeout=5.0)
AGENT = Kind("agent", timeout=5.0)


class OptimisedDashboard:
    """``Dashboard`` on Tailrace. It answers while ``running``.

    Answers are calculated here and kept by the response cache in front of the routes.

    Args:
        tailrace: its database has the objects that ``objects()`` declares.
        provider: how to talk to the voice provider.
        clock: the service's time, which a comparison may freeze.
    """

    def __init__(self, tailrace: Tailrace, provider: VoiceProviderSettings, clock: Clock) -> None:
        self._tailrace = tailrace
        self._provider_settings = provider
        self._clock = clock
        self._answers = Answers()
        self.accounts = CachedAccounts(tailrace, "voice-dashboard", records.FIND_ACCOUNT, account_tags)
        # Analytics take a connection for each data set, an overview takes one. Neither is ever given more than half of
        # the pool, and time limits do not run while a request queues here.
        pool = tailrace.settings.database
        half = (pool.pool_size + pool.max_overflow) // 2
        self._analysing = asyncio.Semaphore(max(1, half // len(DATASETS)))
        self._summarising = asyncio.Semaphore(max(1, half))
        self._agents: AgentReader | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Between Tailrace's start and its stop."""
        tailrace = self._tailrace
        async with VoiceProvider(
            self._provider_settings,
            cache=tailrace.cache,
            archive=DatabaseArchive(self._database),
            clock=tailrace.clock,
            observer=tailrace.observer,
        ) as provider:
            self._agents = AgentReader(self._database, provider, tailrace.clock)
            try:
                yield
            finally:
                self._agents = None

    @property
    def _database(self) -> Database:
        database = self._tailrace.database
        assert database is not None
        return database

    @property
    def _reader(self) -> AgentReader:
        assert self._agents is not None
        return self._agents

    def _now(self) -> datetime:
        """The moment to calculate for: an answer may be calculated in the background, long after a request came."""
        return datetime.fromtimestamp(self._clock.now(), UTC)

    # --- reads -------------------------------------------------------------------------------------------------------

    async def overview(self, user_id: int, now: datetime, *, only_cached: bool = False) -> Reply:
        """Says of itself that it was calculated; the cache that keeps it renews that when it is sent again."""
        if only_cached:
            raise RequestError("the answer is not in the cache", status=504, code="CACHE_MISS")

        async def calculate() -> Reply:
            present = self._now()
            content = await read_overview(self._database, user_id, present)
            moment = present.isoformat().replace("+00:00", "Z").encode("ascii")
            return Reply(with_cache_info(content.json_bytes(), Answer(b"", "miss", 0.0, 0.0, LIFE), moment))

        try:
            key = OVERVIEW.key(user_id)
            return await self._answers.calculate(OVERVIEW, calculate, key, _body, slots=self._summarising)
        except NoAnswerError as error:
            known = error.last_known
            if known is not None:
                age = max(0.0, self._clock.now() - calculated_at(known))
                error.last_known = renew_cache_info(known, Answer(b"", "stale", 0.0, age, 0.0))
            raise

    async def analytics(self, user_id: int, days: int, now: datetime) -> Reply:
        """Partial answers are given, not kept."""

        async def calculate() -> Reply:
            analytics = await read_analytics(self._database, user_id, days, self._now())
            return Reply(analytics.json_bytes(), 0 if analytics.partial else None)

        key = ANALYTICS.key(user_id, days)
        return await self._answers.calculate(ANALYTICS, calculate, key, _body, slots=self._analysing)

    async def agents(self, user_id: int, now: datetime) -> Reply:
        """Degraded answers are kept for a second."""

        async def calculate() -> Reply:
            agents = await self._reader.all(user_id, self._now())
            return Reply(agents.json_bytes(), DEGRADED_LIFE if agents.degraded else None)

        return await self._answers.calculate(AGENTS, calculate, AGENTS.key(user_id), _body)

    async def agent(self, user_id: int, agent_id: int, now: datetime) -> Reply:
        """Degraded answers are kept for a second."""

        async def calculate() -> Reply:
            agent = await self._reader.one(user_id, agent_id, self._now())
            return Reply(agent.json_bytes(), DEGRADED_LIFE if agent.degraded else None)

        return await self._answers.calculate(AGENT, calculate, AGENT.key(user_id, agent_id), _body)

    async def configuration(self, user_id: int, agent_id: int, now: datetime) -> Reply:
        """Degraded answers are kept for a second."""
        answer = await self._reader.configuration(user_id, agent_id)
        return Reply(answer.json_bytes(), DEGRADED_LIFE if answer.degraded else None)

    async def credits(self, user_id: int) -> CreditBalance:
        """One row by primary key."""
        rows = await self._database.fetch(select(User.credits).where(User.id == user_id))
        return CreditBalance(credits=figures.money(rows[0].credits))

    # --- writes ------------------------------------------------------------------------------------------------------

    async def record_call(self, user_id: int, call: NewCall, now: datetime) -> CallRow:
        """One transaction; ends the user's overview, analytics and agents."""
        return await self._write(lambda session: records.record_call(session, user_id, call, now))

    async def record_lead(self, user_id: int, call_id: int, lead: NewLead, now: datetime) -> LeadRow:
        """One transaction; ends the user's overview and analytics."""
        return await self._write(lambda session: records.record_lead(session, user_id, call_id, lead, now))

    async def create_agent(self, user_id: int, agent: NewAgent, now: datetime) -> AgentRow:
        """One transaction; ends the user's overview, analytics and agents."""
        return await self._write(lambda session: records.create_agent(session, user_id, agent, now))

    async def change_agent(self, user_id: int, agent_id: int, change: AgentChange) -> AgentRow:
        """One transaction; ends the user's overview, analytics and agents."""
        return await self._write(lambda session: records.change_agent(session, user_id, agent_id, change))

    async def delete_agent(self, user_id: int, agent_id: int) -> None:
        """One transaction; ends the user's overview, analytics and agents."""
        await self._write(lambda session: records.delete_agent(session, user_id, agent_id))

    async def _write(self, work: Callable[[AsyncSession], Awaitable[T]]) -> T:
        return await self._database.run(work)


def _body(reply: Reply) -> bytes:
    return reply.body
