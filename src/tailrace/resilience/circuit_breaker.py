"""A circuit breaker around any async call. Touches: the clock it is given; decisions in ``tailrace.core.breaker``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from tailrace.clock import Clock
from tailrace.core.breaker import Breaker, BreakerPolicy, CircuitState, Outcome
from tailrace.errors import BulkheadFullError, CircuitOpenError, TailraceError
from tailrace.events import CircuitChanged, Observer

__all__ = ["Admitted", "CircuitBreaker", "is_failure"]

T = TypeVar("T")


def is_failure(error: Exception) -> bool:
    """True for an error that speaks of the dependency's health.

    What it refused (4xx) shows that it works; a full bulkhead is our own state; anything that is not a Tailrace error
    is taken for a failure.
    """
    return (not isinstance(error, TailraceError) or error.retryable) and not isinstance(error, BulkheadFullError)


class CircuitBreaker:
    """One dependency's breaker. It begins closed, and says so.

    Args:
        name: the dependency, as it appears in events and messages.
        observer: told the first state, so that figures know of the breaker before anything fails, and each other one.
        failure: which errors count against the dependency.
    """

    def __init__(
        self,
        name: str,
        policy: BreakerPolicy,
        *,
        clock: Clock,
        observer: Observer | None = None,
        failure: Callable[[Exception], bool] = is_failure,
    ) -> None:
        self._name = name
        self._breaker = Breaker(policy)
        self._clock = clock
        self._observer = observer
        self._failure = failure
        self._told: CircuitState | None = None
        self._tell()

    @property
    def state(self) -> CircuitState:
        """closed, open or half_open; an open circuit shows half_open only once a call has been tried."""
        return self._breaker.state

    @property
    def refuses(self) -> bool:
        """True if a call would be refused for certain just now. Takes no trial."""
        return self._breaker.refusal(self._clock.monotonic()) is not None

    def check(self) -> None:
        """Refuse at once what would be refused anyway; takes no trial.

        Raises:
            CircuitOpenError: the circuit is open.
        """
        left = self._breaker.refusal(self._clock.monotonic())
        if left is not None:
            raise self._refused(left)

    def admit(self) -> Admitted:
        """Let one call pass that is not a single await, such as a stream; whoever makes it says how it ended.

        Raises:
            CircuitOpenError: refused; ``retry_after`` says for how long at least.
        """
        began = self._clock.monotonic()
        admission = self._breaker.admit(began)
        self._tell()
        if not admission.allowed:
            raise self._refused(admission.retry_after)
        return Admitted(self, admission.generation, began)

    async def call(self, work: Callable[[], Awaitable[T]]) -> T:
        """Await ``work()`` if the circuit lets it pass, and learn from how it ends.

        Raises:
            CircuitOpenError: refused; ``retry_after`` says for how long at least.
        """
        admitted = self.admit()
        try:
            result = await work()
        except BaseException as error:
            admitted.ended(error)
            raise
        admitted.ended(None)
        return result

    def _record(self, generation: int, outcome: Outcome, began: float, seconds: float | None) -> None:
        now = self._clock.monotonic()
        self._breaker.record(generation, outcome, now - began if seconds is None else seconds, now)
        self._tell()

    def _refused(self, retry_after: float) -> CircuitOpenError:
        return CircuitOpenError(f"{self._name}: not called, it has been failing", retry_after=retry_after)

    def _tell(self) -> None:
        state = self._breaker.state
        if state != self._told:
            self._told = state
            if self._observer is not None:
                self._observer(CircuitChanged(self._name, state))


class Admitted:
    """One call that the circuit has let pass."""

    __slots__ = ("_began", "_breaker", "_generation")

    def __init__(self, breaker: CircuitBreaker, generation: int, began: float) -> None:
        self._breaker = breaker
        self._generation = generation
        self._began = began

    def ended(self, error: BaseException | None, seconds: float | None = None) -> None:
        """Say, once, how it ended.

        Args:
            error: None if it succeeded; no ``Exception``, such as a cancellation: it shows nothing.
            seconds: how long it took, for what counts as slow; by default until now.
        """
        breaker = self._breaker
        breaker._record(self._generation, _outcome(error, breaker._failure), self._began, seconds)


def _outcome(error: BaseException | None, failure: Callable[[Exception], bool]) -> Outcome:
    if error is None:
        return "ok"
    if isinstance(error, BulkheadFullError) or not isinstance(error, Exception):
        return "abandoned"
    return "failed" if failure(error) else "ok"
