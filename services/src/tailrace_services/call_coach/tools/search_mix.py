"""A realistic mix of searches, for whoever measures them. Pure: the same seed makes the same searches.

What people look for: the newest calls of a product or a representative, words that everybody says, words that hardly
anybody says, phrases, good and bad scores, a month, and all of it together; a few sort by something else, and some
leaf through many pages. Words are those of the generated calls, from what is said in nearly every call to what is said
in one of a thousand, and some that nobody says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from tailrace_services.call_coach.model import CALL_TYPES
from tailrace_services.call_coach.tools.search_calls import SORTS, SearchCalls

__all__ = ["PRODUCTS", "MixedSearch", "mixed_searches"]

PRODUCTS = (
    *("Beacon Analytics", "Courier Messaging", "Ledger Billing", "Harbor Storage"),
    *("Atlas Routing", "Quill Documents", "Pulse Monitoring", "Forge Automation"),
)
FREQUENT = ("pricing", "today", "customers", "next step", "discount", "contract", "migration", "budget")
OCCASIONAL = ("dunning", "redlining", "geofence", "webhook", "proration", "snapshots", "dispatch", "Brightlane")
RARE = ("waypoint", "signatory", "idempotent", "cardinality", "chargeback", "erasure", "xyzzy", "blockchain")
PHRASES = ('"as a next step"', '"list price"', '"annual contract"', '"security documents"', '"route optimization"')
COMBINED = ("pricing discount", "migration OR onboarding", "contract -renewal", 'Salesforce "next step"', "budget CFO")
KINDS = {
    "newest": 10,
    "product": 12,
    "rep": 12,
    "type": 5,
    "month": 6,
    "scores": 8,
    "frequent": 10,
    "occasional": 8,
    "rare": 8,
    "phrase": 6,
    "combined": 6,
    "topics": 5,
    "product and words": 7,
    "rep and words": 6,
    "month and words": 4,
    "everything": 4,
    "relevance": 8,
}
"""What is looked for -> how often."""


@dataclass(frozen=True, slots=True)
class MixedSearch:
    """A search.

    Attributes:
        kind: what it stands for.
        question: what is asked first.
        pages: how many more pages its user leafs through, by cursor.
    """

    kind: str
    question: SearchCalls
    pages: int


def mixed_searches(seed: int, reps: Sequence[str], until: datetime) -> Iterator[MixedSearch]:
    """Searches without end.

    Args:
        seed: 0 or more.
        reps: emails, those with most calls first; they are asked for more often.
        until: when the year of calls ends.
    """
    random = Random(seed)  # noqa: S311 - a sample
    while True:
        kind = random.choices(list(KINDS), list(KINDS.values()))[0]
        asked = {**_looked_for(kind, random, reps, until), **_page(kind, random)}
        pages = random.choice((1, 2, 5)) if asked.get("offset") is None and random.random() < 0.15 else 0
        yield MixedSearch(kind, SearchCalls(**asked), pages)


def _looked_for(kind: str, random: Random, reps: Sequence[str], until: datetime) -> dict[str, Any]:
    product = {"product": _often(PRODUCTS, random)}
    rep = {"reps": tuple(dict.fromkeys(_often(reps, random) for _ in range(random.choice((1, 1, 1, 3)))))}
    begin = until - timedelta(days=random.randrange(30, 360))
    month = {"scheduled_from": begin, "scheduled_until": begin + timedelta(days=30)}
    lowest = random.choice((0, 40, 55, 65, 80))
    scores = {"min_score": Decimal(lowest), "max_score": Decimal(lowest + random.choice((10, 20)))}
    words = {"text": random.choice((*FREQUENT, *OCCASIONAL, *RARE, *PHRASES, *COMBINED))}
    made: dict[str, dict[str, Any]] = {
        "newest": {},
        "product": product,
        "rep": rep,
        "type": {"call_type": random.choice(CALL_TYPES)},
        "month": month,
        "scores": scores,
        "frequent": {"text": random.choice(FREQUENT)},
        "occasional": {"text": random.choice(OCCASIONAL)},
        "rare": {"text": random.choice(RARE)},
        "phrase": {"text": random.choice(PHRASES)},
        "combined": {"text": random.choice(COMBINED)},
        "topics": {"topics": tuple(random.sample(FREQUENT, 2))},
        "product and words": product | words,
        "rep and words": rep | words,
        "month and words": month | words,
        "everything": product | rep | month | scores | words,
        "relevance": words | {"sort": "relevance"},
    }
    return made[kind]


def _often(among: Sequence[str], random: Random) -> str:
    """One of them, the first ones more often."""
    return among[int(random.random() ** 2 * len(among))]


def _page(kind: str, random: Random) -> dict[str, Any]:
    page: dict[str, Any] = {}
    if kind != "relevance" and random.random() < 0.25:
        page["sort"] = random.choice([sort for sort in SORTS if sort != "relevance"])
    if random.random() < 0.1:
        page["offset"] = random.choice((20, 100, 1_000))
    if random.random() < 0.2:
        page["total"] = random.choices(("capped", "estimated", "exact"), (12, 6, 2))[0]
    return page
