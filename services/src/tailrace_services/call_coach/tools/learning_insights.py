"""``get_learning_insights``: a representative beside the top performers in one dimension. Pure.

- *Top performers* are the :data:`TOP_PERFORMERS` other representatives with the highest average in the dimension, of
  those with :data:`FEWEST_SESSIONS` sessions in the period; averages, and which rubric, as in :mod:`.rep_insights`.
- *Calls compared* are those of the newest sessions in the dimension: :data:`OWN_SESSIONS` of the representative,
  :data:`TOP_SESSIONS` of each top performer; a call counts once. How they are compared: :mod:`.behaviour`.
- *Segments* to listen to are moments that the best-scored sessions quote as evidence, of each top performer's newest
  :data:`HEARD_SESSIONS`, with the turn before and the turn behind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from tailrace_services.call_coach.analyst import Metrics
from tailrace_services.call_coach.analyst.analysis import Evidence
from tailrace_services.call_coach.tools.behaviour import Difference, differences
from tailrace_services.call_coach.tools.period import Period
from tailrace_services.call_coach.tools.rep_insights import NO_SESSIONS, Marks, RepName

__all__ = [
    "FEWEST_SESSIONS",
    "HEARD_SESSIONS",
    "OWN_SESSIONS",
    "TOP_PERFORMERS",
    "Chosen",
    "GetLearningInsights",
    "LearningInsights",
    "Sample",
    "Segment",
    "SegmentTurn",
    "Session",
    "TopPerformer",
    "learning_insights",
    "sample",
    "top_performers",
]

TOP_PERFORMERS = 5
FEWEST_SESSIONS = 5
OWN_SESSIONS = 12
TOP_SESSIONS = 6
HEARD_SESSIONS = 24
SEGMENTS = 5
NO_TOP_PERFORMERS = "nobody else has enough coaching sessions in this period"


@dataclass(frozen=True, slots=True)
class GetLearningInsights:
    """What is asked; ``focus_area`` is a dimension. None: as in ``GetRepInsights``."""

    rep_email: str
    focus_area: str
    period: Period | None = None
    rubric_version: str | None = None


@dataclass(frozen=True, slots=True)
class TopPerformer:
    """Somebody to learn from."""

    id: int
    email: str
    name: str
    sessions: int
    average: float


@dataclass(frozen=True, slots=True)
class Session:
    """A coaching session in the dimension."""

    id: int
    call_id: int
    score: int
    has_evidence: bool


@dataclass(frozen=True, slots=True)
class Chosen:
    """A session that a segment is taken from."""

    session_id: int
    call_id: int
    score: int
    rep: TopPerformer


@dataclass(frozen=True, slots=True)
class Sample:
    """Who and what is compared: everything that is chosen by sessions."""

    rep: RepName
    period: Period
    rubric_version: str | None
    sessions: int
    average: float | None
    top_performers: tuple[TopPerformer, ...]
    own_calls: tuple[int, ...]
    top_calls: tuple[int, ...]
    chosen: tuple[Chosen, ...]

    @property
    def calls(self) -> tuple[int, ...]:
        """All calls that are compared, each once."""
        return tuple(dict.fromkeys((*self.own_calls, *self.top_calls)))


@dataclass(frozen=True, slots=True)
class SegmentTurn:
    """A turn of a segment."""

    sequence_number: int
    speaker: str
    side: str
    start_ms: int
    end_ms: int
    text: str


@dataclass(frozen=True, slots=True)
class Segment:
    """A moment to listen to. ``turns`` are as they are now: none, if they are no more."""

    call_id: int
    title: str
    scheduled_at: datetime
    rep_email: str
    rep_name: str
    score: int
    evidence: Evidence
    turns: tuple[SegmentTurn, ...]


@dataclass(frozen=True, slots=True)
class LearningInsights:
    """What is answered. ``note`` says why something is missing."""

    rep: RepName
    focus_area: str
    period: Period
    rubric_version: str | None
    sessions: int
    average: float | None
    top_performers: tuple[TopPerformer, ...]
    calls: int
    top_calls: int
    differences: tuple[Difference, ...]
    segments: tuple[Segment, ...]
    note: str | None


def top_performers(everybody: Sequence[tuple[int, str, str, Marks]]) -> tuple[TopPerformer, ...]:
    """The best of ``everybody``: id, address, name and sessions in the dimension; of equals the first address."""
    found = [
        (average, TopPerformer(rep_id, email, name, marks.sessions, round(average, 2)))
        for rep_id, email, name, marks in everybody
        if marks.sessions >= FEWEST_SESSIONS and (average := marks.average) is not None
    ]
    ranked = sorted(found, key=lambda each: (-each[0], each[1].email))
    return tuple(performer for _, performer in ranked[:TOP_PERFORMERS])


def sample(
    rep: RepName,
    period: Period,
    rubric_version: str | None,
    marks: Marks,
    top: Sequence[TopPerformer],
    sessions: Mapping[int | None, Sequence[Session]],
) -> Sample:
    """What to compare.

    Args:
        marks: the representative's, in the dimension.
        top: the top performers.
        sessions: under None the representative's newest, under the id of each top performer theirs.
    """
    own = sessions.get(None, ())[:OWN_SESSIONS]
    theirs = [session for each in top for session in sessions.get(each.id, ())[:TOP_SESSIONS]]
    heard = [
        Chosen(session.id, session.call_id, session.score, each)
        for each in top
        for session in sessions.get(each.id, ())[:HEARD_SESSIONS]
        if session.has_evidence
    ]
    average = marks.average
    return Sample(
        rep,
        period,
        rubric_version,
        marks.sessions,
        None if average is None else round(average, 2),
        tuple(top),
        tuple(dict.fromkeys(session.call_id for session in own)),
        tuple(dict.fromkeys(session.call_id for session in theirs)),
        tuple(sorted(heard, key=lambda each: (-each.score, -each.session_id))[:SEGMENTS]),
    )


def learning_insights(
    question: GetLearningInsights, chosen: Sample, metrics: Mapping[int, Metrics], segments: Sequence[Segment]
) -> LearningInsights:
    """The answer.

    Args:
        metrics: of the calls that are compared, as far as there are such.
        segments: those of ``chosen.chosen``, in the same order.
    """
    own = [metrics[call] for call in chosen.own_calls if call in metrics]
    best = [metrics[call] for call in chosen.top_calls if call in metrics]
    note = NO_SESSIONS if not chosen.sessions else None if chosen.top_performers else NO_TOP_PERFORMERS
    return LearningInsights(
        chosen.rep,
        question.focus_area,
        chosen.period,
        chosen.rubric_version,
        chosen.sessions,
        chosen.average,
        chosen.top_performers,
        len(own),
        len(best),
        differences(own, best),
        tuple(segments),
        note,
    )
