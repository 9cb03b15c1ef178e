"""Which authors are like a word, and which come first. Pure: one definition for both implementations.

A name is like the word if some of it has most of the word's trigrams, so that mistyped names are found, too; the more
like it, the earlier, and of those equally like it, whoever has the most followers.

**Source:** PostgreSQL documentation, F.35 pg_trgm (``word_similarity``, and ``%>`` with its threshold of 0.6).
"""

from __future__ import annotations

from sqlalchemy import REAL, Text, bindparam, cast, func, or_, select

from tailrace.db import Order, Term
from tailrace_services.research_hub.model import Author

__all__ = ["BEST_FIRST", "FOUND", "SHORTEST"]

SHORTEST = 3
"""Characters: what is shorter has no trigram of its own."""

_WORD = bindparam("q", type_=Text())
_ALIKE = cast(
    func.greatest(func.word_similarity(_WORD, Author.username), func.word_similarity(_WORD, Author.display_name)), REAL
)
_ROWS = (
    select(
        *(Author.id, Author.platform, Author.username, Author.display_name, Author.followers),
        _ALIKE.label("alike"),
    )
    .where(or_(Author.username.op("%>")(_WORD), Author.display_name.op("%>")(_WORD)))
    .subquery("found")
)

FOUND = select(*[column for column in _ROWS.c if column.name != "alike"])
"""The authors; what they are to be like is its parameter ``q``."""

BEST_FIRST = Order(
    *[Term(column, descending=True, nulls_first=True, nullable=False) for column in (_ROWS.c.alike, _ROWS.c.followers)],
    key=_ROWS.c.id,
)
