"""``search_calls``: the calls that fit, in an order, page by page, with the moments that were looked for. Pure.

- A call *mentions* what its transcript does: the words of its turns, one turn after the other, as PostgreSQL's English
  configuration reduces them (``pricing`` and ``prices`` are one). Each word may be anywhere in the call; the words of a
  phrase follow each other.
- ``text`` is what people type into search engines: words that must all occur, ``"phrases"``, ``OR``, ``-not``. Each of
  ``topics`` is a word or a phrase that must occur as well.
- A call's ``score`` is the mean of all its coaching sessions' scores, to two decimals; None if it has none.
- Its ``reps`` are its speakers on the representatives' side that have an email.
- ``relevance`` is ``ts_rank`` of the call's words, to six decimals. Ordered by it, a search has the newest
  :data:`RANKED` calls that fit, best first: ranking all of many would read all of them, for the sake of old calls.
- ``moments`` are the call's :data:`MOMENTS` turns that say most of what was looked for, best first.
- NULLs (no product, no score) come last, whichever way an order runs.

**Source:** PostgreSQL documentation, 12.3 (websearch_to_tsquery, ts_rank, ts_headline).
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal, get_args

from tailrace.errors import RequestError

__all__ = [
    "BEGIN_MARK",
    "END_MARK",
    "MOMENTS",
    "RANKED",
    "SORTS",
    "TOTALS",
    "FoundCall",
    "FoundCalls",
    "Moment",
    "Representative",
    "SearchCalls",
    "Sort",
    "TotalAsked",
    "Words",
    "highlighted",
    "words_of",
]

RANKED = 200
"""Calls that a search by relevance ranks: the newest that fit."""
MOMENTS = 3
"""Most turns shown of a call."""
BEGIN_MARK, END_MARK = "\x02", "\x03"
"""Stand around words in headlines until what is around them has been escaped."""

_LEXEME = re.compile(r"'(?:[^'\\]|''|\\.)*'", re.DOTALL)
_LEXEME_OR_STEP = re.compile(_LEXEME.pattern + r"|<(?:-|\d+)>", re.DOTALL)
"""A word of a ``tsquery`` in text form; or what stands between two of a phrase."""

Sort = Literal[
    "-scheduled_at",
    "scheduled_at",
    "-duration",
    "duration",
    "-score",
    "score",
    "title",
    "-title",
    "product",
    "-product",
    "relevance",
]
SORTS: tuple[Sort, ...] = get_args(Sort)
"""Orders, ``-`` for descending; the first is the default. Those by product are newest first within a product."""
TotalAsked = Literal["none", "exact", "capped", "estimated"]
TOTALS: tuple[TotalAsked, ...] = get_args(TotalAsked)


@dataclass(frozen=True, slots=True)
class SearchCalls:
    """What is asked. What is None or empty does not restrict.

    Args:
        text: what is said in the call.
        topics: words or phrases that are all said in the call.
        product: what it is about.
        call_type: of ``CALL_TYPES``.
        reps: emails; one of them takes part.
        scheduled_from: aware; then or later.
        scheduled_until: aware; before.
        min_score: 0 to 100; that or more.
        max_score: 0 to 100; that or less.
        sort: order.
        total: how to count what there is in all.
        limit: calls of a page.
        offset: calls to skip.
        cursor: where the page begins, from the page before.

    Raises:
        ValueError: the order needs words, or nothing can lie between two bounds.
    """

    text: str | None = None
    topics: tuple[str, ...] = ()
    product: str | None = None
    call_type: str | None = None
    reps: tuple[str, ...] = ()
    scheduled_from: datetime | None = None
    scheduled_until: datetime | None = None
    min_score: Decimal | None = None
    max_score: Decimal | None = None
    sort: Sort = "-scheduled_at"
    total: TotalAsked = "none"
    limit: int = 20
    offset: int | None = None
    cursor: str | None = None

    def __post_init__(self) -> None:
        if self.sort == "relevance" and self.text is None and not self.topics:
            raise ValueError("relevance is to what is looked for: give text or topics")
        if self.scheduled_from and self.scheduled_until and self.scheduled_from >= self.scheduled_until:
            raise ValueError("scheduled_until must lie after scheduled_from")
        if self.min_score is not None and self.max_score is not None and self.min_score > self.max_score:
            raise ValueError("max_score must not be less than min_score")

    def filters(self) -> dict[str, object]:
        """What a cursor is good for."""
        page = ("sort", "total", "limit", "offset", "cursor")
        return {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in page}


@dataclass(frozen=True, slots=True)
class Representative:
    """Who took part for the selling side."""

    email: str
    name: str


@dataclass(frozen=True, slots=True)
class Moment:
    """A turn that says what was looked for. Times in milliseconds from the call's beginning.

    ``snippet`` is HTML: what was said around the words that were looked for, which stand in ``<mark>``.
    """

    sequence_number: int
    start_ms: int
    end_ms: int
    speaker: str
    snippet: str


@dataclass(frozen=True, slots=True)
class FoundCall:
    """A call that fits. ``relevance`` is None, and ``moments`` are none, where no words were looked for."""

    call_id: int
    title: str
    product: str | None
    call_type: str
    scheduled_at: datetime
    duration_seconds: Decimal
    score: Decimal | None
    reps: tuple[Representative, ...]
    relevance: Decimal | None
    moments: tuple[Moment, ...]


@dataclass(frozen=True, slots=True)
class FoundCalls:
    """A page. ``total`` is what ``total_is`` says: ``exact``, ``at_least``, ``estimate``, or ``unknown`` and None."""

    items: tuple[FoundCall, ...]
    total: int | None
    total_is: str
    has_next: bool
    has_previous: bool
    next_cursor: str | None
    previous_cursor: str | None


@dataclass(frozen=True, slots=True)
class Words:
    """What is looked for, as PostgreSQL reads it: each a ``tsquery`` in text form.

    Attributes:
        every: what a call must mention.
        any: one of the words, whichever: what a moment says.
        unordered: the words of every phrase in whatever order, which holds for all calls that ``every`` holds for, and
            which an index knows; None where there are no phrases, or where something is excluded.
    """

    every: str
    any: str
    unordered: str | None = None


def words_of(parts: Iterable[tuple[str, str, list[str]]]) -> Words:
    """The words of ``text`` and ``topics`` together.

    Args:
        parts: for each its ``tsquery``, that query's ``querytree`` and its lexemes.

    Raises:
        RequestError: one of them has no word to look for; status 422.

    >>> words_of([("'price' & !'cost'", "'price'", ["cost", "price"]), ("'crm'", "'crm'", ["crm"])]).any
    "'cost' | 'crm' | 'price'"
    >>> words_of([("'list' <-> 'price'", "'list' <-> 'price'", ["list", "price"])]).unordered
    "('list' & 'price')"
    """
    queries: list[str] = []
    lexemes: set[str] = set()
    for query, indexable, found in parts:
        if indexable in ("", "T"):
            raise RequestError(
                "text and each topic need a word to look for: not only words like 'the', and not only what is excluded",
                status=422,
                code="nothing_to_look_for",
            )
        queries.append(f"({query})")
        lexemes.update(found)
    every = " & ".join(queries)
    return Words(every, " | ".join(_quoted(lexeme) for lexeme in sorted(lexemes)), _unordered(every))


def _unordered(query: str) -> str | None:
    """``query`` without the order of words, if that leaves out no call."""
    operators = _LEXEME.sub("", query)
    if "<" not in operators or "!" in operators:  # the contrary of a phrase is more than that of its words
        return None
    return _LEXEME_OR_STEP.sub(lambda found: "&" if found[0].startswith("<") else found[0], query)


def _quoted(lexeme: str) -> str:
    doubled = lexeme.replace("\\", "\\\\").replace("'", "''")
    return f"'{doubled}'"


def highlighted(headline: str) -> str:
    r"""A headline as HTML.

    >>> highlighted("more <b>than\x02price\x03")
    'more &lt;b&gt;than<mark>price</mark>'
    """
    return html.escape(headline, quote=False).replace(BEGIN_MARK, "<mark>").replace(END_MARK, "</mark>")
