"""The circuit breaker's decisions. Pure: a state machine; time is an argument.

    closed     every call passes; open once enough calls of the window failed, or were slow
    open       no call passes, for ``open_for`` seconds
    half-open  ``trials`` calls pass; all of them well: closed; one of them not: open again

A call belongs to the life (``generation``) of the state that admitted it; a result that comes after a change of state
says nothing about the new state and is dropped. **Source:** Michael Nygard, "Release It!", "Circuit Breaker"; the
slow-call rate and the time-based window as in resilience4j.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Admission", "Breaker", "BreakerPolicy", "CircuitState", "Outcome"]

CircuitState = Literal["closed", "open", "half_open"]

Outcome = Literal["ok", "failed", "abandoned"]
"""How a call ended; ``abandoned``: its caller left before it answered, which counts only if it was slow by then."""


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When to open, and for how long. Times in seconds, rates 0..1."""

    window: float = 10.0
    buckets: int = 10
    minimum_calls: int = 10
    """Fewer calls than this in the window never open the circuit."""
    failure_rate: float = 0.5
    consecutive: int | None = None
    """This many failures without a success between them open the circuit, whatever the window holds: after a busy
    healthy time, an outage would else be noticed only when the successes have left it. None: not looked at."""
    slow_call: float | None = None
    """A call that takes this long is slow; None: none ever is."""
    slow_rate: float = 0.8
    open_for: float = 5.0
    trials: int = 3

    def __post_init__(self) -> None:
        if self.window <= 0 or self.open_for <= 0 or min(self.buckets, self.minimum_calls, self.trials) < 1:
            raise ValueError("a breaker needs window > 0, open_for > 0 and buckets, minimum_calls, trials >= 1")
        if self.consecutive is not None and self.consecutive < 1:
            raise ValueError("a breaker's consecutive failures are 1 or more")
        if not (0 < self.failure_rate <= 1 and 0 < self.slow_rate <= 1):
            raise ValueError("a breaker's rates lie in 0..1, above 0")


@dataclass(frozen=True, slots=True)
class Admission:
    """The breaker's answer to a call that wants to be made."""

    allowed: bool
    generation: int
    """Hand it back with the result."""
    retry_after: float = 0.0
    """Seconds after which asking again makes sense, when refused."""


@dataclass(slots=True)
class _Bucket:
    slot: int = -1
    calls: int = 0
    failed: int = 0
    slow: int = 0


@dataclass(slots=True)
class Breaker:
    """One dependency's circuit. Cost: O(1) to admit, O(buckets) to record."""

    policy: BreakerPolicy = field(default_factory=BreakerPolicy)
    _state: CircuitState = "closed"
    _generation: int = 0
    _opened_at: float = 0.0
    _trials_out: int = 0
    _trials_well: int = 0
    _in_a_row: int = 0
    _buckets: list[_Bucket] = field(init=False)

    def __post_init__(self) -> None:
        self._buckets = [_Bucket() for _ in range(self.policy.buckets)]

    @property
    def state(self) -> CircuitState:
        """The state as of the last call of a method that was told the time."""
        return self._state

    def refusal(self, now: float) -> float | None:
        """Seconds to wait if a call would be refused for certain at ``now``, else None. Takes no trial."""
        if self._state != "open":
            return None
        left = self._opened_at + self.policy.open_for - now
        return left if left > 0 else None

    def admit(self, now: float) -> Admission:
        """Ask for a call at ``now`` (monotonic seconds). An allowed call must be followed by ``record``."""
        if self._state == "closed":
            return Admission(True, self._generation)
        if self._state == "open":
            left = self._opened_at + self.policy.open_for - now
            if left > 0:
                return Admission(False, self._generation, left)
            self._enter("half_open", now)
        if self._trials_out + self._trials_well >= self.policy.trials:
            return Admission(False, self._generation, self.policy.open_for)
        self._trials_out += 1
        return Admission(True, self._generation)

    def record(self, generation: int, outcome: Outcome, duration: float, now: float) -> None:
        """An admitted call ended at ``now`` after ``duration`` seconds."""
        if generation != self._generation:
            return
        slow = self.policy.slow_call is not None and duration >= self.policy.slow_call
        if self._state == "half_open":
            self._record_trial(outcome, slow, now)
        elif outcome != "abandoned" or slow:
            self._count(outcome, slow, now)
            if self._broken(now):
                self._enter("open", now)

    def _record_trial(self, outcome: Outcome, slow: bool, now: float) -> None:
        self._trials_out -= 1
        if outcome == "failed" or slow:
            self._enter("open", now)
        elif outcome == "ok":
            self._trials_well += 1
            if self._trials_well >= self.policy.trials:
                self._enter("closed", now)

    def _enter(self, state: CircuitState, now: float) -> None:
        self._state = state
        self._generation += 1
        self._trials_out = self._trials_well = self._in_a_row = 0
        if state == "open":
            self._opened_at = now
        elif state == "closed":
            self._buckets = [_Bucket() for _ in range(self.policy.buckets)]

    def _slot(self, now: float) -> int:
        return int(now // (self.policy.window / self.policy.buckets))

    def _count(self, outcome: Outcome, slow: bool, now: float) -> None:
        slot = self._slot(now)
        bucket = self._buckets[slot % self.policy.buckets]
        if bucket.slot != slot:
            bucket.slot, bucket.calls, bucket.failed, bucket.slow = slot, 0, 0, 0
        bucket.calls += 1
        bucket.failed += outcome == "failed"
        bucket.slow += slow
        if outcome == "failed":
            self._in_a_row += 1
        elif outcome == "ok":
            self._in_a_row = 0

    def _broken(self, now: float) -> bool:
        if self.policy.consecutive is not None and self._in_a_row >= self.policy.consecutive:
            return True
        oldest = self._slot(now) - self.policy.buckets
        recent = [bucket for bucket in self._buckets if bucket.slot > oldest]
        calls = sum(bucket.calls for bucket in recent)
        if calls < self.policy.minimum_calls:
            return False
        failed = sum(bucket.failed for bucket in recent)
        slow = sum(bucket.slow for bucket in recent)
        return failed >= self.policy.failure_rate * calls or slow >= self.policy.slow_rate * calls
