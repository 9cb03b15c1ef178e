"""Averages, ranks, trends and plans, by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace_services.call_coach.model import DIMENSIONS
from tailrace_services.call_coach.optimised.coaching_rollups import pieces
from tailrace_services.call_coach.tools.coaching_plan import Remark, SkillGap, coaching_plan, skill_gaps
from tailrace_services.call_coach.tools.effect import cliffs_delta, magnitude
from tailrace_services.call_coach.tools.percentile import percentile_rank, upper_quartile
from tailrace_services.call_coach.tools.period import LONGEST_DAYS, Period, latest, week_of
from tailrace_services.call_coach.tools.rep_insights import (
    NO_SESSIONS,
    GetRepInsights,
    Marks,
    RepFacts,
    RepName,
    insights,
    prevailing,
)
from tailrace_services.call_coach.tools.trend import Trend, trend

DAYS = st.dates(date(2019, 12, 1), date(2021, 3, 31))
PERIOD = Period(date(2026, 1, 1), date(2026, 3, 31))
NONE = Marks()


def facts(weeks: dict[date, tuple[Marks, ...]], peers: list[tuple[float | None, ...]]) -> RepFacts:
    return RepFacts(RepName("ann@example.com", "Ann", "enterprise"), PERIOD, "manager-1", weeks, peers, [])


def test_percentile_rank_by_hand() -> None:
    """Those below count whole, those equal half, oneself among them."""
    assert percentile_rank(70, [50, 60, 80, 90]) == 50.0
    assert percentile_rank(70, [70, 70, 70]) == 50.0
    assert percentile_rank(95, [50, 60, 80, 90]) == 90.0
    assert percentile_rank(10, [50]) == 25.0
    assert percentile_rank(10, []) is None


@given(st.lists(st.floats(0, 100), min_size=2, max_size=30))
def test_percentiles_of_all_average_half(scores: list[float]) -> None:
    """However scores are spread and tied, the mean rank of all is the middle."""
    ranks = [percentile_rank(own, scores[:at] + scores[at + 1 :]) for at, own in enumerate(scores)]
    assert sum(rank for rank in ranks if rank is not None) / len(scores) == pytest.approx(50)


def test_upper_quartile_by_hand() -> None:
    """Three quarters of the way between the least and the most, and the value itself where there is one."""
    assert upper_quartile([1, 2, 3, 4]) == 3.25
    assert upper_quartile([7]) == 7.0


def test_trend_by_hand() -> None:
    """Kendall's example size: five that all rise have S = 10 and Z = 9 / sqrt(50 / 3) = 2.20; four are too few."""
    rising = [(week, 50 + 2.0 * week) for week in range(5)]
    assert trend(rising) == Trend("rising", 2.0)
    assert trend([(week, -score) for week, score in rising]) == Trend("falling", -2.0)
    assert trend(rising[:4]) == Trend("unknown", 2.0)
    # One pair of neighbours the wrong way: S = 8, Z = 7 / 4.08 = 1.71, which chance does once in eleven times.
    assert trend([(0, 1), (1, 3), (2, 2), (3, 4), (4, 5)]).direction == "steady"
    assert trend([(week, 60.0) for week in range(10)]) == Trend("steady", 0.0)
    assert trend([(3, 60.0)]) == Trend("unknown", None)


def test_trend_knows_when_points_were() -> None:
    """A gap of three weeks counts as three; one exceptional week does not bend the slope."""
    assert trend([(0, 10), (1, 12), (4, 18), (5, 20), (6, 95), (7, 24)]).slope == 2.0


def test_cliffs_delta_by_hand() -> None:
    """Of six pairs four are higher, one is equal and one lower: (4 - 1) / 6."""
    assert cliffs_delta([3, 5], [1, 3, 4]) == pytest.approx(0.5)
    assert cliffs_delta([1, 1], [2, 3]) == -1.0
    assert [magnitude(delta) for delta in (0.1, -0.2, 0.4, -0.474)] == ["negligible", "small", "medium", "large"]


def test_period_refuses_nonsense() -> None:
    """A period does not end before it begins, and is a year at most, leap days included."""
    start = date(2024, 1, 1)
    assert Period(start, start + timedelta(days=LONGEST_DAYS - 1)).last_day == date(2024, 12, 31)
    for last in (start - timedelta(days=1), start + timedelta(days=LONGEST_DAYS)):
        with pytest.raises(ValueError, match="a period"):
            Period(start, last)
    assert latest(datetime(2026, 3, 31, 23, 59, tzinfo=UTC)) == Period(date(2026, 1, 1), date(2026, 3, 31))
    assert (Period(start, start).start, Period(start, start).end) == (
        datetime(2024, 1, 1, tzinfo=UTC),
        datetime(2024, 1, 2, tzinfo=UTC),
    )


