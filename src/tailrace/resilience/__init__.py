"""Policies around any async call, one file each: deadline, timeout, retry, budget, circuit_breaker, bulkhead,
fallback, batch. Each takes the clock, the randomness and the observer it needs, and knows nothing of HTTP.
"""

from __future__ import annotations

from tailrace.resilience.batch import Partial, gather_partial
from tailrace.resilience.budget import Budget
from tailrace.resilience.bulkhead import Bulkhead
from tailrace.resilience.circuit_breaker import CircuitBreaker
from tailrace.resilience.deadline import current_deadline, deadline_within, limit, remaining
from tailrace.resilience.fallback import Answered, with_fallback
from tailrace.resilience.retry import Retry
from tailrace.resilience.timeout import with_timeout

__all__ = [
    "Answered",
    "Budget",
    "Bulkhead",
    "CircuitBreaker",
    "Partial",
    "Retry",
    "current_deadline",
    "deadline_within",
    "gather_partial",
    "limit",
    "remaining",
    "with_fallback",
    "with_timeout",
]
