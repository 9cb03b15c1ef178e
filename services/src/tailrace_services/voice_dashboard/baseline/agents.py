"""Agents, as they were. Touches: the database and the voice provider, one agent after another."""

from __future__ import annotations

import json
from datetime import datetime

import httpx2
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from tailrace.errors import UpstreamTimeoutError, UpstreamUnavailableError
from tailrace_services.voice_dashboard.api import figures
from tailrace_services.voice_dashboard.api.configuration import configuration_view
from tailrace_services.voice_dashboard.api.dashboard import agent_not_found
from tailrace_services.voice_dashboard.api.records import agent_row
from tailrace_services.voice_dashboard.api.schemas import (
    AgentConfiguration,
    AgentConfigurationAnswer,
    AgentList,
    AgentView,
)
from tailrace_services.voice_dashboard.api.windows import rolling
from tailrace_services.voice_dashboard.baseline.analytics import agent_totals
from tailrace_services.voice_dashboard.model import Agent

__all__ = ["ProviderCalls", "calculate_agent", "calculate_agents", "calculate_configuration"]

TIMEOUT = 30.0
"""Seconds to wait for the provider."""


class ProviderCalls:
    """The provider's API, called plainly: a new connection each time, no second attempt.

    Args:
        base_url: where the provider's API is.
        api_key: sent as ``xi-api-key``.
    """

    def __init__(self, base_url: str, api_key: str) -> None:
        self._base_url = base_url.rstrip("/")
        self._api_key = api_key

    async def configuration(self, external_id: str) -> AgentConfiguration | None:
        """The agent's configuration; None if the provider does not know the agent.

        Raises:
            UpstreamTimeoutError: no answer in time.
            UpstreamUnavailableError: any other failure.
        """
        url = f"{self._base_url}/v1/convai/agents/{external_id}"
        try:
            async with httpx2.AsyncClient(timeout=TIMEOUT) as client:
                response = await client.get(url, headers={"xi-api-key": self._api_key})
            if response.status_code == httpx2.codes.NOT_FOUND:
                return None
            response.raise_for_status()
            return configuration_view(json.loads(response.text))
        except httpx2.TimeoutException as error:
            raise UpstreamTimeoutError("the voice provider did not answer in time") from error
        except (httpx2.HTTPError, ValueError, AttributeError) as error:
            raise UpstreamUnavailableError("the voice provider failed") from error


async def calculate_agents(session: AsyncSession, provider: ProviderCalls, user_id: int, now: datetime) -> AgentList:
    """Every agent of the user: its figures, then its configuration, then the next agent."""
    statement = select(Agent).where(Agent.user_id == user_id, Agent.is_active).order_by(Agent.id)
    agents = (await session.execute(statement)).scalars().all()
    views = [await _view(session, provider, agent, now) for agent in agents]
    return AgentList(agents=views, degraded=False, calculated_at=now)


async def calculate_agent(
    session: AsyncSession, provider: ProviderCalls, user_id: int, agent_id: int, now: datetime
) -> AgentView:
    """One agent."""
    return await _view(session, provider, await _find(session, user_id, agent_id), now)


async def calculate_configuration(
    session: AsyncSession, provider: ProviderCalls, user_id: int, agent_id: int
) -> AgentConfigurationAnswer:
    """One agent's configuration."""
    agent = await _find(session, user_id, agent_id)
    configuration = await provider.configuration(agent.external_id)
    return AgentConfigurationAnswer(agent_id=agent.id, external_id=agent.external_id, configuration=configuration)


async def _find(session: AsyncSession, user_id: int, agent_id: int) -> Agent:
    statement = select(Agent).where(Agent.id == agent_id, Agent.user_id == user_id, Agent.is_active)
    agent = (await session.execute(statement)).scalar_one_or_none()
    if agent is None:
        raise agent_not_found(agent_id)
    return agent


async def _view(session: AsyncSession, provider: ProviderCalls, agent: Agent, now: datetime) -> AgentView:
    totals = await agent_totals(session, agent.id, rolling(now))
    configuration = await provider.configuration(agent.external_id)
    return AgentView(**dict(agent_row(agent)), performance=figures.performance(totals), configuration=configuration)
