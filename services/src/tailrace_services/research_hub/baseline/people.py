"""Users and research sessions as they were. Touches: the database."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from tailrace.fastapi import Listing, RequestedPage
from tailrace_services.plain_listing import fetch_listing
from tailrace_services.research_hub.api.hub import user_not_found
from tailrace_services.research_hub.api.schemas import (
    NewSession,
    SessionStatus,
    SessionView,
    UserDetails,
    UserName,
    UserView,
)
from tailrace_services.research_hub.model import ResearchSession, User

__all__ = ["create_session", "find_user", "sessions", "users"]


async def users(session: AsyncSession, page: RequestedPage, username: str | None) -> Listing[Any]:
    """Users."""
    statement = select(User)
    if username is not None:
        statement = statement.where(func.lower(User.username) == func.lower(username))

    async def describe(user: User) -> UserView:
        return UserView(id=user.id, username=user.username, created_at=user.created_at)

    return await fetch_listing(session, page, statement, describe)


async def find_user(session: AsyncSession, email: str) -> UserDetails:
    """Every user's address is looked at."""
    user = (await session.scalars(select(User).where(func.lower(User.email) == func.lower(email)))).first()
    if user is None:
        raise user_not_found()
    return UserDetails(id=user.id, username=user.username, created_at=user.created_at, email=user.email)


async def sessions(session: AsyncSession, page: RequestedPage, status: SessionStatus) -> Listing[Any]:
    """Sessions, and for each its user."""

    async def describe(row: ResearchSession) -> SessionView:
        return await _described(session, row)

    statement = select(ResearchSession).where(ResearchSession.status == status)
    return await fetch_listing(session, page, statement, describe)


async def create_session(session: AsyncSession, user_id: int, asked: NewSession, now: datetime) -> SessionView:
    """Store a question."""
    made = ResearchSession(user_id=user_id, query=asked.query, status="queued", created_at=now)
    session.add(made)
    await session.flush()
    return await _described(session, made)


async def _described(session: AsyncSession, row: ResearchSession) -> SessionView:
    user = (await session.scalars(select(User).where(User.id == row.user_id))).one()
    return SessionView.model_validate(
        {
            "id": row.id,
            "user": UserName(id=user.id, username=user.username),
            "query": row.query,
            "status": row.status,
            "created_at": row.created_at,
        }
    )
