"""Whether what a search found has anything to do with the question. Pure.

A search ranks, and has a best text for any question, one of no sense too. How near the nearest text is tells the two
apart, as far as one figure can: of questions that a collection answers the nearest text is nearer than of others.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["UNKNOWN", "Evidence"]

UNKNOWN = 0.42
"""Least cosine where no text has any word of the question: letters without sense seldom come to it."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a search knows of its question as a whole.

    Attributes:
        nearest: cosine of the question and the text nearest to it; None where no text has a vector.
        words: of the question, as far as they say something.
        worded: whether any text has one of them.
    """

    nearest: float | None
    words: int
    worded: bool

    def suffices(self, least: float) -> bool:
        """Whether the collection may have an answer.

        A single word that stands in a text is looked up, not asked about: names of settings have hardly a meaning of
        their own. Where no text has a vector yet, words decide.

        Args:
            least: cosine, 0..1, from which on the nearest text speaks of what was asked; 0: anything suffices.

        >>> Evidence(0.55, 4, True).suffices(0.36), Evidence(0.31, 3, True).suffices(0.36)
        (True, False)
        >>> Evidence(0.34, 1, True).suffices(0.36), Evidence(0.41, 1, False).suffices(0.36)
        (True, False)
        """
        if least <= 0:
            return True
        if self.nearest is None or (self.worded and self.words == 1):
            return self.worded
        return self.nearest >= (least if self.worded else max(least, UNKNOWN))
