"""When the requests of an open loop are due. Pure.

A closed loop sends the next request when the last one was answered, so a server that stalls is asked less and its
stall hardly shows (coordinated omission). A pacer fixes every arrival beforehand; the latency of a request counts from
the moment it was due, whether or not it could be sent then.

**Source:** Gil Tene, "How NOT to measure latency"; Schroeder et al., "Open versus closed: a cautionary tale"
(NSDI 2006).
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

__all__ = ["Pacer"]


class Pacer:
    """A schedule of arrivals.

    Args:
        rate: arrivals a second, above 0.
        duration: seconds over which they are spread.
        jitter: None for a constant distance; a source of randomness for Poisson arrivals of the same mean rate.

    >>> list(Pacer(rate=4, duration=1))
    [0.0, 0.25, 0.5, 0.75]
    """

    __slots__ = ("duration", "jitter", "rate")

    def __init__(self, rate: float, duration: float, *, jitter: Random | None = None) -> None:
        if rate <= 0 or duration < 0:
            raise ValueError("rate must be above 0 and duration not below 0")
        self.rate = rate
        self.duration = duration
        self.jitter = jitter

    def __iter__(self) -> Iterator[float]:
        """Seconds from the start at which each request is due, never decreasing, all below ``duration``."""
        if self.jitter is None:
            number = 0
            # Multiplied, not added up: ten million steps of 1/rate must not drift.
            while (due := number / self.rate) < self.duration:
                yield due
                number += 1
            return
        due = self.jitter.expovariate(self.rate)
        while due < self.duration:
            yield due
            due += self.jitter.expovariate(self.rate)
