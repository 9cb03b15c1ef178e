"""Users and what they have researched. Touches: the database, where something is written."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, bindparam, func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from tailrace.schema import Declaration, Index
from tailrace_services.research_hub.api.schemas import NewSession, SessionView
from tailrace_services.research_hub.model import ResearchSession, User
from tailrace_services.research_hub.optimised.listing import Reading

__all__ = ["BY_EMAIL", "OBJECTS", "SESSIONS", "USERS", "create_session"]

sessions, users = ResearchSession.__table__.c, User.__table__.c

OBJECTS: tuple[Declaration, ...] = (
    Index("users_lower_email", User, [func.lower(users.email)]),
    Index("users_lower_username", User, [func.lower(users.username), users.id.desc()]),
    Index(
        "research_sessions_status_created",
        ResearchSession,
        [sessions.status, sessions.created_at.desc(), sessions.id.desc()],
    ),
)
"""Users by what they are called, in upper or lower case; sessions with a status in their order."""

_USERS: Select[*tuple[Any, ...]] = select(User.id, User.username, User.created_at)


def _user_view(row: Row[Any]) -> dict[str, Any]:
    return dict(row._mapping)


def _users(rows: Select[*tuple[Any, ...]]) -> Reading:
    return Reading(rows, _user_view, rows)


USERS = {
    False: _users(_USERS),
    True: _users(_USERS.where(func.lower(User.username) == func.lower(bindparam("username")))),
}
"""By whether a name is asked for."""

BY_EMAIL = _USERS.add_columns(User.email).where(func.lower(User.email) == func.lower(bindparam("email")))

_SESSIONS: Select[*tuple[Any, ...]] = select(
    *(ResearchSession.id, ResearchSession.user_id, User.username, ResearchSession.query, ResearchSession.status),
    ResearchSession.created_at,
).join(User, User.id == ResearchSession.user_id)


def _session_view(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "user": {"id": row.user_id, "username": row.username},
        "query": row.query,
        "status": row.status,
        "created_at": row.created_at,
    }


_OF_STATUS = ResearchSession.status == bindparam("status")
SESSIONS = Reading(_SESSIONS.where(_OF_STATUS), _session_view, select(ResearchSession.id).where(_OF_STATUS))


async def create_session(session: AsyncSession, user_id: int, asked: NewSession, now: datetime) -> SessionView:
    """Store a question. Cost: 2 round trips."""
    values = {"user_id": user_id, "query": asked.query, "created_at": now}
    made = await session.scalar(insert(ResearchSession).values(**values).returning(ResearchSession.id))
    return SessionView(**_session_view((await session.execute(_SESSIONS.where(ResearchSession.id == made))).one()))
