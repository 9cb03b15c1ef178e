"""What holds for every conversation there can be."""

from __future__ import annotations

import dataclasses
import math

from hypothesis import given
from hypothesis import strategies as st

from tailrace_services.call_coach.analyst import Conversation, ConversationMetrics, Metrics, Turn, measure
from tailrace_services.call_coach.analyst.rubric import falling, rising
from tailrace_services.call_coach.model import DIMENSIONS

SPEECH = (
    "How do you do it? Okay. Um, we like, you know, that. It is too expensive. I understand. The price is fair. "
    "Let's schedule a session on Monday. Brightlane has it. A customer in retail said so. Is it? Mm-hmm."
)
SAID = st.one_of(st.lists(st.sampled_from(SPEECH.split()), max_size=25).map(" ".join), st.text(max_size=40))
PEOPLE = [("R", "rep"), ("S", "rep"), ("P", "prospect"), ("Q", "prospect"), ("X", "partner")]


@st.composite
def conversations(draw: st.DrawFn) -> Conversation:
    """Some turns of up to five people, overlapping in every way."""
    turns = []
    for number in range(1, draw(st.integers(0, 14)) + 1):
        name, side = draw(
            st.sampled_from([("R", "rep"), ("S", "rep"), ("P", "prospect"), ("Q", "prospect"), ("X", "partner")])
        )
        start = draw(st.integers(0, 60_000))
        turns.append(Turn(number, name, side, start, start + draw(st.integers(0, 30_000)), draw(SAID)))
    return Conversation.of(turns)


def figures(metrics: Metrics) -> dict[str, float | None]:
    """The metrics by name."""
    return dataclasses.asdict(metrics)


@given(conversations())
def test_bounds(call: Conversation) -> None:
    """Shares lie between 0 and 1, counts do not exceed what they are counted among, nothing is negative or infinite."""
    metrics = measure(call)
    for name, value in figures(metrics).items():
        assert value is None or (value >= 0 and math.isfinite(value)), name
    for share in (metrics.talk_share, metrics.open_question_share):
        assert share is None or share <= 1
    turns = len(call.turns)
    assert metrics.interruptions + metrics.interrupted <= turns
    assert metrics.dated_next_steps <= metrics.next_steps <= turns
    assert max(metrics.pricing_mentions, metrics.competitor_mentions) <= turns
    assert metrics.objections_handled <= metrics.objections <= turns
    assert metrics.questions_answered <= metrics.questions_due <= metrics.questions_asked_back
    span = call.span_ms / 1000
    assert max(metrics.longest_monologue_seconds, metrics.longest_customer_story_seconds) <= span
    assert max(metrics.speaking_seconds, metrics.listening_seconds) <= span


@given(conversations(), st.integers(0, 10_000_000))
def test_when_the_recording_began_does_not_matter(call: Conversation, later: int) -> None:
    """All turns moved by the same time give the same figures."""
    moved = Conversation.of(
        dataclasses.replace(turn, start_ms=turn.start_ms + later, end_ms=turn.end_ms + later) for turn in call.turns
    )
    assert measure(moved) == measure(call)


@given(conversations())
def test_names_do_not_matter(call: Conversation) -> None:
    """Other names for the same people give the same figures."""
    renamed = Conversation.of(
        dataclasses.replace(turn, speaker=f"{turn.speaker} of {turn.side}") for turn in call.turns
    )
    assert measure(renamed) == measure(call)


@given(conversations())
def test_sides_swapped_swap_the_figures(call: Conversation) -> None:
    """Representatives and the others change places, and so do the figures that both sides have."""
    other = {"rep": "prospect", "prospect": "rep", "partner": "rep"}
    before = measure(call)
    after = measure(Conversation.of(dataclasses.replace(turn, side=other[turn.side]) for turn in call.turns))
    assert (after.speaking_seconds, after.listening_seconds) == (before.listening_seconds, before.speaking_seconds)
    assert (after.interruptions, after.interrupted) == (before.interrupted, before.interruptions)
    assert (after.questions, after.questions_asked_back) == (before.questions_asked_back, before.questions)
    assert after.longest_monologue_seconds == before.longest_customer_story_seconds
    assert after.switches_per_minute == before.switches_per_minute
    if before.talk_share is not None:
        assert after.talk_share is not None
        assert math.isclose(after.talk_share + before.talk_share, 1)


@given(conversations())
async def test_scores_and_evidence(call: Conversation) -> None:
    """Every dimension is judged once, between 0 and 100 or not at all; every quotation is of the call."""
    analysis = await ConversationMetrics().analyse(call)
    assert analysis == await ConversationMetrics().analyse(call)
    assert tuple(each.dimension for each in analysis.dimensions) == DIMENSIONS
    turns = {turn.number: turn for turn in call.turns}
    for each in analysis.dimensions:
        assert each.score is None or 0 <= each.score <= 100
        assert each.score is not None or not (each.strengths or each.improvements or each.evidence)
        assert not set(each.strengths) & set(each.improvements)
        assert len({evidence.sequence_number for evidence in each.evidence}) == len(each.evidence)
        for evidence in each.evidence:
            turn = turns[evidence.sequence_number]
            assert (evidence.start_ms, evidence.end_ms, evidence.speaker) == (turn.start_ms, turn.end_ms, turn.speaker)
            assert turn.text.startswith(evidence.quote.removesuffix("…"))


@given(st.floats(-1e6, 1e6), st.floats(0, 100), st.floats(0.1, 100))
def test_points_are_shares(value: float, low: float, width: float) -> None:
    """Points never leave 0..1, and falling mirrors rising."""
    assert 0 <= rising(value, low, low + width) <= 1
    assert math.isclose(falling(value, low, low + width), 1 - rising(value, low, low + width))
