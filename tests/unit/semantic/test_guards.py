"""What a guard must notice, and what it must let pass."""

from __future__ import annotations

import pytest

from tailrace.semantic.guards import question, veto

SAME = [
    ("What is the capital of France?", "what is the capital of france"),
    ("How do I set up voicemail on my phone?", "On my phone, how do I set up voicemail?"),
    ("What's the best way to clean a kettle?", "um so whats the best way to clean a kettle"),
    ("How do I renew my library books?", "Hello, how can I renew my library book please? Thanks"),
    ("When does the term start?", "When does the term begin?"),
    ("How do I request a prescription?", "How do I reqest a prescrption?"),
    ("Is it 1,000 EUR?", "Is it 1000 eur?"),
]

DIFFERENT = [
    ("numbers", "How long do I roast a 1kg chicken?", "How long do I roast a 2kg chicken?"),
    ("numbers", "Is the shop open on Monday?", "Is the shop open on Tuesday?"),
    ("numbers", "Is it open at 2pm?", "Is it open at 2am?"),
    ("numbers", "What costs £5?", "What costs $5?"),
    ("numbers", "The first of three steps?", "The second of three steps?"),
    ("negation", "Cancel my subscription", "Don't cancel my subscription"),
    ("negation", "Which plans include calls?", "Which plans don't include calls?"),
    ("negation", "Can I pay with a card?", "Can I not pay with a card?"),
    ("opposite", "Is ibuprofen safe with alcohol?", "Is ibuprofen unsafe with alcohol?"),
    ("opposite", "How do I enable logging?", "How do I disable logging?"),
    ("opposite", "How do I import contacts?", "How do I export contacts?"),
    ("direction", "How do I migrate from MySQL to Postgres?", "How do I migrate from Postgres to MySQL?"),
    ("direction", "Is a cat bigger than a fox?", "Is a fox bigger than a cat?"),
    ("words", "How do I learn C++?", "How do I learn C#?"),
    ("words", "What is the last train to Bristol?", "What is the last train to Brighton?"),
    ("words", "Does Karen work here?", "Does Daren work here?"),
    ("scope", "Can I see my files?", "Can I see his files?"),
    ("scope", "Can I work from home?", "Can contractors work from home?"),
    ("scope", "What is the allowance?", "What is the allowance for children?"),
    ("scope", "How do I use C?", "How do I use C++ and C?"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same_question_put_otherwise_passes(one: str, other: str) -> None:
    """Order, courtesy, slips of the pen, endings, synonyms and punctuation change nothing."""
    assert veto(question(one), question(other)) is None
    assert veto(question(other), question(one)) is None


@pytest.mark.parametrize(("reason", "one", "other"), DIFFERENT)
def test_another_question_is_noticed(reason: str, one: str, other: str) -> None:
    """However close the texts are, and whichever was asked first."""
    assert veto(question(one), question(other)) == reason
    assert veto(question(other), question(one)) == reason


@pytest.mark.parametrize("text", ["", "?", "\ud800", "...", "½ ² ①", "'s n't", "not", "日本語の質問", "a" * 10_000])
def test_any_text_is_a_question(text: str) -> None:
    """And is itself."""
    assert veto(question(text), question(text)) is None
