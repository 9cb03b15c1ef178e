"""``analyze_opportunity``: where a sale stands, from its calls and emails. Pure.

An answer is about the newest calls and emails, :data:`MOST_CALLS` and :data:`MOST_EMAILS` at most; whatever is older is
counted, not read.

- *Ours* is an email whose sender's address has the domain of the opportunity's owner; all others are the prospect's. In
  a call, whoever is not on the representatives' side counts as the prospect.
- *Sentiment* of a touchpoint, a call or an email, is that of the prospect's words, see :mod:`.sentiment`; its trend is
  over the touchpoints that have one, in order of time, see :mod:`.trend`.
- *Engagement* of a call is the share of all words that the prospect says, 0..1; its trend is over the calls.
- *Contacts* are the prospect's people, by address, or by name where a speaker has none.
- *Themes*, *objections*: see :mod:`.themes`. *Risks*, *recommendations*: see :mod:`.risks`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Literal

from tailrace.errors import RequestError
from tailrace_services.call_coach.analyst import Conversation, Turn
from tailrace_services.call_coach.analyst.conversation import words
from tailrace_services.call_coach.analyst.mentions import dated_next_steps
from tailrace_services.call_coach.tools.risks import Recommendation, Risk, Signals, recommendations, risks
from tailrace_services.call_coach.tools.sentiment import Sentiment, sentiment
from tailrace_services.call_coach.tools.themes import (
    ObjectionKind,
    Raised,
    Theme,
    mentions,
    objection_kinds,
    raised,
    recurring,
)
from tailrace_services.call_coach.tools.trend import Trend, trend

__all__ = [
    "MOST_CALLS",
    "MOST_EMAILS",
    "AnalyzeOpportunity",
    "HeldCall",
    "OpportunityAnalysis",
    "OpportunityFacts",
    "OpportunityHead",
    "SentEmail",
    "Touchpoint",
    "opportunity_analysis",
    "opportunity_not_found",
]

MOST_CALLS = 25
MOST_EMAILS = 50
LATEST = 3
"""Touchpoints whose sentiment is the latest."""
CLOSED = ("closed_won", "closed_lost")


@dataclass(frozen=True, slots=True)
class AnalyzeOpportunity:
    """What is asked."""

    opportunity_id: int


@dataclass(frozen=True, slots=True)
class OpportunityHead:
    """The opportunity itself."""

    id: int
    name: str
    account: str
    owner_email: str
    stage: str
    amount: Decimal
    close_date: date
    health_score: int | None


@dataclass(frozen=True, slots=True)
class HeldCall:
    """A call. ``people`` are those on the prospect's side who were there, by address or name."""

    id: int
    title: str
    call_type: str
    scheduled_at: datetime
    people: frozenset[str]
    turns: tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class SentEmail:
    """An email."""

    id: int
    sender_email: str
    recipients: tuple[str, ...]
    subject: str
    body: str
    sent_at: datetime


@dataclass(frozen=True, slots=True)
class OpportunityFacts:
    """What the answer is derived from: the newest calls and emails in any order, and how many there are in all."""

    head: OpportunityHead
    calls: int
    emails: int
    newest_calls: Sequence[HeldCall]
    newest_emails: Sequence[SentEmail]


@dataclass(frozen=True, slots=True)
class Touchpoint:
    """A call or an email. ``engagement`` and ``objections`` are for calls only."""

    kind: Literal["call", "email"]
    id: int
    at: datetime
    title: str
    by: Literal["ours", "prospect", "both"]
    sentiment: float | None
    engagement: float | None
    objections: int | None
    themes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OpportunityAnalysis:
    """What is answered; ``timeline`` is newest first. The slopes of trends are for a step of one touchpoint or call."""

    opportunity: OpportunityHead
    today: date
    calls: int
    emails: int
    contacts: int
    timeline: tuple[Touchpoint, ...]
    themes: tuple[Theme, ...]
    objections: tuple[ObjectionKind, ...]
    sentiment: float | None
    sentiment_trend: Trend
    engagement_trend: Trend
    risks: tuple[Risk, ...]
    recommendations: tuple[Recommendation, ...]


@dataclass(frozen=True, slots=True)
class _Read:
    """A touchpoint that has been read."""

    touchpoint: Touchpoint
    felt: Sentiment
    themes: Counter[str]
    raised: Sequence[Raised] = ()
    dated_next_step: bool = False


