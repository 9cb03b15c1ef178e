"""Who may ask as somebody: every representative, and some programs. Pure."""

from __future__ import annotations

from datetime import datetime

from tailrace_services.call_coach.generator.population import Population
from tailrace_services.call_coach.keys import api_key
from tailrace_services.identity.keys import hash_api_key

__all__ = ["PROGRAMS", "CallerRow", "caller_rows"]

PROGRAMS = 10
"""Callers that are no person; their ids follow the representatives'."""

CallerRow = tuple[int, str, str | None, str, datetime]


def caller_rows(people: Population, start: datetime) -> list[CallerRow]:
    """Rows of ``callers``: id, name, email, api_key_hash, created_at. A representative's id is the one in ``reps``."""
    reps = people.scale.reps
    known = [(people.rep_name(rep), people.rep_email(rep)) for rep in range(reps)]
    programs = [(f"integration {number}", None) for number in range(1, PROGRAMS + 1)]
    return [
        (caller_id, name, email, hash_api_key(api_key(people.seed, caller_id)), start)
        for caller_id, (name, email) in enumerate([*known, *programs], start=1)
    ]
