"""The service's own tables. Touches nothing: declarations only.

They carry what the slow original had and nothing more: primary keys, unique constraints and foreign keys. There are no
secondary indexes here; the optimised side declares its own beside the queries that need them.

- An item's ``priority`` is a number, so that it has an order: its position in :data:`PRIORITIES`, from 1.
- An item's ``words`` are a column that the original does not look at: its searches take the texts apart themselves.
- ``audit_log`` has a row for each change of an item, written with it; it outlives the item.
- ``signals`` only grows. Prices are ``numeric``, so that sums of them are exact in whatever order they are added. Its
  key begins with the time, since engines that part a table by time want it in every unique key.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    ForeignKey,
    Identity,
    Integer,
    Numeric,
    PrimaryKeyConstraint,
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
    "ACTIONS",
    "PRIORITIES",
    "SIGNAL_TYPES",
    "STATUSES",
    "AuditEntry",
    "Base",
    "Dataset",
    "Import",
    "Item",
    "Signal",
    "Trader",
]

STATUSES = ("open", "in_progress", "in_review", "done")
PRIORITIES = ("low", "medium", "high", "critical")
ACTIONS = ("created", "changed", "deleted")
SIGNAL_TYPES = ("quote", "buy", "sell", "close")


class Base(DeclarativeBase):
    """Base of the service's tables."""

    metadata = new_metadata()


class Trader(Base):
    """Somebody at the desk."""

    __tablename__ = "traders"
    __table_args__ = (UniqueConstraint("email"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    email: Mapped[str] = mapped_column(Text)
    api_key_hash: Mapped[str] = mapped_column(Text)
    is_active: Mapped[bool] = mapped_column(Boolean, server_default=text("true"))
    created_at: Mapped[datetime] = mapped_column(Moment, server_default=func.now())


ITEM_WORDS = "to_tsvector('english'::regconfig, (title || ' '::text) || description)"
"""An item's words, as questions are compared with them."""


class Item(Base):
    """Something to be done, which everybody at the desk sees."""

    __tablename__ = "items"
    __table_args__ = (
        one_of("status", STATUSES),
        CheckConstraint(f"priority BETWEEN 1 AND {len(PRIORITIES)}", name="priority"),
        CheckConstraint("jsonb_typeof(metadata) = 'object'", name="metadata"),
        Column("words", TSVECTOR, Computed(ITEM_WORDS, persisted=True)),
    )
    # Only searches look at the words: nobody reads them with an item, or has them returned by a write.
    __mapper_args__ = {"exclude_properties": ["words"]}  # noqa: RUF012 - SQLAlchemy declares it

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    title: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text, server_default=text("''"))
    category: Mapped[str] = mapped_column(Text)
    priority: Mapped[int] = mapped_column(SmallInteger)
    status: Mapped[str] = mapped_column(Text, server_default=text("'open'"))
    tags: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'::text[]"))
    details: Mapped[dict[str, Any]] = mapped_column("metadata", JSONB, server_default=text("'{}'::jsonb"))
    created_at: Mapped[datetime] = mapped_column(Moment, server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(Moment, server_default=func.now())


class AuditEntry(Base):
    """That a trader created, changed or deleted an item: ``changes`` has ``[before, after]`` of each field."""

    __tablename__ = "audit_log"
    __table_args__ = (one_of("action", ACTIONS),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    item_id: Mapped[int] = mapped_column(BigInteger)
    trader_id: Mapped[int] = mapped_column(ForeignKey("traders.id", ondelete="RESTRICT"))
    action: Mapped[str] = mapped_column(Text)
    changes: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(Moment, server_default=func.now())


class Signal(Base):
    """What a channel said of an asset at a moment: a quote, or advice to buy, to sell, or to close a position.

    ``price`` is what it is about, of a quote the middle of ``bid`` and ``ask``; ``raw_message`` the words it came in.
    """

    __tablename__ = "signals"
    __table_args__ = (PrimaryKeyConstraint("time", "id"), one_of("signal_type", SIGNAL_TYPES))

    id: Mapped[int] = mapped_column(BigInteger, Identity())
    time: Mapped[datetime] = mapped_column(Moment)
    asset: Mapped[str] = mapped_column(Text)
    signal_type: Mapped[str] = mapped_column(Text)
    channel: Mapped[str] = mapped_column(Text)
    price: Mapped[Decimal] = mapped_column(Numeric)
    bid: Mapped[Decimal | None] = mapped_column(Numeric)
    ask: Mapped[Decimal | None] = mapped_column(Numeric)
    stop_loss: Mapped[Decimal | None] = mapped_column(Numeric)
    take_profit: Mapped[Decimal | None] = mapped_column(Numeric)
    raw_message: Mapped[str | None] = mapped_column(Text)


class Dataset(DatasetColumns, Base):
    """What was generated into this database."""

    traders: Mapped[int] = mapped_column(Integer)
    items: Mapped[int] = mapped_column(BigInteger)
    audit_entries: Mapped[int] = mapped_column(BigInteger)
    signals: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))


class Import(ImportColumns, Base):
    """A file that was imported: issues as items, or ticks as signals."""

    __tablename__ = "imports"
    __table_args__ = (UniqueConstraint("digest"),)

    imported: Mapped[int] = mapped_column(BigInteger)
    rejected: Mapped[int] = mapped_column(BigInteger)
