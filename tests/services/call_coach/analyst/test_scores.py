"""Scores follow the rubric: what is better scores higher, by how much is worked out by hand, and says why."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
from tests.services.call_coach.analyst.talking import talk

from tailrace_services.call_coach.analyst import (
    RUBRIC_VERSION,
    Analysis,
    Conversation,
    ConversationMetrics,
    Turn,
)
from tailrace_services.call_coach.analyst.metrics import find
from tailrace_services.call_coach.generator import Scale
from tailrace_services.call_coach.generator.calls import plan_calls
from tailrace_services.call_coach.generator.population import populate
from tailrace_services.call_coach.generator.turns import KIND, make_turns
from tailrace_services.call_coach.generator.vocabulary import load_vocabulary, sentence_pools
from tailrace_services.call_coach.model import DIMENSIONS

GOOD = (
    "R 0-10 How do you close the books today?",
    "P 11-60 With spreadsheets, by hand, and every month somebody in finance works through the weekend.",
    "R 61-70 What would it mean to close in three days?",
    "P 71-110 Honestly, a lot. But I'm concerned about the migration.",
    "R 111-150 I understand. One customer in retail moved in four weeks. What worries you most?",
    "P 151-170 Who would support us after the launch?",
    "R 171-190 A team of four people, whom our customers in banking have rated very well.",
    "R 190-200 Let's schedule a session with them on Thursday.",
    "P 200-205 Thursday works for us.",
)
BAD = (
    "R 0-300 Um, so, you know, we have, like, many features, basically, and, um, dashboards, uh, and alerts.",
    "P 299-303 That is too expensive.",
    "R 301-500 Um, and, uh, there is the query builder, you know.",
    "P 500-503 Does it scale to us?",
    "R 502-505 Sure.",
    "P 505-506 Okay.",
)


async def analysed(*lines: str) -> Analysis:
    """The default analysis of a conversation."""
    return await ConversationMetrics().analyse(talk(*lines))


async def test_by_hand() -> None:
    """Every criterion of the good call is met: 88 s of 201 s are the representative's, which is 43.8 %, and so on."""
    analysis = await analysed(*GOOD)
    assert analysis.rubric_version == RUBRIC_VERSION
    assert not analysis.degraded
    assert {each.dimension: each.score for each in analysis.dimensions} == dict.fromkeys(DIMENSIONS, 100)
    assert all(each.improvements == () for each in analysis.dimensions)
    handled = analysis.dimensions[2]
    assert handled.evidence[0].quote == "Honestly, a lot. But I'm concerned about the migration."
    assert (handled.evidence[0].start_ms, handled.evidence[0].speaker) == (71_000, "P")


async def test_a_bad_call_scores_low_and_says_why() -> None:
    """Long, interrupting, without questions or next step: low in every dimension, each with something to improve."""
    analysis = await analysed(*BAD)
    scores = {each.dimension: each.score for each in analysis.dimensions}
    assert all(score is not None and score <= 40 for score in scores.values()), scores
    engagement = analysis.dimensions[3]
    assert "talk less and listen more" in engagement.improvements
    assert "agree on a next step with a day before the end" in engagement.improvements
    assert all(each.improvements for each in analysis.dimensions)


async def test_no_occasion_no_score() -> None:
    """Where nobody objects there is no score for handling objections; without a representative there is none at all."""
    calm = await analysed("R 0-5 How are you doing these days?", "P 5-9 Fine, thank you for asking.")
    assert calm.dimensions[2].score is None
    assert calm.dimensions[1].score is not None
    assert [each.score for each in (await analysed("P 0-5 Hello?")).dimensions] == [None] * 4
    assert [each.score for each in (await analysed()).dimensions] == [None] * 4


def test_what_was_generated_is_found() -> None:
    """In generated calls, whose turns were made to ask, object, respond or agree, the metrics find just these."""
    people = populate(Scale("known", 120, 6_000, 12, 40), 1, load_vocabulary())
    plan, run = plan_calls(people, datetime(2026, 3, 1, tzinfo=UTC)), slice(0, 120)
    pools = sentence_pools(people.vocabulary, np.random.default_rng(1))
    made = make_turns(people, plan, run, pools, np.random.default_rng(2))
    side = np.where(made.speaker <= plan.engineers[run][made.call], "rep", "prospect")
    calls: dict[int, list[Turn]] = {}
    for index, call in enumerate(made.call.tolist()):
        who = (index, str(made.speaker[index]), str(side[index]))  # numbered through all calls
        turn = Turn(*who, int(made.start_ms[index]), int(made.end_ms[index]), made.texts[index])
        calls.setdefault(call, []).append(turn)
    found = [find(Conversation.of(turns)) for turns in calls.values()]
    asked = {question.turn.number: question.open for each in found for question in each.questions}
    objected = {objection.turn.number for each in found for objection in each.objections}
    agreed = {turn.number for each in found for turn in each.next_steps}

    def share(kind: str, holds: Callable[[int], bool]) -> float:
        turns = np.flatnonzero(made.kind == KIND[kind]).tolist()
        assert len(turns) > 50
        return sum(holds(turn) for turn in turns) / len(turns)

    assert share("open_question", lambda turn: asked.get(turn, False)) == 1
    assert share("closed_question", lambda turn: asked.get(turn, False)) == 0
    assert share("closed_question", asked.__contains__) > 0.9  # "Does that make sense?" asks for nothing
    assert share("next_step", agreed.__contains__) > 0.95
    assert share("backchannel", lambda turn: turn in asked or turn in objected or turn in agreed) == 0
    assert share("objection", objected.__contains__) > 0.5  # some doubt without saying so, as people do
    responses = [o for each in found for o in each.objections if o.response]
    good = [o.handled for o in responses if o.response and made.kind[o.response.number] == KIND["objection_response"]]
    assert all(good)
    assert len(good) > 30
    assert sum(o.handled for o in responses) < len(responses)
