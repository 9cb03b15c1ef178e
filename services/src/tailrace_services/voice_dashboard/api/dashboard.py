"""What an implementation of the service does. Pure: a protocol and its value types."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from tailrace.errors import RequestError, TailraceError
from tailrace_services.identity.accounts import Accounts
from tailrace_services.voice_dashboard.api.requests import AgentChange, NewAgent, NewCall, NewLead
from tailrace_services.voice_dashboard.api.schemas import AgentRow, CallRow, CreditBalance, LeadRow

__all__ = ["Dashboard", "NoAnswerError", "Reply", "agent_not_found", "call_not_found"]


@dataclass(frozen=True, slots=True)
class Reply:
    """The body of a read, as JSON, ready to send.

    Attributes:
        body: one shape for every implementation.
        max_age: seconds for which it may be kept when that is shorter than usual; 0: not at all.
    """

    body: bytes
    max_age: int | None = None


class NoAnswerError(Exception):
    """An answer could not be calculated.

    Args:
        reason: why; it decides the status and the code.
        last_known: the JSON of the newest answer that was calculated before, or None.
    """

    def __init__(self, reason: TailraceError, last_known: bytes | None) -> None:
        super().__init__(str(reason))
        self.reason = reason
        self.last_known = last_known


class Dashboard(Protocol):
    """Answers for one user at one moment.

    ``user_id`` is always an authenticated, active user. What belongs to another user does not exist: every method that
    takes an id raises ``RequestError`` (404) for it. Database trouble is raised as ``TailraceError``.
    """

    @property
    def accounts(self) -> Accounts:
        """The users."""
        ...

    async def overview(self, user_id: int, now: datetime, *, only_cached: bool = False) -> Reply:
        """An ``Overview``. With ``only_cached``, ``RequestError`` 504 ``CACHE_MISS`` rather than calculating one."""
        ...

    async def analytics(self, user_id: int, days: int, now: datetime) -> Reply:
        """An ``Analytics`` of ``days`` UTC days, today included."""
        ...

    async def agents(self, user_id: int, now: datetime) -> Reply:
        """An ``AgentList``."""
        ...

    async def agent(self, user_id: int, agent_id: int, now: datetime) -> Reply:
        """An ``AgentView``."""
        ...

    async def configuration(self, user_id: int, agent_id: int, now: datetime) -> Reply:
        """An ``AgentConfigurationAnswer``."""
        ...

    async def credits(self, user_id: int) -> CreditBalance:
        """The balance: one row by primary key."""
        ...

    async def record_call(self, user_id: int, call: NewCall, now: datetime) -> CallRow:
        """Store a call and take its credits from the user, in one transaction."""
        ...

    async def record_lead(self, user_id: int, call_id: int, lead: NewLead, now: datetime) -> LeadRow:
        """Store an analysis of a call."""
        ...

    async def create_agent(self, user_id: int, agent: NewAgent, now: datetime) -> AgentRow:
        """Store an agent; ``RequestError`` 409 if its external id is taken."""
        ...

    async def change_agent(self, user_id: int, agent_id: int, change: AgentChange) -> AgentRow:
        """Change an agent's named fields."""
        ...

    async def delete_agent(self, user_id: int, agent_id: int) -> None:
        """Delete an agent; its calls stay."""
        ...


def agent_not_found(agent_id: int) -> RequestError:
    """The error for an agent that is not this user's, or is deleted, or never was."""
    return RequestError(f"there is no agent {agent_id}", status=404, code="AGENT_NOT_FOUND")


def call_not_found(call_id: int) -> RequestError:
    """The error for a call that is not this user's or never was."""
    return RequestError(f"there is no call {call_id}", status=404, code="CALL_NOT_FOUND")
