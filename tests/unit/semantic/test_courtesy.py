"""What surrounds a question and is not looked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.semantic.courtesy import without_courtesy

ASKED = "How do I import a module"


@pytest.mark.parametrize(
    "courteous",
    [
        *(
            f"{ASKED} please?",
            f"{ASKED} exactly, please?",
            f"{ASKED}, please, exactly",
            f"Hi! Please, {ASKED}, kindly?",
        ),
        *(
            f"{ASKED}, thanks!",
            f"{ASKED}, please. Thank you!",
            f"ok um {ASKED} please… thanks again",
            f"OK, {ASKED}, cheers",
        ),
    ],
)
def test_courtesy_at_the_ends_is_left_out(courteous: str) -> None:
    """The same question is looked for, however politely it is asked."""
    assert without_courtesy(courteous).rstrip("?.! …") == ASKED


@pytest.mark.parametrize(
    "text",
    [
        *("", "  ", "Please?", "hello, please exactly", "How do I say thank you?", "What does hello world print?"),
        *("Is it exactly one", "How do I write thanks", "How  do I import\ta module?", "Which is it: please, or kind?"),
    ],
)
def test_what_may_be_meant_stays(text: str) -> None:
    """Nothing within a question is touched, nor one that is nothing else, nor its spaces where there is no courtesy."""
    assert without_courtesy(text) == text


@given(st.lists(st.sampled_from(["please", "exactly,", "Thanks!", "thank", "you.", "sort", "a list?", "", "\x00"])))
def test_nothing_is_added_and_twice_is_once(words: list[str]) -> None:
    """What is left is a part of the text, never nothing, and has no more courtesy to lose."""
    text = " ".join(words)
    left = without_courtesy(text)
    assert left == text or left in " ".join(text.split())
    assert bool(left) == bool(text)
    assert without_courtesy(left) == left
