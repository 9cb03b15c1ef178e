"""Generated calls as lines of PostgreSQL's text COPY format. Pure; see ``tailrace_services.data.copy_text``."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tailrace_services.call_coach.generator.calls import NOBODY, Plan
from tailrace_services.call_coach.generator.population import COMPANY_DOMAIN, Population
from tailrace_services.call_coach.generator.turns import Turns
from tailrace_services.call_coach.model import CALL_TYPES
from tailrace_services.data.copy_text import moment

__all__ = ["call_lines", "link_lines", "speaker_lines", "turn_lines"]

_TITLES = {
    "discovery": "Discovery call",
    "demo": "Demonstration",
    "negotiation": "Terms and pricing",
    "follow_up": "Follow-up",
    "renewal": "Renewal",
    "other": "Introduction",
}


def call_lines(people: Population, plan: Plan, run: slice, durations: NDArray[np.int64]) -> Iterator[str]:
    """Lines of ``calls``: id, title, product, call_type, scheduled_at, duration_seconds, created_at.

    Args:
        durations: milliseconds, one for each call in ``run``.
    """
    products = people.vocabulary.product_names
    for position, length in zip(range(run.start, run.stop), durations.tolist(), strict=True):
        kind = CALL_TYPES[plan.kind[position]]
        about, scheduled = int(plan.opportunity[position]), int(plan.scheduled[position])
        title = _TITLES[kind] if about == NOBODY else f"{_TITLES[kind]} with {people.account(about)}"
        ended = moment(scheduled + length // 1000 + 60)
        yield (
            f"{position + 1}\t{title}\t{products[plan.product[position]]}\t{kind}\t{moment(scheduled)}\t"
            f"{length / 1000:.3f}\t{ended}\n"
        )


def link_lines(plan: Plan, run: slice) -> Iterator[str]:
    """Lines of ``call_opportunities``: call_id, opportunity_id."""
    for position in range(run.start, run.stop):
        if (about := int(plan.opportunity[position])) != NOBODY:
            yield f"{position + 1}\t{about + 1}\n"


def speaker_lines(people: Population, plan: Plan, run: slice, talk: NDArray[np.int64]) -> Iterator[str]:
    """Lines of ``speakers``: id, call_id, name, email, role, company_side, talk_time_seconds.

    Args:
        talk: milliseconds, one for each speaker of the calls in ``run``, in order.
    """
    speaker = int(plan.first_speaker[run.start])
    spoken = iter(talk.tolist())
    for position in range(run.start, run.stop):
        for name, email, role, side in _present(people, plan, position):
            yield f"{speaker}\t{position + 1}\t{name}\t{email}\t{role}\t{side}\t{next(spoken) / 1000:.3f}\n"
            speaker += 1


def _present(people: Population, plan: Plan, position: int) -> Iterator[tuple[str, str, str, str]]:
    """Name, address, role and side of those in a call, in the plan's order."""
    rep, about = int(plan.rep[position]), int(plan.opportunity[position])
    yield people.rep_name(rep), people.rep_email(rep), "account executive", "rep"
    if plan.engineers[position]:
        number = rep % 40
        yield people.rep_name(-2 - number), f"engineer{number + 1:02d}@{COMPANY_DOMAIN}", "solutions engineer", "rep"
    # A call about no opportunity is with people of some company all the same.
    company = about if about != NOBODY else position % people.scale.opportunities
    for number in range(int(plan.contacts[position])):
        yield (*people.contact(company, number), "prospect")
    if plan.partners[position]:
        roles = people.vocabulary.people["partner_roles"]
        number = company % 25
        yield people.rep_name(-50 - number), f"partner{number + 1:02d}@partner.example", roles[number % 3], "partner"


def turn_lines(plan: Plan, run: slice, turns: Turns) -> Iterator[str]:
    """Lines of ``transcripts``: id, call_id, speaker_id, sequence_number, start_ms, end_ms, text."""
    speakers = plan.first_speaker[run][turns.call] + turns.speaker
    fields = (turns.call + run.start + 1, speakers, turns.number, turns.start_ms, turns.end_ms)
    turn_id = int(plan.first_turn[run.start])
    for call, speaker, number, start, end, text in zip(*(field.tolist() for field in fields), turns.texts, strict=True):
        yield f"{turn_id}\t{call}\t{speaker}\t{number}\t{start}\t{end}\t{text}\n"
        turn_id += 1
