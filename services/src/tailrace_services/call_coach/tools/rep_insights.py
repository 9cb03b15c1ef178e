"""``get_rep_insights``: a representative's averages, trends and rank, and what to work on. Pure.

Scores of different rubrics cannot be compared, so one answer is about one rubric: the one that is asked for, else the
one by which most of the representative's sessions in the period were given.

- *average*: the mean of the sessions' scores in a dimension; the overall average is the mean of these means.
- *trend*: of the averages of calendar weeks, see :mod:`.trend`; its slope is points a week.
- *percentile*, *peers*: see :mod:`.percentile`; peers are the other representatives with a session in the dimension,
  the period, and about the product if one is asked for.
- *skill gaps*, *plan*: see :mod:`.coaching_plan`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from tailrace.errors import RequestError
from tailrace_services.call_coach.model import DIMENSIONS
from tailrace_services.call_coach.tools.coaching_plan import SkillGap, Step, coaching_plan, skill_gaps
from tailrace_services.call_coach.tools.percentile import percentile_rank, upper_quartile
from tailrace_services.call_coach.tools.period import Period
from tailrace_services.call_coach.tools.trend import Trend, trend

__all__ = [
    "Averages",
    "DimensionInsights",
    "GetRepInsights",
    "Marks",
    "RepFacts",
    "RepInsights",
    "RepName",
    "WeekAverage",
    "insights",
    "prevailing",
    "rep_not_found",
]

NO_SESSIONS = "there are no coaching sessions of this representative in this period"

Averages = Sequence[float | None]
"""Of one representative, by dimension in the order of the model."""


@dataclass(frozen=True, slots=True)
class GetRepInsights:
    """What is asked.

    Args:
        rep_email: of whom.
        period: None: the latest days.
        product: None: all of them.
        rubric_version: None: by which most of the sessions were given.
    """

    rep_email: str
    period: Period | None = None
    product: str | None = None
    rubric_version: str | None = None


@dataclass(frozen=True, slots=True)
class RepName:
    """Who it is about."""

    email: str
    name: str
    team: str


@dataclass(frozen=True, slots=True)
class Marks:
    """Some sessions, and the sum of their scores."""

    sessions: int = 0
    points: int = 0

    def __add__(self, other: Marks) -> Marks:
        return Marks(self.sessions + other.sessions, self.points + other.points)

    @property
    def average(self) -> float | None:
        """None without sessions."""
        return self.points / self.sessions if self.sessions else None


@dataclass(frozen=True, slots=True)
class RepFacts:
    """What the answer is derived from.

    Attributes:
        rep: who.
        period: which days.
        rubric_version: by which the sessions were given, None if there are none.
        weeks: by the Monday of the week, for each dimension in the order of the model.
        peers: averages of every other representative with a session.
        remarks: dimension and improvements of the newest sessions.
    """

    rep: RepName
    period: Period
    rubric_version: str | None
    weeks: Mapping[date, Sequence[Marks]]
    peers: Sequence[Averages]
    remarks: Sequence[tuple[str, Sequence[str]]]


@dataclass(frozen=True, slots=True)
class WeekAverage:
    """A week with sessions, by its Monday."""

    week: date
    sessions: int
    average: float


@dataclass(frozen=True, slots=True)
class DimensionInsights:
    """One dimension. None where there is nothing to average, or nobody to compare with."""

    dimension: str
    sessions: int
    average: float | None
    peers: int
    peer_average: float | None
    percentile: float | None
    trend: Trend
    weeks: tuple[WeekAverage, ...]


@dataclass(frozen=True, slots=True)
class RepInsights:
    """What is answered. ``note`` says why there is nothing to say."""

    rep: RepName
    period: Period
    product: str | None
    rubric_version: str | None
    sessions: int
    average: float | None
    percentile: float | None
    peers: int
    dimensions: tuple[DimensionInsights, ...]
    skill_gaps: tuple[SkillGap, ...]
    plan: tuple[Step, ...]
    note: str | None


def rep_not_found(email: str) -> RequestError:
    """The error for a representative that there is not."""
    return RequestError(f"there is no representative {email}", status=404, code="rep_not_found")


def prevailing(sessions: Mapping[str, int]) -> str | None:
    """The rubric with most sessions, the first in the alphabet of several."""
    return min(sessions, key=lambda rubric: (-sessions[rubric], rubric), default=None)


def insights(question: GetRepInsights, facts: RepFacts) -> RepInsights:
    """The answer to ``question``."""
    totals = [sum((week[place] for week in facts.weeks.values()), Marks()) for place in range(len(DIMENSIONS))]
    dimensions = tuple(_dimension(place, totals[place], facts) for place in range(len(DIMENSIONS)))
    own = [total.average for total in totals]
    overall, others = _overall(own), [average for peer in facts.peers if (average := _overall(peer)) is not None]
    targets = {
        dimension: upper_quartile(averages)
        for place, dimension in enumerate(DIMENSIONS)
        if (averages := _of_dimension(facts.peers, place))
    }
    gaps = skill_gaps({name: value for name, value in zip(DIMENSIONS, own, strict=True) if value is not None}, targets)
    return RepInsights(
        rep=facts.rep,
        period=facts.period,
        product=question.product,
        rubric_version=facts.rubric_version,
        sessions=sum(total.sessions for total in totals),
        average=_rounded(overall),
        percentile=None if overall is None else _rounded(percentile_rank(overall, others)),
        peers=len(others),
        dimensions=dimensions,
        skill_gaps=gaps,
        plan=coaching_plan(gaps, facts.remarks),
        note=NO_SESSIONS if overall is None else None,
    )


def _dimension(place: int, total: Marks, facts: RepFacts) -> DimensionInsights:
    weeks = [
        (week, marks[place], average)
        for week, marks in sorted(facts.weeks.items())
        if (average := marks[place].average) is not None
    ]
    own, others = total.average, _of_dimension(facts.peers, place)
    return DimensionInsights(
        DIMENSIONS[place],
        total.sessions,
        _rounded(own),
        len(others),
        _rounded(math.fsum(others) / len(others)) if others else None,
        None if own is None else _rounded(percentile_rank(own, others)),
        trend([(week.toordinal() // 7, average) for week, _, average in weeks]),
        tuple(WeekAverage(week, marks.sessions, round(average, 2)) for week, marks, average in weeks),
    )


def _of_dimension(peers: Sequence[Averages], place: int) -> list[float]:
    return [average for peer in peers if (average := peer[place]) is not None]


def _overall(averages: Averages) -> float | None:
    known = [average for average in averages if average is not None]
    return math.fsum(known) / len(known) if known else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
