"""Which pages may be asked for, and in which orders. Pure: declarations."""

from __future__ import annotations

from collections.abc import Sequence

from tailrace.db import Order, Pages
from tailrace.db.totals import TotalMode
from tailrace_services.research_hub.model import Card

__all__ = ["CARDS", "OWN_CARDS"]

TOTALS: Sequence[TotalMode] = ("none", "capped", "exact", "estimated")
"""Whoever wants to know how many there are says how exactly."""

cards = Card.__table__.c

CARDS = Pages({"-published_at": Order(cards.published_at.desc(), key=cards.id)}, totals=TOTALS)
"""Published cards, the newest first."""

OWN_CARDS = Pages({"-created_at": Order(cards.created_at.desc(), key=cards.id)}, totals=TOTALS)
"""A user's own cards, the newest first."""
