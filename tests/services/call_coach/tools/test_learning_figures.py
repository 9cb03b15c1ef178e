"""Who is learned from, from which calls, and what differs, by hand."""

from __future__ import annotations

import dataclasses
from datetime import date
from typing import Any

from tailrace_services.call_coach.analyst import Conversation, Metrics, measure
from tailrace_services.call_coach.model import DIMENSIONS
from tailrace_services.call_coach.tools.behaviour import BEHAVIOURS, differences
from tailrace_services.call_coach.tools.coaching_plan import EXERCISES
from tailrace_services.call_coach.tools.learning_insights import Session, TopPerformer, sample, top_performers
from tailrace_services.call_coach.tools.period import Period
from tailrace_services.call_coach.tools.rep_insights import Marks, RepName

SILENCE = measure(Conversation.of([]))


def call(**figures: Any) -> Metrics:
    """A minute of talk with some figures."""
    return dataclasses.replace(SILENCE, speaking_seconds=40.0, listening_seconds=20.0, **figures)


def test_top_performers_by_hand() -> None:
    """The highest averages of those with five sessions, five at most, of equals the first address."""
    everybody = [(number, f"{name}@example.com", name, Marks(5, points)) for number, name, points in (
        (1, "ann", 300), (2, "bo", 400), (3, "cy", 300), (4, "di", 310), (5, "ed", 100), (6, "flo", 200))]  # fmt: skip
    everybody += [(7, "gus@example.com", "gus", Marks(4, 400)), (8, "hal@example.com", "hal", Marks())]
    assert [(each.name, each.average) for each in top_performers(everybody)] == [
        ("bo", 80.0),
        ("di", 62.0),
        ("ann", 60.0),
        ("cy", 60.0),
        ("flo", 40.0),
    ]


def test_sample_by_hand() -> None:
    """Twelve own sessions and six of each best, each call once; segments by score, the newer first, with evidence."""
    bo, cy = (TopPerformer(number, f"{name}@example.com", name, 9, 80.0) for number, name in ((2, "bo"), (3, "cy")))
    sessions: dict[int | None, list[Session]] = {
        None: [Session(number, number // 2, 50, True) for number in range(40, 20, -1)],
        2: [Session(100 + number, number, 90 - number, number != 0) for number in range(10)],
        3: [Session(200 + number, number, 89, True) for number in range(2)],
    }
    rep, period = RepName("ann@example.com", "Ann", ""), Period(date(2026, 1, 1), date(2026, 1, 31))
    found = sample(rep, period, "manager-1", Marks(3, 100), (bo, cy), sessions)
    assert (found.sessions, found.average) == (3, 33.33)
    assert found.own_calls == (20, 19, 18, 17, 16, 15, 14)
    assert found.top_calls == (0, 1, 2, 3, 4, 5)
    assert [(each.session_id, each.rep.name) for each in found.chosen] == [
        (201, "cy"),
        (200, "cy"),
        (101, "bo"),
        (102, "bo"),
        (103, "bo"),
    ]


def test_differences_by_hand() -> None:
    """Medians of the calls that have a figure, Cliff's delta of all pairs, advice towards the best."""
    own = [call(questions=count, objections=1, objections_handled=0) for count in (1, 2, 3)] + [SILENCE]
    best = [call(questions=count, objections=2, objections_handled=1) for count in (3, 5, 6, 6)]
    found = {each.behaviour: each for each in differences(own, best)}
    questions = found["questions_per_minute"]
    # Twelve pairs: eleven lower, one equal. A call without talk has no questions a minute.
    assert (questions.median, questions.top_median, questions.calls, questions.top_calls) == (2.0, 5.5, 3, 4)
    assert (questions.delta, questions.magnitude) == (-0.917, "large")
    assert questions.advice == "Ask more questions before presenting."
    handled = found["objections_handled_share"]
    assert (handled.median, handled.top_median, handled.delta) == (0.0, 0.5, -1.0)
    interruptions = found["interruptions_per_minute"]
    assert (interruptions.delta, interruptions.magnitude, interruptions.advice) == (0.0, "negligible", None)
    assert "patience_seconds" not in found
    assert differences(own, best)[0].behaviour == "objections_handled_share"


def test_too_few_calls_say_nothing() -> None:
    """Two calls on either side are no group."""
    assert differences([call()] * 2, [call()] * 9) == ()
    assert differences([call()] * 3, []) == ()


def test_every_dimension_has_behaviours_and_an_exercise() -> None:
    """Whatever dimension is in focus, there is something to see in it and to do about it."""
    assert {behaviour.dimension for behaviour in BEHAVIOURS} == set(DIMENSIONS) == set(EXERCISES)
    assert len({behaviour.name for behaviour in BEHAVIOURS}) == len(BEHAVIOURS)
