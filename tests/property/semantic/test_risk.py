"""The bound on wrong answers, against worlds whose truth is known."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.semantic.risk import EXPLORED, LIMIT, WrongAnswers, is_at_least

QUESTIONS = 4_000

WORLDS: dict[str, Callable[[float], float]] = {
    "close is right": lambda similarity: 1.0 if similarity > 0.85 else 0.0,
    "never quite": lambda similarity: min(0.995, similarity),
    "mostly wrong": lambda similarity: 0.3,
    "steep": lambda similarity: min(1.0, max(0.0, (similarity - 0.8) * 8)),
    "always right": lambda similarity: 1.0,
}


def lived(world: Callable[[float], float], at_most: float, similarities: int | None = None) -> tuple[int, int]:
    """Hits, and wrong hits, among questions that have a close one, of so many similarities or of any."""
    chance, risk = random.Random(7), WrongAnswers(at_most)
    hits = wrong = 0
    for _ in range(QUESTIONS):
        similarity = 1 - 0.25 * chance.random()
        if similarities is not None:
            similarity = round(similarity * similarities) / similarities
        right = chance.random() < world(similarity)
        if chance.random() < risk.share(similarity):
            hits += 1
            wrong += not right
        else:
            risk.compare(similarity, right=right)
    return hits, wrong


@pytest.mark.parametrize("at_most", [0.02, 0.05])
@pytest.mark.parametrize("world", WORLDS)
def test_no_more_are_wrong_than_allowed(world: str, at_most: float) -> None:
    """Whatever the truth is, of the answers served no more than that share is wrong, from the first one on; where kept
    answers are right, most are served, and where they are not, none."""
    hits, wrong = lived(WORLDS[world], at_most)
    assert wrong <= at_most * hits
    if world == "always right":
        assert hits > QUESTIONS / 2
    if world == "mostly wrong":
        assert hits == 0


@pytest.mark.parametrize("at_most", [0.02, 0.05])
@pytest.mark.parametrize("world", ["mostly wrong", "never quite"])
def test_the_same_questions_again_and_again(world: str, at_most: float) -> None:
    """Where many ask the same two questions, each for himself, as many comparisons are of one similarity; which of them
    count does not depend on what they showed."""
    hits, wrong = lived(WORLDS[world], at_most, similarities=4)
    assert wrong <= at_most * hits
    assert (hits == 0) is (world == "mostly wrong")


def test_nothing_is_served_untested() -> None:
    """Without comparisons, or with none at or below a similarity, nothing is known."""
    risk = WrongAnswers(0.05)
    assert risk.share(1.0) == 0.0
    for _ in range(1_000):
        risk.compare(0.9, right=True)
    assert risk.share(0.95) == risk.share(0.9) == 1 - EXPLORED
    assert risk.share(0.89) == 0.0


@given(st.lists(st.tuples(st.floats(0.7, 1), st.booleans()), max_size=200), st.floats(0.7, 1), st.floats(0.001, 0.5))
def test_a_fault_never_helps(seen: list[tuple[float, bool]], similarity: float, at_most: float) -> None:
    """A share is one, and what would be served more often after a wrong answer than after a right one is nothing."""
    risk, worse = WrongAnswers(at_most), WrongAnswers(at_most)
    for at, right in seen:
        risk.compare(at, right=right)
        worse.compare(at, right=False)
    assert 0 <= worse.share(similarity) <= risk.share(similarity) <= 1


@given(st.integers(1, 500), st.floats(0, 1), st.floats(0.5, 0.999), st.floats(1e-6, 0.5))
def test_evidence_counts_by_its_amount(of: int, share: float, least: float, doubt: float) -> None:
    """What was seen must be better than what is claimed; the same share of more trials claims no less, and less doubt
    no more."""
    right = round(of * share)
    said = is_at_least(least, right, of, doubt)
    if said:
        assert right / of > least
        assert is_at_least(least, right * 2, of * 2, doubt)
        assert is_at_least(least, right + 1, of + 1, doubt)
    else:
        assert not is_at_least(least, right, of, doubt / 2)


def test_the_last_comparisons_count() -> None:
    """Memory is bounded, and a world that has changed is learnt anew."""
    risk = WrongAnswers(0.05)
    for right in (True, False):
        for number in range(LIMIT):
            risk.compare(0.8 + (number % 100) / 500, right=right)
        assert len(risk) == LIMIT
    assert risk.share(1.0) == 0.0


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1])
def test_a_bound_is_a_share(share: float) -> None:
    """None wrong at all cannot be promised of similar questions."""
    with pytest.raises(ValueError):
        WrongAnswers(share)
