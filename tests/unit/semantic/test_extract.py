"""Extractive answers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tailrace.semantic.extract import best_sentences

TEXTS = [
    "Indexes are wonderful things. A partial index holds only rows that satisfy its condition. Many people like them.",
    "Cats purr for many reasons. A partial index holds only rows that satisfy a condition. Dogs do not purr at all.",
    "The condition of an index must not depend on the time.",
]


def test_the_sentences_that_answer_are_quoted() -> None:
    """Those with the question's words, the same only once, in the order of their sources."""
    quotes = best_sentences("What condition do the rows of a partial index satisfy?", TEXTS, count=2)
    assert [(quote.source, quote.sentence) for quote in quotes] == [
        (0, "A partial index holds only rows that satisfy its condition."),
        (2, "The condition of an index must not depend on the time."),
    ]


def test_the_best_text_stands_where_no_word_is_shared() -> None:
    """A text that was found by its meaning is quoted from its beginning."""
    assert best_sentences("zzz", TEXTS, count=1)[0].sentence == "Indexes are wonderful things."
    assert best_sentences("zzz", [], count=1) == []


@given(st.text(max_size=80), st.lists(st.text(max_size=300), max_size=4), st.integers(0, 4))
def test_nothing_is_invented(asked: str, texts: list[str], count: int) -> None:
    """Every sentence stands in its source, whatever the texts are."""
    quotes = best_sentences(asked, texts, count=count)
    assert len(quotes) <= count
    assert all(quote.sentence in texts[quote.source] for quote in quotes)
