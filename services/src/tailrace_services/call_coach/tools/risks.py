"""What endangers an opportunity, and what to do about it. Pure.

Rules over what was observed, each with its bound; bounds and advice are this service's own. Only open opportunities are
judged: those that are closed have no risks any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tailrace_services.call_coach.tools.trend import Direction

__all__ = ["Recommendation", "Risk", "Signals", "recommendations", "risks"]

SILENT_DAYS, LONG_SILENT_DAYS = 14, 30
UNFRIENDLY = -0.25
HANDLED_SHARE = 0.5
COMPETITOR_TOUCHPOINTS = 2
UNHEALTHY = 40

Severity = Literal["high", "medium"]


@dataclass(frozen=True, slots=True)
class Signals:
    """What was observed.

    Args:
        is_open: neither won nor lost.
        days_silent: since the prospect last spoke or wrote; None if they never did.
        days_overdue: since the expected close; not above 0 if that is to come.
        sentiment, engagement: which way they go.
        latest_sentiment: of the newest touchpoints together.
        objections, handled: raised, and handled.
        contacts: people of the prospect.
        competitor_touchpoints: calls and emails that speak of competition.
        dated_next_step: whether the newest call agreed on one with a day; None without calls.
        health_score: 0..100, or None.
    """

    is_open: bool
    days_silent: int | None
    days_overdue: int
    sentiment: Direction
    engagement: Direction
    latest_sentiment: float | None
    objections: int
    handled: int
    contacts: int
    competitor_touchpoints: int
    dated_next_step: bool | None
    health_score: int | None


@dataclass(frozen=True, slots=True)
class Risk:
    """A risk by its code, and what it is seen from."""

    code: str
    severity: Severity
    reason: str


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What to do about a risk."""

    risk: str
    action: str


ACTIONS = {
    "overdue": "Agree with the prospect on a new date, and on what has to happen before it.",
    "silent": "Reach out to the prospect with something useful, and to somebody else there if nobody answers.",
    "souring": "Ask openly what has changed, and bring in somebody they trust.",
    "disengaging": "Talk less in the next call: prepare questions, and let the prospect lead.",
    "objections_open": "Take the open objections up again, one by one, with evidence.",
    "single_contact": "Ask who else is concerned, and bring a second person into the next call.",
    "competition": "Find out which criteria matter, and show where the difference lies by those.",
    "no_next_step": "Agree on a next step with a day, in writing, now.",
    "unhealthy": "Review with the manager whether and how this can still be won.",
}


def risks(seen: Signals) -> tuple[Risk, ...]:
    """The risks, high ones first, otherwise in the order of the rules."""
    if not seen.is_open:
        return ()
    found = [*_time(seen), *_mood(seen), *_people(seen)]
    return tuple(sorted(found, key=lambda risk: risk.severity != "high"))


def recommendations(found: Sequence[Risk]) -> tuple[Recommendation, ...]:
    """One for each risk, in the same order."""
    return tuple(Recommendation(risk.code, ACTIONS[risk.code]) for risk in found)


def _time(seen: Signals) -> list[Risk]:
    found = []
    if seen.days_overdue > 0:
        found.append(Risk("overdue", "high", f"the expected close was {seen.days_overdue} days ago"))
    if seen.days_silent is None:
        found.append(Risk("silent", "high", "the prospect has never spoken or written"))
    elif seen.days_silent > SILENT_DAYS:
        severity: Severity = "high" if seen.days_silent > LONG_SILENT_DAYS else "medium"
        found.append(Risk("silent", severity, f"nothing from the prospect for {seen.days_silent} days"))
    if seen.dated_next_step is False:
        found.append(Risk("no_next_step", "medium", "the newest call agreed on no next step with a day"))
    return found


def _mood(seen: Signals) -> list[Risk]:
    found = []
    if seen.sentiment == "falling":
        found.append(Risk("souring", "high", "the prospect's sentiment is falling"))
    elif seen.latest_sentiment is not None and seen.latest_sentiment <= UNFRIENDLY:
        found.append(Risk("souring", "medium", f"the newest touchpoints have a sentiment of {seen.latest_sentiment}"))
    if seen.engagement == "falling":
        found.append(Risk("disengaging", "medium", "the prospect says less and less in calls"))
    if seen.objections and seen.handled / seen.objections < HANDLED_SHARE:
        open_ones = seen.objections - seen.handled
        found.append(Risk("objections_open", "medium", f"{open_ones} of {seen.objections} objections were not handled"))
    return found


def _people(seen: Signals) -> list[Risk]:
    found = []
    if seen.contacts == 1:
        found.append(Risk("single_contact", "medium", "only one person of the prospect is involved"))
    if seen.competitor_touchpoints >= COMPETITOR_TOUCHPOINTS:
        found.append(
            Risk("competition", "medium", f"{seen.competitor_touchpoints} calls and emails speak of competition")
        )
    if seen.health_score is not None and seen.health_score < UNHEALTHY:
        found.append(Risk("unhealthy", "high", f"the health score is {seen.health_score}"))
    return found
