"""The service's own tables. Touches nothing: declarations only.

They carry what the slow original had and nothing more: primary keys, unique constraints and foreign keys. There are
no secondary indexes here; the optimised side declares its indexes and its ``agent_analytics`` rollup through
Tailrace, beside the queries that need them.

- Money and minutes are ``numeric``, so sums are exact; moments are ``timestamptz``, and days are UTC days.
- A call's agent belongs to the call's user: the composite foreign key says so, and with ``agents.user_id -> users``
  it implies that the user exists, so ``calls`` needs no second one. The unique constraint it refers to leads with
  ``agents.id``, so it speeds up nothing that the primary key does not.
- A deleted agent keeps its calls: deleting sets ``is_active`` to false, and the foreign keys restrict anything else.
- ``lead_analytics.call_id`` is not unique: a call may be analysed again, and each analysis is a lead. Generated and
  imported data have at most one for a call.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Integer,
    Numeric,
    SmallInteger,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tailrace_services.data.tables import DatasetColumns, ImportColumns, Moment, new_metadata, one_of

__all__ = [
    "AGENT_STATUSES",
    "CALL_STATUSES",
    "Agent",
    "Base",
    "Call",
    "CampaignImport",
    "Dataset",
    "LeadAnalytics",
    "ProviderConfiguration",
    "User",
]

AGENT_STATUSES = ("active", "draft", "paused")
CALL_STATUSES = ("completed", "failed", "no_answer", "busy", "in_progress")

Minutes = Numeric(10, 3)
Credits = Numeric(14, 2)


class Base(DeclarativeBase):
    """Base of the service's tables."""

    metadata = new_metadata()


class User(Base):
    """A customer. ``credits`` is the current balance."""

    __tablename__ = "users"
    __table_args__ = (UniqueConstraint("email"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    email: Mapped[str] = mapped_column(Text)
    api_key_hash: Mapped[str] = mapped_column(Text)
    credits: Mapped[Decimal] = mapped_column(Credits, server_default=text("0"))
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    created_at: Mapped[datetime] = mapped_column(Moment, server_default=func.now())


class Agent(Base):
    """A voice agent. ``external_id`` is its name at the voice provider."""

    __tablename__ = "agents"
    __table_args__ = (
        UniqueConstraint("external_id"),
        UniqueConstraint("id", "user_id"),
        one_of("status", AGENT_STATUSES),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="RESTRICT"))
    external_id: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    type: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text, server_default=text("''"))
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    created_at: Mapped[datetime] = mapped_column(Moment, server_default=func.now())


class ProviderConfiguration(Base):
    """The last configuration that the voice provider gave of an agent, for when it does not answer.

    A table of its own, by the provider's name of the agent: what refreshes it changes no row that answers depend on.
    """

    __tablename__ = "provider_configurations"

    external_id: Mapped[str] = mapped_column(Text, primary_key=True)
    configuration: Mapped[dict[str, Any]] = mapped_column(JSONB)
    fetched_at: Mapped[datetime] = mapped_column(Moment)


class Call(Base):
    """A phone call made or taken by an agent."""

    __tablename__ = "calls"
    __table_args__ = (
        ForeignKeyConstraint(["agent_id", "user_id"], ["agents.id", "agents.user_id"], ondelete="RESTRICT"),
        one_of("status", CALL_STATUSES),
        CheckConstraint("duration_minutes >= 0", name="duration_minutes"),
        CheckConstraint("credits_used >= 0", name="credits_used"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(BigInteger)
    agent_id: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[str] = mapped_column(Text)
    duration_minutes: Mapped[Decimal] = mapped_column(Minutes, server_default=text("0"))
    credits_used: Mapped[Decimal] = mapped_column(Credits, server_default=text("0"))
    created_at: Mapped[datetime] = mapped_column(Moment, server_default=func.now())


class LeadAnalytics(Base):
    """What an analysis made of a call: how promising a lead it is, 0 to 100."""

    __tablename__ = "lead_analytics"
    __table_args__ = (CheckConstraint("total_score BETWEEN 0 AND 100", name="total_score"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    call_id: Mapped[int] = mapped_column(ForeignKey("calls.id", ondelete="CASCADE"))
    total_score: Mapped[int] = mapped_column(SmallInteger)
    created_at: Mapped[datetime] = mapped_column(Moment, server_default=func.now())


class Dataset(DatasetColumns, Base):
    """What was generated into this database."""

    users: Mapped[int] = mapped_column(Integer)
    agents: Mapped[int] = mapped_column(Integer)
    calls: Mapped[int] = mapped_column(BigInteger)
    leads: Mapped[int] = mapped_column(BigInteger)


class CampaignImport(ImportColumns, Base):
    """A file of calls that was imported."""

    __tablename__ = "campaign_imports"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="RESTRICT"))
    rows_imported: Mapped[int] = mapped_column(BigInteger)
    rows_rejected: Mapped[int] = mapped_column(BigInteger)
