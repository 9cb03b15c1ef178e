"""Rate limits as one number a caller: the generic cell rate algorithm. Pure: time is an argument.

A bucket holds ``burst`` units, and ``amount`` more flow in each ``period``, one every ``interval``. All that has to be
remembered of it is one moment, the *theoretical arrival time* (``arrival``): when the bucket will be full again. The
time until then is its backlog; a request of ``cost`` units adds ``cost`` intervals to it and is admitted if the backlog
stays within ``span``, that is ``burst`` intervals. A bucket whose ``arrival`` has passed says nothing that an absent
one does not, so idle buckets need not be kept.

Time is counted in whole microseconds, so nothing is ever rounded while deciding, here or in a Valkey script (whose
numbers are exact up to 2**53). An interval that is no whole number of microseconds is rounded up once, when the rate is
declared: a rate is never exceeded, and fallen short of by less than one microsecond a unit.

Whatever the order of calls, admitted units never exceed ``burst`` plus one for each ``interval`` by which time has gone
forward. A clock that is set back can only make callers wait, and for no longer than a bucket takes to drain: a backlog
above ``span`` cannot be genuine and counts as ``span``.

**Source:** ITU-T I.371 annex A (virtual scheduling); "GCRA" in governor and throttled; Brandur Leach, "Rate limiting,
cells, and GCRA", 2015.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["LONGEST_SPAN", "SECOND", "Decision", "Rate", "parse_rate"]

SECOND = 1_000_000
"""Microseconds: the unit of every time here."""
LONGEST_SPAN = 366 * 24 * 3600 * SECOND
"""A bucket that takes longer to fill is refused when it is declared."""

_UNITS = {"s": 1, "second": 1, "m": 60, "minute": 60, "h": 3600, "hour": 3600, "d": 86400, "day": 86400}
_WRITTEN = re.compile(r"\s*([0-9]{1,9})\s*/\s*([0-9]{0,6})\s*(s|m|h|d|(?:second|minute|hour|day)s?)\s*")


class Decision(NamedTuple):
    """What was decided of one bucket. Times in microseconds.

    Attributes:
        rate: the bucket's.
        allowed: whether the bucket had room. Of several buckets decided together, each says so for itself.
        arrival: when the bucket will be full again, after the decision.
        now: the moment of the decision, by the same clock.
        cost: units asked for.
    """

    rate: Rate
    allowed: bool
    arrival: int
    now: int
    cost: int

    @property
    def remaining(self) -> int:
        """Units that could be taken at once."""
        return (self.rate.span - self.reset) // self.rate.interval

    @property
    def reset(self) -> int:
        """Time until the bucket is full."""
        return max(0, self.arrival - self.now)

    @property
    def retry_after(self) -> int:
        """Time after which the same request is admitted if nobody else asks; not a microsecond sooner. 0: allowed."""
        if self.allowed:
            return 0
        return self.reset + self.cost * self.rate.interval - self.rate.span


_new = tuple.__new__
# ``_new(Decision, fields)`` at half the price of calling the class, in a function that costs little else.


@dataclass(frozen=True, slots=True)
class Rate:
    """How many units may be used. Times in microseconds.

    Args:
        amount: units in each ``period``.
        period: over which they flow in evenly.
        burst: units that may be used at once after a pause; by default ``amount``.

    Attributes:
        interval: time in which one unit flows in.
        span: time in which an empty bucket fills.

    Raises:
        ValueError: a figure is not positive, more than a million units a second, or a bucket that takes over a year.
    """

    amount: int
    period: int
    burst: int = 0
    interval: int = field(init=False)
    span: int = field(init=False)

    def __post_init__(self) -> None:
        if self.amount < 1 or self.period < 1 or self.burst < 0:
            raise ValueError("a rate needs an amount, a period and a burst of at least 1")
        if self.amount > self.period:
            raise ValueError("a rate above 1,000,000 a second cannot be told apart from none")
        interval = -(-self.period // self.amount)
        burst = self.burst or self.amount
        if burst * interval > LONGEST_SPAN:
            raise ValueError("a bucket that takes more than a year to fill is a mistake")
        for name, value in (("burst", burst), ("interval", interval), ("span", burst * interval)):
            object.__setattr__(self, name, value)

    def decide(self, arrival: int, now: int, cost: int = 1) -> Decision:
        """Take ``cost`` units at ``now`` from a bucket that is full at ``arrival``; 0 only looks.

        The bucket is then to be remembered by the decision's ``arrival``, which a refusal leaves as it was.

        >>> rate = parse_rate("2/s")
        >>> [rate.decide(0, 0).arrival, rate.decide(500_000, 0).arrival, rate.decide(1_000_000, 0).retry_after]
        [500000, 1000000, 500000]
        """
        most = now + self.span
        if arrival < now:
            arrival = now
        elif arrival > most:
            arrival = most
        after = arrival + cost * self.interval
        if after > most:
            return _new(Decision, (self, False, arrival, now, cost))
        return _new(Decision, (self, True, after, now, cost))

    def grant(self, arrival: int, now: int, cost: int, most: int) -> tuple[int, int]:
        """Take up to ``most`` units, but half of what there is at most unless ``cost`` needs more, to be used later.

        So the last units of a bucket are shared out ever more thinly among those who take in advance.

        Returns:
            Units taken, 0 if there are less than ``cost``, and when the bucket is full then.
        """
        arrival = min(max(arrival, now), now + self.span)
        there = (now + self.span - arrival) // self.interval
        taken = 0 if there < cost else max(cost, min(most, there // 2))
        return taken, arrival + taken * self.interval

    def shared_by(self, parts: int) -> Rate:
        """One of ``parts`` equal rates that together are no more than this one, but for a burst of at least 1 each."""
        return Rate(self.amount, self.period * parts, max(1, self.burst // parts))


def parse_rate(text: str, burst: int = 0) -> Rate:
    """Read a rate as in ``20/minute``, ``100/s`` or ``5 / 10 seconds``.

    Raises:
        ValueError: it is none.

    >>> parse_rate("100/minute", burst=150).burst, parse_rate("3/2h").interval // SECOND
    (150, 2400)
    """
    written = _WRITTEN.fullmatch(text)
    if written is None:
        raise ValueError(f"{text[:40]!r} is no rate; write 100/minute, 5/s or 1000/24 hours")
    amount, number, unit = written.groups()
    seconds = int(number or 1) * _UNITS[unit if len(unit) == 1 else unit.rstrip("s")]
    return Rate(int(amount), seconds * SECOND, burst)
