"""Whether another retry may be afforded: a token bucket fed by calls. Pure: time is an argument.

Retries help against single failures and make an overload worse. A budget allows them as a share of the calls made, so
that a service that fails everything receives at most ``1 + ratio`` times its load and not ``1 + retries`` times.
**Source:** Finagle's ``RetryBudget``; "The Site Reliability Workbook", chapter "Managing Load".
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["RetryBudget"]


@dataclass(slots=True)
class RetryBudget:
    """Tokens: every call adds ``ratio``, time adds ``minimum_per_second``, every retry takes one.

    Args:
        ratio: retries allowed for each call, 0..1.
        minimum_per_second: retries allowed for each second whatever the number of calls, so that a client that calls
            rarely can retry at all.
        reserve: most tokens that are saved up; the bucket starts full.
    """

    ratio: float = 0.2
    minimum_per_second: float = 1.0
    reserve: float = 10.0
    _tokens: float = field(init=False)
    _at: float | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if self.ratio < 0 or self.minimum_per_second < 0 or self.reserve < 1:
            raise ValueError("a retry budget needs ratio >= 0, minimum_per_second >= 0 and reserve >= 1")
        self._tokens = self.reserve

    def deposit(self, now: float) -> None:
        """A call begins at ``now`` (monotonic seconds)."""
        self._advance(now)
        self._tokens = min(self.reserve, self._tokens + self.ratio)

    def withdraw(self, now: float) -> bool:
        """Take the token for one retry; False when there is none, and then nothing is taken."""
        self._advance(now)
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def balance(self, now: float) -> float:
        """Retries that could be made at ``now``."""
        self._advance(now)
        return self._tokens

    def _advance(self, now: float) -> None:
        if self._at is not None and now > self._at:
            self._tokens = min(self.reserve, self._tokens + (now - self._at) * self.minimum_per_second)
        if self._at is None or now > self._at:
            self._at = now
