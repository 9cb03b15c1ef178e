"""What calls and emails keep coming back to, and what kinds of objections there are. Pure.

**Source:** keyword trackers of conversation intelligence, as for the mentions of the conversation metrics: a list of
words and phrases, and where one is said. A theme recurs if two touchpoints, calls or emails, or more speak of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tailrace_services.call_coach.analyst import Conversation
from tailrace_services.call_coach.analyst.analysis import Evidence, quoted
from tailrace_services.call_coach.analyst.objections import Objection, objections
from tailrace_services.call_coach.tools.phrasebook import default_lists

__all__ = ["RECURS_FROM", "ObjectionKind", "Raised", "Theme", "mentions", "objection_kinds", "raised", "recurring"]

RECURS_FROM = 2
"""Touchpoints that must speak of a theme."""
OTHER = "other"


@dataclass(frozen=True, slots=True)
class Theme:
    """A theme that recurs: in how many touchpoints, how often altogether, and in which first and last."""

    name: str
    touchpoints: int
    mentions: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Raised:
    """An objection, its kind, and the call it was raised in."""

    kind: str
    call_id: int
    at: datetime
    handled: bool
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class ObjectionKind:
    """Objections of a kind. ``handled`` as the conversation metrics define it; ``latest`` is the newest of them."""

    kind: str
    raised: int
    handled: int
    calls: int
    latest: Raised


def mentions(said: Sequence[str]) -> Counter[str]:
    """How often each theme is spoken of in some words."""
    return Counter(name for name, _ in default_lists().themes.find(said))


def recurring(touchpoints: Sequence[tuple[datetime, Counter[str]]]) -> tuple[Theme, ...]:
    """The themes of several touchpoints, which are in order of time; those in most first."""
    found = []
    for name in {name for _, themes in touchpoints for name in themes}:
        moments = [(at, themes[name]) for at, themes in touchpoints if themes[name]]
        if len(moments) >= RECURS_FROM:
            total = sum(count for _, count in moments)
            found.append(Theme(name, len(moments), total, moments[0][0], moments[-1][0]))
    return tuple(sorted(found, key=lambda theme: (-theme.touchpoints, -theme.mentions, theme.name)))


def raised(call_id: int, at: datetime, conversation: Conversation) -> list[Raised]:
    """The objections of one call, in order."""
    return [
        Raised(_kind(objection), call_id, at, objection.handled, quoted(objection.turn))
        for objection in objections(conversation)
    ]


def objection_kinds(every: Sequence[Raised]) -> tuple[ObjectionKind, ...]:
    """Objections by kind, the most frequent first; ``every`` is in order of time."""
    found = []
    for kind in {each.kind for each in every}:
        these = [each for each in every if each.kind == kind]
        handled = sum(each.handled for each in these)
        found.append(ObjectionKind(kind, len(these), handled, len({each.call_id for each in these}), these[-1]))
    return tuple(sorted(found, key=lambda each: (-each.raised, each.kind)))


def _kind(objection: Objection) -> str:
    """The kind that an objection's words speak of first."""
    return next((name for name, _ in default_lists().objections.find(objection.turn.words)), OTHER)
