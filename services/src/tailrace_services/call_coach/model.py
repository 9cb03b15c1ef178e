"""The service's own tables. Touches nothing: declarations only.

They carry what the slow original had and nothing more: primary keys, unique constraints and foreign keys. There are no
secondary indexes here; the optimised side declares its own beside the queries that need them.

- Seconds are ``numeric``, so sums are exact; moments are ``timestamptz``; positions in a call are whole milliseconds
  from its beginning.
- A person who appears in several calls is a speaker in each of them, known by ``email``; imported transcripts often
  have none. ``reps`` has those who are coached, whose speakers carry the same email.
- A turn's speaker belongs to the turn's call: the composite foreign key says so. The unique constraint it refers to
  leads with ``speakers.id``, so it speeds up nothing that the primary key does not.
- ``transcripts.search`` is made by PostgreSQL from ``text``, so it cannot differ from it.
- ``call_analyses`` has whole analyses; the sessions of those that are current stand in ``coaching_sessions`` as well.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Computed,
    Date,
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
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TSVECTOR
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tailrace_services.data.tables import DatasetColumns, ImportColumns, Moment, new_metadata, one_of

__all__ = [
    "CALL_TYPES",
    "COMPANY_SIDES",
    "DIMENSIONS",
    "SEARCH_EXPRESSION",
    "STAGES",
    "AnalysisLease",
    "Base",
    "Call",
    "CallAnalysis",
    "CallMetrics",
    "CallOpportunity",
    "Caller",
    "CoachingSession",
    "Dataset",
    "Email",
    "Opportunity",
    "Rep",
    "Speaker",
    "TranscriptImport",
    "Turn",
]

CALL_TYPES = ("discovery", "demo", "negotiation", "follow_up", "renewal", "other")
COMPANY_SIDES = ("rep", "prospect", "partner")
DIMENSIONS = ("product_knowledge", "discovery", "objection_handling", "engagement")
STAGES = ("prospecting", "discovery", "evaluation", "proposal", "negotiation", "closed_won", "closed_lost")
SEARCH_EXPRESSION = "to_tsvector('english'::regconfig, text)"

Seconds = Numeric(10, 3)
EMPTY_LIST = text("'{}'::text[]")


class Base(DeclarativeBase):
    """Base of the service's tables."""

    metadata = new_metadata()


