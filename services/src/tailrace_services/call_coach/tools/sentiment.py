"""Whether words are friendly. Pure.

The score is the relative difference of positive and negative words, (P - N) / (P + N), from -1 to 1; a text with
neither has none. A word that one of the three words before it negates counts for the other side.

**Source:** Lowe, Benoit, Mikhaylov and Laver, "Scaling policy preferences from coded political texts", Legislative
Studies Quarterly 36 (2011), for the relative difference; Hutto and Gilbert, "VADER: a parsimonious rule-based model for
sentiment analysis of social media text", ICWSM (2014), for negation within three words. The words are this project's
own, see ``phrases.toml``: lists for films or news misread the talk of sales.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tailrace_services.call_coach.tools.phrasebook import Lists, default_lists

__all__ = ["Sentiment", "sentiment"]

NEGATED_WITHIN = 3
"""Words before one that may negate it."""


@dataclass(frozen=True, slots=True)
class Sentiment:
    """Words of either kind."""

    positive: int = 0
    negative: int = 0

    def __add__(self, other: Sentiment) -> Sentiment:
        return Sentiment(self.positive + other.positive, self.negative + other.negative)

    @property
    def score(self) -> float | None:
        """-1 to 1; None where there is neither."""
        polar = self.positive + self.negative
        return round((self.positive - self.negative) / polar, 3) if polar else None


def sentiment(said: Sequence[str], lists: Lists | None = None) -> Sentiment:
    """Of the words of one text, in lower case.

    >>> sentiment("that is great but not easy and we are worried".split())
    Sentiment(positive=1, negative=2)
    """
    lists = lists or default_lists()
    counts = {"positive": 0, "negative": 0}
    for polarity, place in lists.sentiment.find(said):
        negated = any(word in lists.negations for word in said[max(0, place - NEGATED_WITHIN) : place])
        counts[_OPPOSITE[polarity] if negated else polarity] += 1
    return Sentiment(**counts)


_OPPOSITE = {"positive": "negative", "negative": "positive"}
