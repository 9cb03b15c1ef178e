"""The fast implementation of the service. Touches: the cache, the database and the voice provider."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from tailrace.cache import Answer, Cache, CachePolicy, Computed, Uncacheable
from tailrace.clock import Clock
from tailrace.db import Database
from tailrace.errors import RequestError
from tailrace_services.voice_dashboard.api import figures, records
from tailrace_services.voice_dashboard.api.dashboard import Account, NoAnswerError
from tailrace_services.voice_dashboard.api.requests import AgentChange, NewAgent, NewCall, NewLead
from tailrace_services.voice_dashboard.api.schemas import (
    AgentRow,
    CallRow,
    CreditBalance,
    LeadRow,
)
from tailrace_services.voice_dashboard.model import User
from tailrace_services.voice_dashboard.optimised.agents import AgentReader
from tailrace_services.voice_dashboard.optimised.analytics import read_analytics
from tailrace_services.voice_dashboard.optimised.answers import Answers, Kind
from tailrace_services.voice_dashboard.optimised.overview import read_overview
from tailrace_services.voice_dashboard.optimised.rollups import (
    account_tags,
    agent_tags,
    analytics_tags,
    overview_tags,
)
from tailrace_services.voice_dashboard.provider.client import VoiceProvider

__all__ = ["OptimisedDashboard"]

T = TypeVar("T")

LIFE = 60.0
"""Seconds for which an answer that moves with time alone is kept. Writes end it at once."""

DEGRADED_LIFE = 1.0
"""Seconds for which agents without the provider's word are kept: soon asked again, yet not by every request."""

OVERVIEW = Kind(CachePolicy("overview", LIFE, warm=True), timeout=5.0)
ANALYTICS = Kind(CachePolicy("analytics", LIFE, warm=True), timeout=10.0)
AGENTS = Kind(CachePolicy("agents", LIFE), timeout=5.0)
AGENT = Kind(CachePolicy("agent", LIFE), timeout=5.0)
ACCOUNTS = CachePolicy("account", ttl=600.0)

SECRET = text("SELECT secret FROM tailrace.installation")