class Rep(Base):
    """A sales representative who is coached."""

    __tablename__ = "reps"
    __table_args__ = (UniqueConstraint("email"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    email: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    team: Mapped[str] = mapped_column(Text, server_default=text("''"))
    created_at: Mapped[datetime] = mapped_column(Moment, server_default=func.now())


class Call(Base):
    """A recorded call. ``product`` is None when nobody said what it was about."""

    __tablename__ = "calls"
    __table_args__ = (
        one_of("call_type", CALL_TYPES),
        CheckConstraint("duration_seconds >= 0", name="duration_seconds"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    title: Mapped[str] = mapped_column(Text)
    product: Mapped[str | None] = mapped_column(Text)
    call_type: Mapped[str] = mapped_column(Text, server_default=text("'other'"))
    scheduled_at: Mapped[datetime] = mapped_column(Moment)
    duration_seconds: Mapped[Decimal] = mapped_column(Seconds)
    created_at: Mapped[datetime] = mapped_column(Moment, server_default=func.now())


class Speaker(Base):
    """Somebody in one call. ``talk_time_seconds`` is the length of the speaker's turns together."""

    __tablename__ = "speakers"
    __table_args__ = (
        UniqueConstraint("id", "call_id"),
        one_of("company_side", COMPANY_SIDES),
        CheckConstraint("talk_time_seconds >= 0", name="talk_time_seconds"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    call_id: Mapped[int] = mapped_column(ForeignKey("calls.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(Text)
    email: Mapped[str | None] = mapped_column(Text)
    role: Mapped[str] = mapped_column(Text, server_default=text("''"))
    company_side: Mapped[str] = mapped_column(Text)
    talk_time_seconds: Mapped[Decimal] = mapped_column(Seconds, server_default=text("0"))


class Turn(Base):
    """What one speaker said until somebody else spoke or all fell silent; numbered from 1 in order of ``start_ms``."""

    __tablename__ = "transcripts"
    __table_args__ = (
        ForeignKeyConstraint(["speaker_id", "call_id"], ["speakers.id", "speakers.call_id"], ondelete="CASCADE"),
        CheckConstraint("start_ms >= 0 AND end_ms >= start_ms", name="times"),
        CheckConstraint("sequence_number >= 1", name="sequence_number"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    call_id: Mapped[int] = mapped_column(BigInteger)
    speaker_id: Mapped[int] = mapped_column(BigInteger)
    sequence_number: Mapped[int] = mapped_column(Integer)
    start_ms: Mapped[int] = mapped_column(Integer)
    end_ms: Mapped[int] = mapped_column(Integer)
    text: Mapped[str] = mapped_column(Text)
    search: Mapped[str] = mapped_column(TSVECTOR, Computed(SEARCH_EXPRESSION, persisted=True), nullable=True)


class Opportunity(Base):
    """A sale that may come about. ``health_score`` is None until somebody judged it."""

    __tablename__ = "opportunities"
    __table_args__ = (
        one_of("stage", STAGES),
        CheckConstraint("amount >= 0", name="amount"),
        CheckConstraint("health_score BETWEEN 0 AND 100", name="health_score"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    account: Mapped[str] = mapped_column(Text)
    owner_email: Mapped[str] = mapped_column(Text)
    stage: Mapped[str] = mapped_column(Text)
    amount: Mapped[Decimal] = mapped_column(Numeric(14, 2))
    close_date: Mapped[date] = mapped_column(Date)
    health_score: Mapped[int | None] = mapped_column(SmallInteger)
    created_at: Mapped[datetime] = mapped_column(Moment, server_default=func.now())


class CallOpportunity(Base):
    """A call that was about an opportunity."""

    __tablename__ = "call_opportunities"

    call_id: Mapped[int] = mapped_column(ForeignKey("calls.id", ondelete="CASCADE"), primary_key=True)
    opportunity_id: Mapped[int] = mapped_column(ForeignKey("opportunities.id", ondelete="CASCADE"), primary_key=True)


class Email(Base):
    """A message about an opportunity, from either side."""

    __tablename__ = "emails"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    opportunity_id: Mapped[int] = mapped_column(ForeignKey("opportunities.id", ondelete="CASCADE"))
    sender_email: Mapped[str] = mapped_column(Text)
    recipients: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=EMPTY_LIST)
    subject: Mapped[str] = mapped_column(Text)
    body: Mapped[str] = mapped_column(Text)
    sent_at: Mapped[datetime] = mapped_column(Moment)


class CoachingSession(Base):
    """How a rep did in a call, in one dimension, by one version of a rubric.

    ``evidence`` is a list of objects: ``sequence_number``, ``start_ms``, ``end_ms``, ``speaker``, ``quote``.
    """

    __tablename__ = "coaching_sessions"
    __table_args__ = (
        one_of("dimension", DIMENSIONS),
        CheckConstraint("score BETWEEN 0 AND 100", name="score"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    call_id: Mapped[int] = mapped_column(ForeignKey("calls.id", ondelete="CASCADE"))
    rep_id: Mapped[int] = mapped_column(ForeignKey("reps.id", ondelete="RESTRICT"))
    dimension: Mapped[str] = mapped_column(Text)
    score: Mapped[int] = mapped_column(SmallInteger)
    strengths: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=EMPTY_LIST)
    improvements: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=EMPTY_LIST)
    evidence: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, server_default=text("'[]'::jsonb"))
    rubric_version: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(Moment, server_default=func.now())


class CallAnalysis(Base):
    """An analysis of a call: one for each transcript that it has had and each version of a rubric.

    Attributes:
        transcript_version: of what was analysed, see ``transcript_version``.
        analysis: dimensions with scores, remarks and evidence, and the conversation's metrics.
        is_current: it is about the newest transcript that was analysed; coaching sessions are its.
        begun_at: when it was begun, by the database's clock; analysed_at: when, by the service's.
    """

    __tablename__ = "call_analyses"
    __table_args__ = (UniqueConstraint("call_id", "rubric_version", "transcript_version"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    call_id: Mapped[int] = mapped_column(ForeignKey("calls.id", ondelete="CASCADE"))
    rubric_version: Mapped[str] = mapped_column(Text)
    transcript_version: Mapped[str] = mapped_column(Text)
    analysis: Mapped[dict[str, Any]] = mapped_column(JSONB)
    is_current: Mapped[bool] = mapped_column(Boolean)
    begun_at: Mapped[datetime] = mapped_column(Moment, server_default=func.clock_timestamp())
    analysed_at: Mapped[datetime] = mapped_column(Moment)


class AnalysisLease(Base):
    """Who analyses a call just now. An owner that dies keeps others waiting until ``expires_at`` at most."""

    __tablename__ = "analysis_leases"

    call_id: Mapped[int] = mapped_column(ForeignKey("calls.id", ondelete="CASCADE"), primary_key=True)
    rubric_version: Mapped[str] = mapped_column(Text, primary_key=True)
    owner: Mapped[str] = mapped_column(Text)
    begun_at: Mapped[datetime] = mapped_column(Moment)
    expires_at: Mapped[datetime] = mapped_column(Moment)


class Caller(Base):
    """Who may ask as somebody: a person, known by ``email``, or a program, which has none."""

    __tablename__ = "callers"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    email: Mapped[str | None] = mapped_column(Text)
    api_key_hash: Mapped[str] = mapped_column(Text)
    is_active: Mapped[bool] = mapped_column(Boolean, server_default=text("true"))
    created_at: Mapped[datetime] = mapped_column(Moment, server_default=func.now())


class CallMetrics(Base):
    """The conversation metrics of a call, as they were last measured: good for exactly that transcript and definition.

    Attributes:
        definition: which version of the metrics' definitions.
        transcript_version: of what was measured, see ``transcript_version``.
    """

    __tablename__ = "call_metrics"

    call_id: Mapped[int] = mapped_column(ForeignKey("calls.id", ondelete="CASCADE"), primary_key=True)
    definition: Mapped[str] = mapped_column(Text)
    transcript_version: Mapped[str] = mapped_column(Text)
    metrics: Mapped[dict[str, Any]] = mapped_column(JSONB)


class Dataset(DatasetColumns, Base):
    """What was generated into this database."""

    reps: Mapped[int] = mapped_column(Integer)
    opportunities: Mapped[int] = mapped_column(Integer)
    calls: Mapped[int] = mapped_column(BigInteger)
    turns: Mapped[int] = mapped_column(BigInteger)
    emails: Mapped[int] = mapped_column(BigInteger)
    sessions: Mapped[int] = mapped_column(BigInteger)


class TranscriptImport(ImportColumns, Base):
    """A transcript that was imported; the same bytes are one call."""

    __tablename__ = "transcript_imports"
    __table_args__ = (UniqueConstraint("digest"),)

    call_id: Mapped[int] = mapped_column(ForeignKey("calls.id", ondelete="CASCADE"))
    format: Mapped[str] = mapped_column(Text)
