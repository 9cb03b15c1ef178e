"""How long to wait before trying again: exponential back-off with full jitter. Pure: randomness is an argument.

Full jitter spreads the retries of many callers evenly over the pause, which costs the recovering service the least of
the known schemes. **Source:** Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Backoff"]

_LARGEST_EXPONENT = 64
"""Doubling more often than this changes nothing but would overflow a float some day."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses that double: at most ``base``, 2 x ``base``, 4 x ``base``, ... and never above ``cap`` (all seconds)."""

    base: float = 1.0
    cap: float = 30.0

    def __post_init__(self) -> None:
        if not (0 < self.base <= self.cap):
            raise ValueError("a back-off needs 0 < base <= cap")

    def ceiling(self, retry: int) -> float:
        """The longest pause before the ``retry``-th retry (the first is 0), in seconds.

        >>> [Backoff(1.0, 30.0).ceiling(n) for n in range(6)]
        [1.0, 2.0, 4.0, 8.0, 16.0, 30.0]
        """
        return float(min(self.cap, self.base * 2.0 ** min(retry, _LARGEST_EXPONENT)))

    def delay(self, retry: int, random: float, *, at_least: float = 0.0) -> float:
        """The pause before the ``retry``-th retry, in seconds.

        Args:
            retry: 0 for the first.
            random: a number in 0..1, evenly distributed.
            at_least: what the other side asked for (``Retry-After``), in seconds; the jitter is then added on top,
                so that those who were told the same moment do not all come back at it.

        >>> Backoff(1.0).delay(2, 0.5)
        2.0
        >>> Backoff(1.0).delay(0, 0.5, at_least=3.0)
        3.5
        """
        return at_least + self.ceiling(retry) * random
