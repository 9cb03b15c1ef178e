"""The policies around calls to one service, made from its settings. Touches: the clock and randomness given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tailrace.clock import Clock
from tailrace.core.backoff import Backoff
from tailrace.core.breaker import BreakerPolicy
from tailrace.events import Observer
from tailrace.resilience.budget import Budget
from tailrace.resilience.bulkhead import Bulkhead
from tailrace.resilience.circuit_breaker import CircuitBreaker
from tailrace.resilience.retry import Retry, passing
from tailrace.settings import UpstreamSettings
from tailrace.upstream.classify import IDEMPOTENT, repeatable
from tailrace.upstream.message import OutgoingRequest

__all__ = ["Policies", "policies_of"]


@dataclass(frozen=True, slots=True)
class Policies:
    """What calls to one service go through, and who is told."""

    name: str
    settings: UpstreamSettings
    clock: Clock
    observer: Observer | None
    retry: Retry
    breaker: CircuitBreaker
    bulkhead: Bulkhead

    def retryable(self, request: OutgoingRequest) -> Callable[[Exception], bool]:
        """Which failures another attempt may follow: none where a request may not be sent twice."""
        safe = request.method in IDEMPOTENT or repeatable(
            request.method, {name.decode() for name, _ in request.headers}
        )
        return self._worth_repeating if safe else _never

    def _worth_repeating(self, error: Exception) -> bool:
        return passing(error) and self.breaker.state != "open"  # else a pause would be spent for nothing


def policies_of(
    name: str, settings: UpstreamSettings, clock: Clock, random: Callable[[], float], observer: Observer | None
) -> Policies:
    """As the settings say.

    Args:
        random: gives evenly distributed numbers in 0..1, for the jitter of pauses.
    """
    bulkhead = Bulkhead(
        name,
        concurrency=settings.concurrency,
        queue=settings.queue,
        queue_timeout=settings.queue_timeout,
        clock=clock,
        observer=observer,
    )
    breaker = CircuitBreaker(name, _breaker_policy(settings), clock=clock, observer=observer)
    return Policies(name, settings, clock, observer, _retry(name, settings, clock, random, observer), breaker, bulkhead)


def _never(error: Exception) -> bool:
    return False


def _retry(
    name: str, settings: UpstreamSettings, clock: Clock, random: Callable[[], float], observer: Observer | None
) -> Retry:
    budget = Budget(
        ratio=settings.retry_budget_ratio,
        minimum_per_second=settings.retry_budget_per_second,
        reserve=settings.retry_budget_reserve,
        clock=clock,
    )
    backoff = Backoff(settings.backoff, max(settings.backoff, settings.max_backoff))
    return Retry(
        name,
        max_retries=settings.max_retries,
        backoff=backoff,
        budget=budget,
        clock=clock,
        random=random,
        observer=observer,
    )


def _breaker_policy(settings: UpstreamSettings) -> BreakerPolicy:
    return BreakerPolicy(
        window=settings.breaker_window,
        minimum_calls=settings.breaker_minimum_calls,
        failure_rate=settings.breaker_failures,
        consecutive=settings.breaker_consecutive,
        slow_call=settings.breaker_slow_call,
        slow_rate=settings.breaker_slow_calls,
        open_for=settings.breaker_open,
        trials=settings.breaker_trials,
    )