@given(DAYS, st.integers(0, LONGEST_DAYS - 1))
def test_pieces_make_up_the_period(first: date, more: int) -> None:
    """Months and signed days together hold each day of the period once, every other not at all, few at the ends."""
    period = Period(first, first + timedelta(days=more))
    found = pieces(period)

    def times(day: date) -> int:
        month = day.replace(day=1)
        return (
            (found["first_month"] <= month < found["end_of_months"])
            + found["first_sign"] * (found["first_from"] <= day < found["first_until"])
            + found["last_sign"] * (found["last_from"] <= day < found["last_until"])
        )

    around = [first + timedelta(days=offset) for offset in range(-70, more + 70)]
    assert [day for day in around if times(day) != (period.first_day <= day <= period.last_day)] == []
    assert (found["first_until"] - found["first_from"]).days <= 15
    assert (found["last_until"] - found["last_from"]).days <= 15


def test_skill_gaps_by_hand() -> None:
    """Below the target is a gap, the widest first; at or above it is none; without peers there is no target."""
    averages = {"discovery": 50.0, "engagement": 70.0, "product_knowledge": 60.004, "objection_handling": 10.0}
    targets = {"discovery": 60.0, "engagement": 70.0, "product_knowledge": 75.0}
    assert skill_gaps(averages, targets) == (
        SkillGap("product_knowledge", 60.0, 75.0, 15.0),
        SkillGap("discovery", 50.0, 60.0, 10.0),
    )


def test_plan_names_what_sessions_named_most() -> None:
    """A remark counts once for a session; of equals the first in the alphabet; other dimensions' do not count."""
    gap = SkillGap("discovery", 50.0, 60.0, 10.0)
    remarks = [
        ("discovery", ["b", "b", "c"]),
        ("discovery", ["c", "a"]),
        ("engagement", ["a", "a", "z"]),
        ("discovery", []),
    ]
    (step,) = coaching_plan([gap], remarks)
    assert (step.priority, step.dimension, step.target) == (1, "discovery", 60.0)
    assert step.attend_to == (Remark("c", 2), Remark("a", 1), Remark("b", 1))
    assert len(coaching_plan([gap] * 4, remarks)) == 3


def test_rubric_with_most_sessions_prevails() -> None:
    """The most sessions; of equals the first in the alphabet; none without sessions."""
    assert prevailing({"a": 2, "b": 3}) == "b"
    assert prevailing({"b": 3, "a": 3}) == "a"
    assert prevailing({}) is None


def test_insights_by_hand() -> None:
    """Means of all sessions, not of weeks; the overall average is the mean over dimensions that have one."""
    monday = date(2026, 1, 5)
    weeks = {
        monday: (Marks(2, 100), NONE, Marks(1, 80), NONE),
        monday + timedelta(days=7): (Marks(1, 80), NONE, NONE, NONE),
    }
    answer = insights(
        GetRepInsights("ann@example.com"), facts(weeks, [(70.0, 50.0, None, None), (40.0, None, 90.0, None)])
    )
    knowledge, discovery, objections, engagement = answer.dimensions
    assert [each.dimension for each in answer.dimensions] == list(DIMENSIONS)
    assert (knowledge.sessions, knowledge.average, knowledge.peers, knowledge.peer_average) == (3, 60.0, 2, 55.0)
    assert knowledge.percentile == 50.0
    assert [(week.week, week.sessions, week.average) for week in knowledge.weeks] == [
        (monday, 2, 50.0),
        (monday + timedelta(days=7), 1, 80.0),
    ]
    assert knowledge.trend == Trend("unknown", 30.0)
    assert (discovery.sessions, discovery.average, discovery.percentile, discovery.peers) == (0, None, None, 1)
    assert (objections.average, objections.percentile) == (80.0, 25.0)
    assert (engagement.peers, engagement.peer_average, engagement.weeks) == (0, None, ())
    # Ann 70, the others 60 and 65.
    assert (answer.sessions, answer.average, answer.percentile, answer.peers) == (4, 70.0, 83.33, 2)
    assert [gap.dimension for gap in answer.skill_gaps] == ["objection_handling", "product_knowledge"]
    assert answer.note is None


def test_nobody_to_compare_with_and_nothing_to_average() -> None:
    """No peers: no percentile, no gaps, no plan. No sessions: an answer that says so."""
    alone = insights(GetRepInsights("ann@example.com"), facts({date(2026, 1, 5): (Marks(1, 0),) * 4}, []))
    assert (alone.average, alone.percentile, alone.peers, alone.skill_gaps, alone.plan) == (0.0, None, 0, (), ())
    idle = insights(GetRepInsights("ann@example.com"), facts({}, [(70.0, 50.0, None, None)]))
    assert (idle.sessions, idle.average, idle.percentile, idle.note) == (0, None, None, NO_SESSIONS)
    assert idle.skill_gaps == ()


def test_weeks_begin_on_mondays() -> None:
    """Sunday belongs to the week before, also across a year."""
    assert week_of(date(2026, 1, 4)) == date(2025, 12, 29)
    assert week_of(date(2026, 1, 5)) == date(2026, 1, 5)
