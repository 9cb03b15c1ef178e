"""The statements that write, and the reads by primary key: the same in both implementations, for they were never slow.

Touches: the database, through the session it is given, inside the caller's transaction. Every statement names the user,
so a foreign id is simply not found.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, insert, null, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from tailrace.errors import RequestError
from tailrace_services.identity.accounts import HOLDER
from tailrace_services.voice_dashboard.api.dashboard import agent_not_found, call_not_found
from tailrace_services.voice_dashboard.api.figures import money, utc
from tailrace_services.voice_dashboard.api.requests import AgentChange, NewAgent, NewCall, NewLead, call_moment
from tailrace_services.voice_dashboard.api.schemas import AgentRow, CallRow, CreditBalance, LeadRow
from tailrace_services.voice_dashboard.model import Agent, Call, LeadAnalytics, User

__all__ = [
    "FIND_ACCOUNT",
    "agent_row",
    "change_agent",
    "create_agent",
    "delete_agent",
    "read_credits",
    "record_call",
    "record_lead",
]


FIND_ACCOUNT = select(User.api_key_hash, User.is_active, null()).where(User.id == HOLDER)
"""The user's key hash and standing; the id alone says whose requests they are."""


async def read_credits(session: AsyncSession, user_id: int) -> CreditBalance:
    """The user's balance. Cost: 1 round trip."""
    balance = (await session.execute(select(User.credits).where(User.id == user_id))).scalar_one()
    return CreditBalance(credits=money(balance))


async def record_call(session: AsyncSession, user_id: int, call: NewCall, now: datetime) -> CallRow:
    """Store the call and take its credits from the balance, which may fall below zero: the call has been made.

    Cost: 3 round trips. Raises:
        RequestError: the agent is not the user's (404), the moment is out of range (422).
    """
    moment = call_moment(call.created_at, now)
    owned = select(Agent.id).where(Agent.id == call.agent_id, Agent.user_id == user_id, Agent.is_active)
    if await session.scalar(owned) is None:
        raise agent_not_found(call.agent_id)
    statement = (
        insert(Call)
        .values(
            user_id=user_id,
            agent_id=call.agent_id,
            status=call.status,
            duration_minutes=call.duration_minutes,
            credits_used=call.credits_used,
            created_at=moment,
        )
        .returning(Call.id)
    )
    call_id = (await session.execute(statement)).scalar_one()
    if call.credits_used:
        await session.execute(
            update(User)
            .where(User.id == user_id)
            .values(credits=User.credits - call.credits_used)
            .execution_options(synchronize_session=False)
        )
    return CallRow(
        id=call_id,
        agent_id=call.agent_id,
        status=call.status,
        duration_minutes=float(call.duration_minutes),
        credits_used=float(call.credits_used),
        created_at=utc(moment),
    )


async def record_lead(session: AsyncSession, user_id: int, call_id: int, lead: NewLead, now: datetime) -> LeadRow:
    """Store an analysis of the call; a call may be analysed again. Cost: 2 round trips.

    Raises:
        RequestError: the call is not the user's (404).
    """
    owned = select(Call.id).where(Call.id == call_id, Call.user_id == user_id)
    if await session.scalar(owned) is None:
        raise call_not_found(call_id)
    statement = (
        insert(LeadAnalytics)
        .values(call_id=call_id, total_score=lead.total_score, created_at=now)
        .returning(LeadAnalytics.id)
    )
    lead_id = (await session.execute(statement)).scalar_one()
    return LeadRow(id=lead_id, call_id=call_id, total_score=lead.total_score, created_at=utc(now))


def agent_row(agent: Agent) -> AgentRow:
    """A stored agent as it is shown."""
    return AgentRow(
        id=agent.id,
        external_id=agent.external_id,
        name=agent.name,
        type=agent.type,
        status=agent.status,  # type: ignore[arg-type]  # a check constraint allows nothing else
        description=agent.description,
        created_at=utc(agent.created_at),
    )


async def create_agent(session: AsyncSession, user_id: int, agent: NewAgent, now: datetime) -> AgentRow:
    """Store the agent. Without an external id it gets one made from its id. Cost: 2 round trips.

    Raises:
        RequestError: the external id is taken (409).
    """
    sequence = func.nextval(func.pg_get_serial_sequence("agents", "id"))
    agent_id = (await session.execute(select(sequence))).scalar_one()
    statement = (
        upsert(Agent)
        .values(
            id=agent_id,
            user_id=user_id,
            external_id=agent.external_id or f"agent_local_{agent_id}",
            name=agent.name,
            type=agent.type,
            status=agent.status,
            description=agent.description,
            created_at=now,
        )
        .on_conflict_do_nothing(index_elements=[Agent.external_id])
        .returning(Agent)
    )
    stored = (await session.execute(statement)).scalar_one_or_none()
    if stored is None:
        raise RequestError("externalId is taken", status=409, code="EXTERNAL_ID_TAKEN")
    return agent_row(stored)


async def change_agent(session: AsyncSession, user_id: int, agent_id: int, change: AgentChange) -> AgentRow:
    """Change the named fields. Cost: 1 round trip.

    Raises:
        RequestError: the agent is not the user's or is deleted (404).
    """
    statement = (
        update(Agent)
        .where(Agent.id == agent_id, Agent.user_id == user_id, Agent.is_active)
        .values(change.model_dump(exclude_unset=True))
        .returning(Agent)
        .execution_options(synchronize_session=False)
    )
    stored = (await session.execute(statement)).scalar_one_or_none()
    if stored is None:
        raise agent_not_found(agent_id)
    return agent_row(stored)


async def delete_agent(session: AsyncSession, user_id: int, agent_id: int) -> None:
    """Mark the agent deleted: it is shown no longer, its calls still count. Cost: 1 round trip.

    Raises:
        RequestError: the agent is not the user's or is deleted already (404).
    """
    statement = (
        update(Agent)
        .where(Agent.id == agent_id, Agent.user_id == user_id, Agent.is_active)
        .values(is_active=False)
        .returning(Agent.id)
        .execution_options(synchronize_session=False)
    )
    if (await session.execute(statement)).scalar_one_or_none() is None:
        raise agent_not_found(agent_id)
