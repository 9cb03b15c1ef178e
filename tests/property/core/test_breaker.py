"""The circuit breaker against its plain definition, over random histories."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tailrace.core.breaker import Admission, Breaker, BreakerPolicy

POLICY = BreakerPolicy(
    window=8, buckets=4, minimum_calls=3, failure_rate=0.5, consecutive=4, slow_call=2.0, open_for=4, trials=2
)
BUCKET = POLICY.window / POLICY.buckets


class BreakerMachine(RuleBasedStateMachine):
    """A model that keeps every result and adds up what the definition says."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker(POLICY)
        self.now = 1000.0
        self.state = "closed"
        self.changed_at = self.now
        self.life = 0
        self.results: list[tuple[float, bool, bool]] = []
        self.under_way: list[tuple[Admission, int]] = []
        self.well = 0
        self.in_a_row = 0

    @rule(seconds=st.sampled_from([0.125, 0.5, 1.0, 2.0, 4.0, 8.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def a_call_asks(self) -> None:
        if self.state == "open" and self.now - self.changed_at >= POLICY.open_for:
            self.enter("half_open")
        out = sum(life == self.life for _, life in self.under_way)
        expected = self.state == "closed" or (self.state == "half_open" and out + self.well < POLICY.trials)
        admission = self.breaker.admit(self.now)
        assert admission.allowed == expected
        if admission.allowed:
            self.under_way.append((admission, self.life))
        else:
            assert admission.retry_after > 0

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), outcome=st.sampled_from(["ok", "failed", "abandoned"]), slow=st.booleans())
    def a_call_ends(self, data: st.DataObject, outcome: str, slow: bool) -> None:
        position = data.draw(st.integers(0, len(self.under_way) - 1))
        admission, life = self.under_way.pop(position)
        self.breaker.record(admission.generation, outcome, 2.5 if slow else 0.5, self.now)  # type: ignore[arg-type]
        if life != self.life:
            return
        if self.state == "half_open":
            self.trial_ended(outcome, slow)
        elif outcome != "abandoned" or slow:
            self.results.append((self.now, outcome == "failed", slow))
            self.in_a_row = self.in_a_row + 1 if outcome == "failed" else 0 if outcome == "ok" else self.in_a_row
            if self.broken():
                self.enter("open")

    def trial_ended(self, outcome: str, slow: bool) -> None:
        if outcome == "failed" or slow:
            self.enter("open")
        elif outcome == "ok":
            self.well += 1
            if self.well == POLICY.trials:
                self.results.clear()
                self.enter("closed")

    def broken(self) -> bool:
        oldest = self.now // BUCKET - POLICY.buckets
        recent = [entry for entry in self.results if entry[0] // BUCKET > oldest]
        failed, slow = sum(entry[1] for entry in recent), sum(entry[2] for entry in recent)
        enough = len(recent) >= POLICY.minimum_calls
        return self.in_a_row >= 4 or (
            enough and (failed >= 0.5 * len(recent) or slow >= POLICY.slow_rate * len(recent))
        )

    def enter(self, state: str) -> None:
        self.state, self.changed_at, self.well, self.in_a_row = state, self.now, 0, 0
        self.life += 1

    @invariant()
    def states_agree(self) -> None:
        assert self.breaker.state == self.state


BreakerMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestBreaker = BreakerMachine.TestCase
