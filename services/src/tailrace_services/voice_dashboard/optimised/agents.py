"""Agents: one statement for all figures beside all configurations at once. Touches: the database, the voice provider.

The provider's trouble never becomes the caller's: what it did not give in time is the last known configuration, or
none, and the agent is marked degraded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select

from tailrace.clock import Clock
from tailrace.db import Database
from tailrace_services.voice_dashboard.api import figures
from tailrace_services.voice_dashboard.api.configuration import configuration_view
from tailrace_services.voice_dashboard.api.dashboard import agent_not_found
from tailrace_services.voice_dashboard.api.schemas import (
    AgentConfigurationAnswer,
    AgentList,
    AgentView,
    DegradedReason,
)
from tailrace_services.voice_dashboard.api.windows import rolling
from tailrace_services.voice_dashboard.model import Agent
from tailrace_services.voice_dashboard.optimised.agent_figures import BY_AGENT, ONE_AGENT
from tailrace_services.voice_dashboard.optimised.spans import cut
from tailrace_services.voice_dashboard.provider.client import ProviderAnswer, Reason, VoiceProvider

__all__ = ["AgentReader"]

REASONS: Mapping[Reason, DegradedReason] = {
    "timeout": "EXTERNAL_API_TIMEOUT",
    "failed": "EXTERNAL_API_RETRY_FAILED",
    "rejected": "EXTERNAL_API_REJECTED",
    "suspended": "EXTERNAL_API_SUSPENDED",
}


class AgentReader:
    """Reads agents with what the provider says of them.

    Args:
        database: the service's own.
        provider: answers with what there is, always.
        clock: of the provider's client, for the age of configurations.
    """

    def __init__(self, database: Database, provider: VoiceProvider, clock: Clock) -> None:
        self._database = database
        self._provider = provider
        self._clock = clock

    async def all(self, user_id: int, now: datetime) -> AgentList:
        """Every agent of the user.

        The ids come first, by a statement of their own, so that the provider is asked while the figures are summed.

        Raises:
            DatabaseError: one of its kinds. The provider's trouble is none.
        """
        owned = select(Agent.external_id).where(Agent.user_id == user_id, Agent.is_active).order_by(Agent.id)
        names = [row.external_id for row in await self._database.fetch(owned)]
        asking = asyncio.create_task(self._provider.configurations(names))
        try:
            rows = await self._database.fetch(BY_AGENT, {**cut(rolling(now)), "user_id": user_id})
            answers = await asking
        finally:  # what the provider was asked for goes on and fills the cache; only this wait for it ends
            asking.cancel()
            await asyncio.wait([asking])
        created = [row.external_id for row in rows if row.external_id not in answers]
        if created:  # between the two statements
            answers |= await self._provider.configurations(created)
        views = [self._view(row, answers[row.external_id]) for row in rows]
        return AgentList(agents=views, degraded=any(view.degraded for view in views), calculated_at=now)

    async def one(self, user_id: int, agent_id: int, now: datetime) -> AgentView:
        """One agent.

        Raises:
            RequestError: it is not the user's (404).
            DatabaseError: one of its kinds.
        """
        parameters = {**cut(rolling(now)), "user_id": user_id, "agent_id": agent_id}
        rows = await self._database.fetch(ONE_AGENT, parameters)
        if not rows:
            raise agent_not_found(agent_id)
        return self._view(rows[0], await self._provider.configuration(rows[0].external_id))

    async def configuration(self, user_id: int, agent_id: int) -> AgentConfigurationAnswer:
        """One agent's configuration.

        Raises:
            RequestError: the agent is not the user's (404).
            DatabaseError: one of its kinds.
        """
        owned = select(Agent.external_id).where(Agent.id == agent_id, Agent.user_id == user_id, Agent.is_active)
        rows = await self._database.fetch(owned)
        if not rows:
            raise agent_not_found(agent_id)
        external_id: str = rows[0].external_id
        answer = await self._provider.configuration(external_id)
        return AgentConfigurationAnswer(agent_id=agent_id, external_id=external_id, **self._configured(answer))

    def _view(self, row: Row[Any], answer: ProviderAnswer) -> AgentView:
        totals = figures.AgentTotals(row.calls, row.successful, row.minutes, row.credits)
        return AgentView(
            id=row.id,
            external_id=row.external_id,
            name=row.name,
            type=row.type,
            status=row.status,
            description=row.description,
            created_at=figures.utc(row.created_at),
            performance=figures.performance(totals),
            **self._configured(answer),
        )

    def _configured(self, answer: ProviderAnswer) -> dict[str, Any]:
        payload, known = answer.payload, answer.configuration
        age = None
        if answer.reason is not None and known is not None and payload is not None:
            age = round(max(0.0, self._clock.now() - known.fetched_at), 3)
        return {
            "configuration": None if payload is None else configuration_view(payload),
            "configuration_age": age,
            "degraded": answer.reason is not None,
            "degraded_reason": None if answer.reason is None else REASONS[answer.reason],
        }
