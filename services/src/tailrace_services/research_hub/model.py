"""The service's own tables. Touches nothing: declarations only.

They carry what the slow original had and nothing more: primary keys, unique constraints and foreign keys. There are no
secondary indexes here; the optimised side declares its own beside the queries that need them.

- A post is known by its address: ``contents.url`` is the post's own, not that of what it links to.
- A card is a draft until it has ``published_at``.
- ``token_ledger`` has a row for each movement of tokens, never changed: what somebody has is what came less what went.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    ForeignKey,
    Identity,
    Integer,
    LargeBinary,
    Numeric,
    SmallInteger,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tailrace_services.data.tables import DatasetColumns, ImportColumns, Moment, new_metadata, one_of

__all__ = [
    "DIMENSIONS",
    "MOVEMENTS",
    "PATTERN_TYPES",
    "SESSION_STATUSES",
    "ApiKey",
    "Attribution",
    "Author",
    "Base",
    "Card",
    "Content",
    "Dataset",
    "IdempotencyKey",
    "Movement",
    "Pattern",
    "PostImport",
    "ResearchSession",
    "User",
]

DIMENSIONS = 384
"""Of an embedding."""
PATTERN_TYPES = ("trend", "theme", "format", "contradiction", "anomaly")
SESSION_STATUSES = ("queued", "running", "done", "failed")
MOVEMENTS = ("grant", "reward", "transfer", "fee")


class Base(DeclarativeBase):
    """Base of the service's tables."""

    metadata = new_metadata()


class User(Base):
    """Somebody who researches and publishes."""

    __tablename__ = "users"
    __table_args__ = (UniqueConstraint("email"), UniqueConstraint("username"))

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    email: Mapped[str] = mapped_column(Text)
    username: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(Moment, server_default=func.now())


class ApiKey(Base):
    """A key by which somebody asks as a user; an ``administrator``'s also opens what is for operators."""

    __tablename__ = "api_keys"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    key_hash: Mapped[str] = mapped_column(Text)
    active: Mapped[bool] = mapped_column(Boolean, server_default=text("true"))
    administrator: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    last_used_at: Mapped[datetime | None] = mapped_column(Moment)


class Author(Base):
    """Whoever writes on a platform, known there by ``username``."""

    __tablename__ = "authors"
    __table_args__ = (
        UniqueConstraint("platform", "username"),
        CheckConstraint("followers >= 0", name="followers"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    platform: Mapped[str] = mapped_column(Text)
    username: Mapped[str] = mapped_column(Text)
    display_name: Mapped[str] = mapped_column(Text)
    followers: Mapped[int] = mapped_column(Integer, server_default=text("0"))


class Content(Base):
    """A post that was collected. ``metrics`` has what the platform says of it by name: figures, or where it stands."""

    __tablename__ = "contents"
    __table_args__ = (UniqueConstraint("url"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    author_id: Mapped[int] = mapped_column(ForeignKey("authors.id", ondelete="RESTRICT"))
    platform: Mapped[str] = mapped_column(Text)
    url: Mapped[str] = mapped_column(Text)
    title: Mapped[str] = mapped_column(Text)
    body: Mapped[str] = mapped_column(Text)
    scraped_at: Mapped[datetime] = mapped_column(Moment, server_default=func.now())
    published_at: Mapped[datetime] = mapped_column(Moment)
    analyzed_at: Mapped[datetime | None] = mapped_column(Moment)
    embedding: Mapped[Any | None] = mapped_column(HALFVEC(DIMENSIONS), deferred=True)
    metrics: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'::jsonb"))


class Pattern(Base):
    """Something that several posts have in common. A post of ``content_ids`` may have been removed since."""

    __tablename__ = "patterns"
    __table_args__ = (
        one_of("type", PATTERN_TYPES),
        CheckConstraint("confidence_score BETWEEN 0 AND 1", name="confidence_score"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    type: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text)
    confidence_score: Mapped[Decimal] = mapped_column(Numeric(4, 3))
    discovered_at: Mapped[datetime] = mapped_column(Moment, server_default=func.now())
    content_ids: Mapped[list[int]] = mapped_column(ARRAY(BigInteger), server_default=text("'{}'::bigint[]"))


class ResearchSession(Base):
    """A question that a user has had researched, or waits for."""

    __tablename__ = "research_sessions"
    __table_args__ = (one_of("status", SESSION_STATUSES),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    query: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text, server_default=text("'queued'"))
    created_at: Mapped[datetime] = mapped_column(Moment, server_default=func.now())


class Card(Base):
    """What a user wrote about a post."""

    __tablename__ = "cards"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    content_id: Mapped[int] = mapped_column(ForeignKey("contents.id", ondelete="RESTRICT"))
    title: Mapped[str] = mapped_column(Text)
    body: Mapped[str] = mapped_column(Text)
    published_at: Mapped[datetime | None] = mapped_column(Moment)
    created_at: Mapped[datetime] = mapped_column(Moment, server_default=func.now())


class Attribution(Base):
    """By how much a card goes back to a post: ``weight`` is a share of 1."""

    __tablename__ = "attributions"
    __table_args__ = (CheckConstraint("weight > 0 AND weight <= 1", name="weight"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    card_id: Mapped[int] = mapped_column(ForeignKey("cards.id", ondelete="CASCADE"))
    content_id: Mapped[int] = mapped_column(ForeignKey("contents.id", ondelete="RESTRICT"))
    weight: Mapped[Decimal] = mapped_column(Numeric(5, 4))


class Movement(Base):
    """Tokens that went from one user to another; from nobody when they were made, to nobody when they were taken."""

    __tablename__ = "token_ledger"
    __table_args__ = (
        one_of("type", MOVEMENTS),
        CheckConstraint("amount > 0", name="amount"),
        CheckConstraint("from_user_id IS DISTINCT FROM to_user_id", name="parties"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    from_user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="RESTRICT"))
    to_user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="RESTRICT"))
    type: Mapped[str] = mapped_column(Text)
    amount: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(Moment, server_default=func.now())


class IdempotencyKey(Base):
    """A write that a user has asked for under a name of their own, and what was answered to it.

    Attributes:
        fingerprint: SHA-256 of what was asked for.
        status, body: the answer; None until there is one.
    """

    __tablename__ = "idempotency_keys"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    fingerprint: Mapped[str] = mapped_column(Text)
    status: Mapped[int | None] = mapped_column(SmallInteger)
    body: Mapped[bytes | None] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(Moment, server_default=func.now())


class Dataset(DatasetColumns, Base):
    """What was generated into this database."""

    users: Mapped[int] = mapped_column(Integer)
    authors: Mapped[int] = mapped_column(Integer)
    contents: Mapped[int] = mapped_column(BigInteger)
    cards: Mapped[int] = mapped_column(BigInteger)
    attributions: Mapped[int] = mapped_column(BigInteger)
    patterns: Mapped[int] = mapped_column(BigInteger)
    sessions: Mapped[int] = mapped_column(BigInteger)
    movements: Mapped[int] = mapped_column(BigInteger)


class PostImport(ImportColumns, Base):
    """A file of posts that was imported."""

    __tablename__ = "post_imports"
    __table_args__ = (UniqueConstraint("digest"),)

    imported: Mapped[int] = mapped_column(Integer)
    rejected: Mapped[int] = mapped_column(Integer)
