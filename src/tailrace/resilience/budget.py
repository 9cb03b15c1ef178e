"""A retry budget shared by everything that calls one dependency. Touches: the clock it is given."""

from __future__ import annotations

from tailrace.clock import Clock
from tailrace.core.retry_budget import RetryBudget

__all__ = ["Budget"]


class Budget:
    """Counts calls and grants retries as a share of them; see ``tailrace.core.retry_budget``.

    Args:
        ratio: retries allowed for each call, 0..1.
        minimum_per_second: retries allowed each second however few the calls.
        reserve: most retries saved up for a bad moment.
    """

    __slots__ = ("_budget", "_clock")

    def __init__(self, *, ratio: float, minimum_per_second: float, reserve: float, clock: Clock) -> None:
        self._budget = RetryBudget(ratio, minimum_per_second, reserve)
        self._clock = clock

    def call_begins(self) -> None:
        """One more call, its first attempt."""
        self._budget.deposit(self._clock.monotonic())

    def grant(self) -> bool:
        """True if one retry may be made; it is then counted as made."""
        return self._budget.withdraw(self._clock.monotonic())

    @property
    def balance(self) -> float:
        """Retries that could be made now."""
        return self._budget.balance(self._clock.monotonic())