def opportunity_not_found(opportunity_id: int) -> RequestError:
    """The error for an opportunity that there is not."""
    return RequestError(f"there is no opportunity {opportunity_id}", status=404, code="opportunity_not_found")


def opportunity_analysis(facts: OpportunityFacts, today: date) -> OpportunityAnalysis:
    """The answer as of ``today``. Cost: some 20 us a turn."""
    domain = _domain(facts.head.owner_email)
    calls = [_read_call(call) for call in facts.newest_calls]
    emails = [_read_email(email, domain) for email in facts.newest_emails]
    every = sorted((*calls, *emails), key=lambda read: (read.touchpoint.at, read.touchpoint.kind, read.touchpoint.id))
    objections = [each for read in every for each in read.raised]
    moods = [read.touchpoint.sentiment for read in every if read.touchpoint.sentiment is not None]
    shares = [read.touchpoint.engagement for read in every if read.touchpoint.engagement is not None]
    sentiment_trend, engagement_trend = trend(list(enumerate(moods))), trend(list(enumerate(shares)))
    people = _contacts(facts, domain)
    newest_call = next((read for read in reversed(every) if read.touchpoint.kind == "call"), None)
    found = risks(
        Signals(
            is_open=facts.head.stage not in CLOSED,
            days_silent=_days_silent(every, today),
            days_overdue=(today - facts.head.close_date).days,
            sentiment=sentiment_trend.direction,
            engagement=engagement_trend.direction,
            latest_sentiment=_together(every[-LATEST:]),
            objections=len(objections),
            handled=sum(each.handled for each in objections),
            contacts=people,
            competitor_touchpoints=sum(bool(read.themes["competition"]) for read in every),
            dated_next_step=newest_call.dated_next_step if newest_call else None,
            health_score=facts.head.health_score,
        )
    )
    return OpportunityAnalysis(
        opportunity=facts.head,
        today=today,
        calls=facts.calls,
        emails=facts.emails,
        contacts=people,
        timeline=tuple(read.touchpoint for read in reversed(every)),
        themes=recurring([(read.touchpoint.at, read.themes) for read in every]),
        objections=objection_kinds(objections),
        sentiment=_together(every),
        sentiment_trend=sentiment_trend,
        engagement_trend=engagement_trend,
        risks=found,
        recommendations=recommendations(found),
    )


def _read_call(call: HeldCall) -> _Read:
    conversation = Conversation.of(call.turns)
    felt, themes, said_by_prospect, said = Sentiment(), Counter[str](), 0, 0
    for turn in conversation.turns:
        themes += mentions(turn.words)
        said += len(turn.words)
        if turn.side != "rep":
            felt += sentiment(turn.words)
            said_by_prospect += len(turn.words)
    objections = raised(call.id, call.scheduled_at, conversation)
    touchpoint = Touchpoint(
        "call",
        call.id,
        call.scheduled_at,
        call.title,
        "both",
        felt.score,
        round(said_by_prospect / said, 3) if said else None,
        len(objections),
        tuple(sorted(themes)),
    )
    return _Read(touchpoint, felt, themes, objections, bool(dated_next_steps(conversation)))


def _read_email(email: SentEmail, domain: str) -> _Read:
    ours = _domain(email.sender_email) == domain
    said = words(f"{email.subject}\n{email.body}")
    felt = Sentiment() if ours else sentiment(said)
    themes = mentions(said)
    touchpoint = Touchpoint(
        "email",
        email.id,
        email.sent_at,
        email.subject,
        "ours" if ours else "prospect",
        felt.score,
        None,
        None,
        tuple(sorted(themes)),
    )
    return _Read(touchpoint, felt, themes)


def _together(every: Iterable[_Read]) -> float | None:
    return sum((read.felt for read in every), Sentiment()).score


def _days_silent(every: Sequence[_Read], today: date) -> int | None:
    """Since the prospect's newest call or email; 0 if that is to come."""
    newest = next((read.touchpoint.at for read in reversed(every) if read.touchpoint.by != "ours"), None)
    return None if newest is None else max(0, (today - newest.astimezone(UTC).date()).days)


def _contacts(facts: OpportunityFacts, domain: str) -> int:
    people = {person for call in facts.newest_calls for person in call.people}
    addresses = {address for email in facts.newest_emails for address in (email.sender_email, *email.recipients)}
    return len(people | {address for address in addresses if _domain(address) != domain})


def _domain(address: str) -> str:
    return address.rpartition("@")[2].lower()
