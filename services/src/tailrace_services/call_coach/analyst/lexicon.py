"""The words and phrases of ``lexicon.toml``, ready to be looked for. Touches: that file, read once."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources

__all__ = ["Lexicon", "Phrases", "default_lexicon"]


class Phrases:
    """A list of phrases, found as whole words whatever their case, the longest first.

    >>> Phrases(["follow up", "by us"]).find("A Follow up, then follow ups by us")
    ['follow up', 'by us']
    """

    __slots__ = ("_pattern", "_start", "phrases")

    def __init__(self, phrases: Iterable[str]) -> None:
        listed = sorted((phrase.lower() for phrase in phrases), key=len, reverse=True)
        self.phrases = tuple(listed)
        """All of them, in lower case."""
        either = "|".join(re.escape(phrase) for phrase in listed)
        self._pattern = re.compile(rf"(?<![\w'])(?:{either})(?![\w'])" if listed else r"(?!)")
        self._start = re.compile(rf"(?:{either})(?![\w'])" if listed else r"(?!)")

    def find(self, text: str) -> list[str]:
        """Every phrase in ``text``, in order, in lower case."""
        return self._pattern.findall(_plain(text))

    def starts(self, text: str) -> str | None:
        """The phrase that ``text`` begins with, or None."""
        match = self._start.match(_plain(text))
        return match[0] if match else None


@dataclass(frozen=True)
class Lexicon:
    """What the file says, see there."""

    backchannels: frozenset[str]
    filled_pauses: Phrases
    discourse_fillers: Phrases
    question_connectives: Phrases
    open_starters: Phrases
    closed_what: Phrases
    invitations: Phrases
    tag_questions: frozenset[str]
    next_steps: Phrases
    dates: Phrases
    pricing: Phrases
    competitors: Phrases
    competition: Phrases
    objections: Phrases
    acknowledgements: Phrases
    evidence: Phrases


@cache
def default_lexicon() -> Lexicon:
    """The lexicon of the file."""
    lists = tomllib.loads(resources.files(__package__).joinpath("lexicon.toml").read_text(encoding="utf-8"))
    sets = {name: frozenset(lists.pop(name)) for name in ("backchannels", "tag_questions")}
    phrases = {name: Phrases(each) for name, each in lists.items()}
    return Lexicon(**sets, **phrases)  # type: ignore[arg-type]  # a name of the file too many or too few fails here


def _plain(text: str) -> str:
    return text.replace("’", "'").lower()
