"""Words for which two questions differ although their vectors hardly do. Pure: tables and how a text becomes words.

Which words say nothing is listed in ``wording.toml``, and every other word counts: one that nobody thought of costs a
hit, never a wrong answer.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from importlib.resources import files

__all__ = [
    "DIRECTIONS",
    "EMPTY",
    "NEGATIONS",
    "NUMBERS",
    "SYNONYMS",
    "folded",
    "is_number",
    "opposite",
    "stem",
    "words_of",
]


def _tables() -> dict[str, list[str]]:
    text = files("tailrace.semantic").joinpath("wording.toml").read_text(encoding="utf-8")
    return {name: words.split() for name, words in tomllib.loads(text).items()}


_WORDS = _tables()
EMPTY = frozenset(_WORDS["empty"])
NEGATIONS = frozenset(_WORDS["negations"])
DIRECTIONS = frozenset(_WORDS["directions"])
NUMBERS = frozenset(_WORDS["numbers"])
OPPOSITES = {
    frozenset((word, other))
    for entry in _WORDS["opposites"]
    for word, _, others in [entry.partition(":")]
    for other in others.split(",")
}
SYNONYMS = {word: group.split(",")[0] for group in reversed(_WORDS["synonyms"]) for word in group.split(",")}
"""Word to the one that stands for it."""
ENDINGS = ("ings", "ing", "edly", "ed", "ies", "es", "s", "ly", "'s")

_WORD = re.compile(r"[^\W_]+(?:['.+#&/:_-]+[^\W_]+)*[+#]*|[^\w\s.,;:!?\"'()\[\]{}<>…-]", re.UNICODE)
_CONTRACTIONS = (
    (re.compile(r"\bcan't\b|\bcannot\b|\bcant\b"), "can not"),
    (re.compile(r"\bwon't\b"), "will not"),
    (re.compile(r"\b(do|does|did|is|are|was|were|has|have|had|would|could|should|must|need)n'?t\b"), r"\1 not"),
    (re.compile(r"\b(what|where|when|who|how|it|that|there|here)'?s\b"), r"\1 is"),
    (re.compile(r"\bi'?m\b"), "i am"),
    (re.compile(r"\bi'?ve\b"), "i have"),
    (re.compile(r"'s\b"), "s"),
    (re.compile(r"(?<=\d),(?=\d\d\d)"), ""),
)
_QUOTES = str.maketrans("’‘‛“”–—‐‑", "'''\"\"----")


def folded(text: str) -> str:
    """One form for texts that are the same but for case, spaces, kinds of quotes and closing punctuation.

    Signs that mean something stay: C, C++ and C# are three.

    >>> folded("  What’s  C++ ?! ")
    "what's c++"
    """
    plain = unicodedata.normalize("NFKC", text).translate(_QUOTES).casefold()
    return re.sub(r"\s*[?!.…\s]+$", "", " ".join(plain.split()))


def words_of(text: str) -> list[str]:
    """The words of a text that is folded, contractions written out, numbers without separators.

    >>> words_of("what's £1,250.50 in c++ if i don't pay")
    ['what', 'is', '£', '1250.50', 'in', 'c++', 'if', 'i', 'do', 'not', 'pay']
    """
    for pattern, replacement in _CONTRACTIONS:
        text = pattern.sub(replacement, text)
    return _WORD.findall(text)


def is_number(word: str) -> bool:
    """True for what counts, orders or dates.

    >>> is_number("10gb"), is_number("tuesday"), is_number("gigabyte")
    (True, True, False)
    """
    return word in NUMBERS or any(character.isdigit() for character in word) or not word[0].isalnum()


def opposite(one: str, other: str) -> bool:
    """True if one of two words is the contrary of the other, as far as the tables and prefixes know.

    >>> opposite("unsafe", "safe"), opposite("import", "export"), opposite("safe", "secure")
    (True, True, False)
    """
    if frozenset((one, other)) in OPPOSITES:
        return True
    short, long = sorted((one, other), key=len)
    return len(short) > 2 and any(long == prefix + short for prefix in _WORDS["negative_prefixes"])


def stem(word: str) -> str:
    """The beginning of a word, which its forms have in common.

    >>> stem("changes"), stem("changing"), stem("change")
    ('chang', 'chang', 'chang')
    """
    for ending in ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)].rstrip("e")
    return word.rstrip("e")
