"""Courtesy around a question, which is not looked for. Pure.

"Please" and "exactly" say nothing of what is asked, and yet move a question's vector: far enough that another passage
comes first where several are nearly as near, and the same question finds another answer.
"""

from __future__ import annotations

__all__ = ["without_courtesy"]

BEFORE = frozenset(["please", "kindly", "hello", "hi", "hey", "hiya", "sorry", "ok", "okay", "uh", "um"])
AFTER = frozenset(["please", "kindly", "exactly"])
THANKS = (("thanks",), ("cheers",), ("thank", "you"), ("many", "thanks"), ("thanks", "again"))
"""After a mark of punctuation only: how to say thanks may be what is asked."""
_MARKS = ",;:.?!…"


def without_courtesy(text: str) -> str:
    """The text without words of courtesy at its ends; as it is where it has none, or nothing else. Cost: 5 us.

    >>> without_courtesy("Hello, how do I import a module please, exactly?")
    'how do I import a module'
    >>> without_courtesy("Why is it slow? Thank you!"), without_courtesy("How do I say thank you?")
    ('Why is it slow?', 'How do I say thank you?')
    """
    words = text.split()
    said = [word.strip(_MARKS).casefold() for word in words]
    first, end = 0, len(words)
    while first < end and said[first] in BEFORE:
        first += 1
    while end > first and (length := _thanks(words, said, end) or (said[end - 1] in AFTER)):
        end -= length
    if first == end or end - first == len(words):
        return text
    kept = " ".join(words[first:end])
    return kept.rstrip(",;:")


def _thanks(words: list[str], said: list[str], end: int) -> int:
    """How many words of thanks end there, behind a mark."""
    for thanks in THANKS:
        begin = end - len(thanks)
        if begin > 0 and tuple(said[begin:end]) == thanks and words[begin - 1][-1] in _MARKS:
            return len(thanks)
    return 0
