"""Which pages may be asked for, and in which orders. Pure: declarations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tailrace.db import Order, Pages
from tailrace.db.totals import TotalMode
from tailrace_services.research_hub.api.author_search import BEST_FIRST
from tailrace_services.research_hub.model import Attribution, Card, Content, Pattern, ResearchSession, User

__all__ = ["ATTRIBUTIONS", "AUTHORS", "CARDS", "CONTENTS", "OWN_CARDS", "PATTERNS", "SESSIONS", "USERS"]

TOTALS: Sequence[TotalMode] = ("none", "capped", "exact", "estimated")
"""Whoever wants to know how many there are says how exactly."""

cards, contents, patterns = Card.__table__.c, Content.__table__.c, Pattern.__table__.c
sessions, users = ResearchSession.__table__.c, User.__table__.c


def _pages(orders: Mapping[str, Order]) -> Pages:
    return Pages(orders, totals=TOTALS)


CARDS = _pages({"-published_at": Order(cards.published_at.desc(), key=cards.id)})
OWN_CARDS = _pages({"-created_at": Order(cards.created_at.desc(), key=cards.id)})
ATTRIBUTIONS = _pages({"-id": Order(key=Attribution.__table__.c.id.desc())})
CONTENTS = _pages({"-scraped_at": Order(contents.scraped_at.desc(), key=contents.id)})
AUTHORS = _pages({"best": BEST_FIRST})
PATTERNS = _pages(
    {
        "-confidence_score": Order(patterns.confidence_score.desc(), key=patterns.id),
        "-discovered_at": Order(patterns.discovered_at.desc(), key=patterns.id),
    }
)
USERS = _pages({"-id": Order(key=users.id.desc())})
SESSIONS = _pages({"-created_at": Order(sessions.created_at.desc(), key=sessions.id)})
