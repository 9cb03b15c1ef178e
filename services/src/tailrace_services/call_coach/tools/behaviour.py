"""How somebody's calls differ from the best ones' in what is said and when. Pure.

Each behaviour is a figure of a call's conversation metrics, by their definitions; those that grow with a call's length
are taken by the minute of talk. Two groups of calls are compared by Cliff's delta, see :mod:`.effect`, and by their
medians. Advice is given for differences that are not negligible, towards what the best do; it is this service's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from tailrace_services.call_coach.analyst import Metrics
from tailrace_services.call_coach.tools.effect import Magnitude, cliffs_delta, magnitude

__all__ = ["BEHAVIOURS", "FEWEST_CALLS", "Behaviour", "Difference", "differences"]

FEWEST_CALLS = 3
"""With fewer calls that have a figure, on either side, nothing is said about it."""

Figure = Callable[[Metrics], float | None]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """A figure of a call, the dimension it shows, and what to do when it is lower or higher than the best ones'."""

    name: str
    dimension: str
    figure: Figure
    if_lower: str
    if_higher: str


@dataclass(frozen=True, slots=True)
class Difference:
    """A behaviour in the representative's calls and in the top performers'.

    Attributes:
        median, top_median: of the calls that have the figure; ``calls`` and ``top_calls`` are how many these are.
        delta: Cliff's; below 0 where the representative's figures are lower.
        advice: None where the difference is negligible.
    """

    behaviour: str
    dimension: str
    median: float
    top_median: float
    calls: int
    top_calls: int
    delta: float
    magnitude: Magnitude
    advice: str | None


def _by_minute(count: Callable[[Metrics], int]) -> Figure:
    def figure(metrics: Metrics) -> float | None:
        minutes = (metrics.speaking_seconds + metrics.listening_seconds) / 60
        return count(metrics) / minutes if minutes else None

    return figure


def _share(part: Callable[[Metrics], int], whole: Callable[[Metrics], int]) -> Figure:
    return lambda metrics: part(metrics) / whole(metrics) if whole(metrics) else None


BEHAVIOURS = (
    Behaviour(
        *("questions_per_minute", "discovery", _by_minute(lambda m: m.questions)),
        "Ask more questions before presenting.",
        "Ask fewer questions, and follow up on the answers.",
    ),
    Behaviour(
        *("open_question_share", "discovery", lambda m: m.open_question_share),
        "Turn closed questions into open ones: how, what, why.",
        "Confirm what you heard with a closed question now and then.",
    ),
    Behaviour(
        *("longest_customer_story_seconds", "discovery", lambda m: m.longest_customer_story_seconds),
        "Leave the prospect room to tell a longer story.",
        "Bring long stories back to the point with a question.",
    ),
    Behaviour(
        *("questions_answered_share", "product_knowledge"),
        _share(lambda m: m.questions_answered, lambda m: m.questions_due),
        "Answer every question of the prospect with substance before going on.",
        "Answer shorter where a short answer will do.",
    ),
    Behaviour(
        *("fillers_per_minute", "product_knowledge", lambda m: m.fillers_per_minute),
        "Nothing to change: the top performers use more filler words.",
        "Pause in silence where a filler word would come.",
    ),
    Behaviour(
        *("words_per_minute", "product_knowledge", lambda m: m.words_per_minute),
        "Speak a little faster.",
        "Speak more slowly, above all when explaining.",
    ),
    Behaviour(
        *("objections_handled_share", "objection_handling"),
        _share(lambda m: m.objections_handled, lambda m: m.objections),
        "Acknowledge each objection, ask what is behind it, or answer with evidence.",
        "Nothing to change: more objections are handled than by the top performers.",
    ),
    Behaviour(
        *("patience_seconds", "objection_handling", lambda m: m.patience_seconds),
        "Wait a moment before answering.",
        "Answer a little sooner.",
    ),
    Behaviour(
        *("talk_share", "engagement", lambda m: m.talk_share),
        "Take more of the talk: explain and propose.",
        "Talk less and listen more.",
    ),
    Behaviour(
        *("longest_monologue_seconds", "engagement", lambda m: m.longest_monologue_seconds),
        "Explain in full where it matters.",
        "Break long explanations up with a question.",
    ),
    Behaviour(
        *("interruptions_per_minute", "engagement", _by_minute(lambda m: m.interruptions)),
        "Nothing to change: the top performers interrupt more.",
        "Let others finish before speaking.",
    ),
    Behaviour(
        *("switches_per_minute", "engagement", lambda m: m.switches_per_minute),
        "Let the conversation go back and forth more.",
        "Stay with a thought before handing over.",
    ),
    Behaviour(
        *("dated_next_steps", "engagement", lambda m: float(m.dated_next_steps)),
        "End each call with a next step that has a day.",
        "Agree on one next step rather than several.",
    ),
)


def differences(own: Sequence[Metrics], best: Sequence[Metrics]) -> tuple[Difference, ...]:
    """What can be said of every behaviour, the greatest difference first."""
    found = []
    for behaviour in BEHAVIOURS:
        ours = [value for metrics in own if (value := behaviour.figure(metrics)) is not None]
        theirs = [value for metrics in best if (value := behaviour.figure(metrics)) is not None]
        if min(len(ours), len(theirs)) >= FEWEST_CALLS:
            found.append(_difference(behaviour, ours, theirs))
    return tuple(sorted(found, key=lambda each: (-abs(each.delta), each.behaviour)))


def _difference(behaviour: Behaviour, ours: list[float], theirs: list[float]) -> Difference:
    delta = cliffs_delta(ours, theirs)
    size = magnitude(delta)
    return Difference(
        behaviour.name,
        behaviour.dimension,
        round(median(ours), 3),
        round(median(theirs), 3),
        len(ours),
        len(theirs),
        round(delta, 3),
        size,
        None if size == "negligible" else behaviour.if_lower if delta < 0 else behaviour.if_higher,
    )
