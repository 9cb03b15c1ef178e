"""Coaching sessions of generated calls: half of them, in all four dimensions. Pure.

Scores follow the representative's skill at the time, so that averages differ and trends are real; they stand for what
a manager gave after listening, under a rubric version of their own. The evidence quotes a turn of the call itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tailrace_services.call_coach.generator.calls import Plan
from tailrace_services.call_coach.generator.population import Population
from tailrace_services.call_coach.generator.turns import KIND, Turns, skills
from tailrace_services.call_coach.model import DIMENSIONS
from tailrace_services.data.copy_text import array_literal, escaped, moment

__all__ = ["MANAGER_RUBRIC", "session_lines"]

MANAGER_RUBRIC = "manager-1"
"""The rubric version of scores given by a person."""
_COACHED = 0.5
_EVIDENCE = {
    "product_knowledge": ("pitch", "proof", "competitor_response"),
    "discovery": ("open_question", "closed_question"),
    "objection_handling": ("objection_response", "objection", "pricing"),
    "engagement": ("next_step", "backchannel", "greeting"),
}


def session_lines(
    people: Population,
    plan: Plan,
    run: slice,
    turns: Turns,
    first_id: int,
    ends: int,
    random: np.random.Generator,
) -> Iterator[str]:
    """Lines of ``coaching_sessions``, four for each coached call.

    Fields: id, call_id, rep_id, dimension, score, strengths, improvements, evidence, rubric_version, created_at.

    Args:
        first_id: of the first line.
        ends: seconds since 1970; no session is later, whatever would be is left out.
    """
    calls = run.stop - run.start
    skill = skills(people, plan, run)
    scores = np.clip(np.round(28 + 58 * skill + random.normal(0.0, 9.0, skill.shape)), 0, 100).astype(np.int64)
    created = plan.scheduled[run] + 3600 + (random.lognormal(0.0, 1.0, calls) * 40_000).astype(np.int64)
    coached = np.flatnonzero((random.random(calls) < _COACHED) & (created < ends))
    quoted = [_evidence_turns(turns, _EVIDENCE[dimension]) for dimension in DIMENSIONS]
    choice = random.integers(0, 4, (calls, 4, 2))
    names = {rep: people.rep_name(rep) for rep in np.unique(plan.rep[run]).tolist()}
    session = first_id
    for call in coached.tolist():
        rep, when = int(plan.rep[run.start + call]), moment(int(created[call]))
        for number, dimension in enumerate(DIMENSIONS):
            score = int(scores[call, number])
            turn = int(quoted[number][call])
            evidence = {
                "sequence_number": int(turns.number[turn]),
                "start_ms": int(turns.start_ms[turn]),
                "end_ms": int(turns.end_ms[turn]),
                "speaker": names[rep],
                "quote": turns.texts[turn],
            }
            good, bad = _remarks(people, dimension, score, *choice[call, number].tolist())
            yield (
                f"{session}\t{run.start + call + 1}\t{rep + 1}\t{dimension}\t{score}\t{array_literal(good)}\t"
                f"{array_literal(bad)}\t{escaped(json.dumps([evidence]))}\t{MANAGER_RUBRIC}\t{when}\n"
            )
            session += 1


def _evidence_turns(turns: Turns, kinds: tuple[str, ...]) -> NDArray[np.int64]:
    """``(calls,) int64``: the first turn of the representative in each call, of the most telling kind there is."""
    firsts = np.flatnonzero(turns.number == 1)
    own = turns.speaker == 0
    rank = np.full(turns.kind.size, len(kinds) + 1)
    for number, kind in reversed(list(enumerate(kinds))):
        rank[own & (turns.kind == KIND[kind])] = number
    rank[own & (rank > len(kinds))] = len(kinds)
    order = rank * turns.kind.size + np.arange(turns.kind.size)
    best: NDArray[np.int64] = np.minimum.reduceat(order, firsts) % turns.kind.size
    return best


def _remarks(people: Population, dimension: str, score: int, good: int, bad: int) -> tuple[list[str], list[str]]:
    """What was good and what to do better: more of the one the higher the score."""
    remarks = people.vocabulary.coaching[dimension]
    strengths, improvements = remarks["strengths"], remarks["improvements"]
    best = [strengths[(good + step) % len(strengths)] for step in range((score >= 40) + (score >= 75))]
    worst = [improvements[(bad + step) % len(improvements)] for step in range((score < 85) + (score < 45))]
    return best, worst
