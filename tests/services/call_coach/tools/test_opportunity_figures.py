"""Sentiment, themes, objections and risks, by hand."""

from __future__ import annotations

import dataclasses
from collections import Counter
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace_services.call_coach.analyst import Conversation, Turn
from tailrace_services.call_coach.analyst.conversation import words
from tailrace_services.call_coach.tools.phrasebook import Phrasebook
from tailrace_services.call_coach.tools.risks import ACTIONS, Signals, recommendations, risks
from tailrace_services.call_coach.tools.sentiment import Sentiment, sentiment
from tailrace_services.call_coach.tools.themes import mentions, objection_kinds, raised, recurring

MARCH = [datetime(2026, 3, day, tzinfo=UTC) for day in range(1, 10)]
CALM = Signals(
    is_open=True,
    days_silent=3,
    days_overdue=-10,
    sentiment="steady",
    engagement="rising",
    latest_sentiment=0.5,
    objections=2,
    handled=1,
    contacts=3,
    competitor_touchpoints=1,
    dated_next_step=True,
    health_score=70,
)


@pytest.mark.parametrize(
    ("text", "positive", "negative"),
    [
        ("We love it, and it is easy.", 2, 0),
        ("It is not easy, and we are worried.", 0, 2),
        ("We are not worried at all.", 1, 0),
        ("Nobody here is happy.", 0, 1),
        ("This is not something that I would call great.", 1, 0),  # "not" stands too far before it
        ("I'm not sure.", 0, 1),
        ("It is two o'clock.", 0, 0),
        ("", 0, 0),
    ],
)
def test_sentiment_by_hand(text: str, positive: int, negative: int) -> None:
    """Words of either kind; negated within three words they count for the other."""
    assert sentiment(words(text)) == Sentiment(positive, negative)


def test_sentiment_score() -> None:
    """The relative difference; none of nothing."""
    assert Sentiment(3, 1).score == 0.5
    assert Sentiment(0, 2).score == -1.0
    assert Sentiment().score is None
    assert (Sentiment(1, 0) + Sentiment(0, 1)).score == 0.0


@given(st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=30))
def test_phrases_are_found_like_a_search_would(said: list[str]) -> None:
    """At each word not used up the longest phrase that begins there, and nothing else."""
    book = {"one": ["a"], "two": ["a b", "c"], "three": ["a b c"]}
    phrases = {tuple(phrase.split()): name for name, listed in book.items() for phrase in listed}
    expected, place = [], 0
    while place < len(said):
        length = max((n for n in (1, 2, 3) if tuple(said[place : place + n]) in phrases), default=0)
        if length:
            expected.append((phrases[tuple(said[place : place + length])], place))
        place += length or 1
    assert list(Phrasebook(book).find(said)) == expected


def test_themes_recur_in_two_touchpoints() -> None:
    """Once in one call is no theme, however often; the most touchpoints come first, with the first and the last."""
    found = recurring(
        [
            (MARCH[0], Counter({"security": 5, "pricing": 1})),
            (MARCH[1], Counter({"scale": 9})),
            (MARCH[2], Counter({"pricing": 2, "support": 1})),
            (MARCH[3], Counter({"support": 1, "pricing": 0})),
        ]
    )
    assert [(theme.name, theme.touchpoints, theme.mentions) for theme in found] == [
        ("pricing", 2, 3),
        ("support", 2, 2),
    ]
    assert (found[0].first_at, found[0].last_at) == (MARCH[0], MARCH[2])


def test_mentions_by_hand() -> None:
    """Each phrase counts for its theme, also those of the conversation metrics."""
    said = words("What does it cost, and does Kestrel One have an API? Security and the audit are ours.")
    assert mentions(said) == Counter({"pricing": 1, "competition": 1, "integration": 1, "security": 2})


def test_objections_by_kind() -> None:
    """The kind is that of the first phrase; handled and latest as they were in their calls."""
    first = Conversation.of(
        [
            Turn(1, "Bo", "prospect", 0, 900, "We don't have the budget this quarter."),
            Turn(2, "Ann", "rep", 1000, 1900, "I understand. What would help?"),
            Turn(3, "Bo", "prospect", 2000, 2900, "I'm not sure about it."),
        ]
    )
    second = Conversation.of([Turn(1, "Bo", "prospect", 0, 900, "The price is too high.")])
    price, other = objection_kinds([*raised(7, MARCH[0], first), *raised(8, MARCH[1], second)])
    assert (price.kind, price.raised, price.handled, price.calls) == ("price", 2, 1, 2)
    assert (price.latest.call_id, price.latest.evidence.quote) == (8, "The price is too high.")
    assert (other.kind, other.raised, other.handled) == ("other", 1, 0)


def test_nothing_wrong_is_no_risk() -> None:
    """Figures just inside every bound."""
    assert risks(CALM) == ()
    assert (
        risks(dataclasses.replace(CALM, days_silent=14, days_overdue=0, latest_sentiment=-0.24, health_score=40)) == ()
    )


@pytest.mark.parametrize(
    ("changes", "code", "severity"),
    [
        ({"days_overdue": 1}, "overdue", "high"),
        ({"days_silent": 15}, "silent", "medium"),
        ({"days_silent": 31}, "silent", "high"),
        ({"days_silent": None}, "silent", "high"),
        ({"sentiment": "falling"}, "souring", "high"),
        ({"latest_sentiment": -0.25}, "souring", "medium"),
        ({"engagement": "falling"}, "disengaging", "medium"),
        ({"objections": 3}, "objections_open", "medium"),
        ({"contacts": 1}, "single_contact", "medium"),
        ({"competitor_touchpoints": 2}, "competition", "medium"),
        ({"dated_next_step": False}, "no_next_step", "medium"),
        ({"health_score": 39}, "unhealthy", "high"),
    ],
)
def test_each_risk_by_itself(changes: dict[str, object], code: str, severity: str) -> None:
    """One step over a bound is that risk and no other, with one recommendation; none once the sale is closed."""
    seen = dataclasses.replace(CALM, **changes)  # type: ignore[arg-type]
    (risk,) = risks(seen)
    assert (risk.code, risk.severity) == (code, severity)
    (advice,) = recommendations([risk])
    assert (advice.risk, advice.action) == (code, ACTIONS[code])
    assert risks(dataclasses.replace(seen, is_open=False)) == ()


def test_high_risks_come_first() -> None:
    """Whatever rule found them."""
    found = risks(dataclasses.replace(CALM, contacts=1, health_score=0, dated_next_step=False, days_overdue=9))
    assert [risk.severity for risk in found] == ["high", "high", "medium", "medium"]