class OptimisedDashboard:
    """``Dashboard`` on Tailrace.

    Args:
        database: with the objects that ``objects()`` declares.
        cache: kept fresh by that database.
        provider: the voice provider's client.
        clock: the service's time, which a comparison may freeze.
        wall: the machine's time, for ages.
        era: part of every cache key.
    """

    def __init__(
        self, database: Database, cache: Cache, provider: VoiceProvider, *, clock: Clock, wall: Clock, era: str = ""
    ) -> None:
        self._database = database
        self._cache = cache
        self._clock = clock
        self._answers = Answers(cache, era)
        self._agents = AgentReader(database, provider, wall)
        self._secret: bytes | None = None

    def _now(self) -> datetime:
        """The moment to calculate for: an answer may be calculated in the background, long after a request came."""
        return datetime.fromtimestamp(self._clock.now(), UTC)

    # --- who asks ----------------------------------------------------------------------------------------------------

    async def account(self, user_id: int) -> Account | None:
        """From the cache; a change of the user's row is known at once."""
        key, tags = f"voice-dashboard:account:user={user_id}", account_tags(user_id)
        answer = self._cache.peek(key, policy=ACCOUNTS, depends_on=tags)
        if answer is None:
            answer = await self._cache.read_through(
                key, lambda: self._read_account(user_id), policy=ACCOUNTS, depends_on=tags
            )
        if not answer.value:
            return None
        is_active, key_hash = answer.value.decode().split(" ")
        return Account(user_id, key_hash, is_active == "active")

    async def _read_account(self, user_id: int) -> bytes | Uncacheable:
        rows = await self._database.fetch(select(User.api_key_hash, User.is_active).where(User.id == user_id))
        if not rows:
            return Uncacheable(b"")  # or anybody could fill the cache with users that do not exist
        return f"{'active' if rows[0].is_active else 'inactive'} {rows[0].api_key_hash}".encode()

    async def token_secret(self) -> bytes:
        """Made from the database's own: the same in every process, another one for every installation."""
        if self._secret is None:
            (row,) = await self._database.fetch(SECRET)
            self._secret = hmac.digest(bytes(row.secret), b"voice-dashboard bearer tokens", hashlib.sha256)
        return self._secret

    # --- reads -------------------------------------------------------------------------------------------------------

    async def overview(self, user_id: int, now: datetime, *, only_cached: bool = False) -> bytes:
        """A hit is the stored JSON with a few fresh bytes at its end: nothing is parsed or serialised."""
        tags = overview_tags(user_id)
        answer = self._answers.peek(OVERVIEW, tags, user_id)
        if answer is None and only_cached:
            raise RequestError("the answer is not in the cache", status=504, code="CACHE_MISS")
        if answer is None:
            try:
                answer = await self._answers.read(OVERVIEW, tags, lambda: self._overview(user_id), user_id)
            except NoAnswerError as error:
                if error.last_known is not None:
                    error.last_known = _with_cache_info(Answer(error.last_known, "stale", 0.0, 0.0, 0.0))
                raise
        return _with_cache_info(answer)

    async def _overview(self, user_id: int) -> bytes:
        now = self._now()
        content = await read_overview(self._database, user_id, now)
        return now.isoformat().encode() + b"\n" + content.json_bytes()

    async def analytics(self, user_id: int, days: int, now: datetime) -> bytes:
        """Partial answers are given, not kept."""
        tags = analytics_tags(user_id)
        answer = self._answers.peek(ANALYTICS, tags, user_id, days)
        if answer is None:
            answer = await self._answers.read(ANALYTICS, tags, lambda: self._analytics(user_id, days), user_id, days)
        return answer.value

    async def _analytics(self, user_id: int, days: int) -> bytes | Uncacheable:
        analytics = await read_analytics(self._database, user_id, days, self._now())
        body = analytics.json_bytes()
        return Uncacheable(body) if analytics.partial else body

    async def agents(self, user_id: int, now: datetime) -> bytes:
        """Degraded answers are kept for a second."""
        tags = agent_tags(user_id)
        answer = self._answers.peek(AGENTS, tags, user_id)
        if answer is None:
            answer = await self._answers.read(AGENTS, tags, lambda: self._all_agents(user_id), user_id)
        return answer.value

    async def _all_agents(self, user_id: int) -> bytes | Computed:
        agents = await self._agents.all(user_id, self._now())
        return _life(agents.json_bytes(), agents.degraded)

    async def agent(self, user_id: int, agent_id: int, now: datetime) -> bytes:
        """Degraded answers are kept for a second."""
        tags = agent_tags(user_id)
        answer = await self._answers.read(AGENT, tags, lambda: self._one_agent(user_id, agent_id), user_id, agent_id)
        return answer.value

    async def _one_agent(self, user_id: int, agent_id: int) -> bytes | Computed:
        agent = await self._agents.one(user_id, agent_id, self._now())
        return _life(agent.json_bytes(), agent.degraded)

    async def configuration(self, user_id: int, agent_id: int, now: datetime) -> bytes:
        """The provider's client caches what it says; whose the agent is, is read every time."""
        return (await self._agents.configuration(user_id, agent_id)).json_bytes()

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


def _life(body: bytes, degraded: bool) -> bytes | Computed:
    return Computed(body, DEGRADED_LIFE) if degraded else body


def _with_cache_info(answer: Answer) -> bytes:
    """The stored overview with where it comes from put before its closing brace."""
    calculated_at, _, content = answer.value.partition(b"\n")
    stale = answer.status == "stale"
    info = json.dumps(
        {
            "status": answer.status,
            "age": round(answer.age, 3),
            "expires": round(answer.expires_in, 3),
            "calculatedAt": calculated_at.decode().replace("+00:00", "Z"),
            "stale": stale,
        },
        separators=(",", ":"),
    )
    return content[:-1] + b',"cacheInfo":' + info.encode() + b"}"
