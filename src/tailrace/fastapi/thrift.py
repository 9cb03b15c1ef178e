"""What the interpreter and FastAPI do at every request and need not. Touches: the collector, FastAPI's telemetry.

- The collector looks through the youngest objects whenever 700 more were made than freed. What a request leaves behind
  is freed without it.
- FastAPI asks OpenTelemetry at each request whether anybody has configured it, which looks into the environment three
  times. Where nobody has, that is remembered for a second; telemetry that is configured while requests are served
  begins that much later.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

__all__ = ["collect_less_often", "remember_no_telemetry"]

THRESHOLDS = (10_000, 20, 20)
"""Objects before the youngest are looked at; and how many such looks before the older ones are."""
REMEMBERED = 1.0
"""Seconds for which it is not asked again whether there is telemetry."""


def collect_less_often() -> None:
    """Raise the collector's thresholds; one that is higher already, or a collector that is turned off, stays."""
    current = gc.get_threshold()
    if current[0]:
        gc.set_threshold(*map(max, current, THRESHOLDS))


def remember_no_telemetry(app: Any, monotonic: Callable[[], float]) -> None:
    """Have ``app`` ask once a second whether there is telemetry, while there is none."""
    telemetry = getattr(app, "_native_telemetry", None)
    enabled = getattr(telemetry, "enabled", None)
    if telemetry is None or enabled is None:
        return  # another FastAPI, or none
    ask_again = 0.0

    def enabled_of_late() -> bool:
        nonlocal ask_again
        now = monotonic()
        if now < ask_again:
            return False
        if enabled():
            return True
        ask_again = now + REMEMBERED
        return False

    telemetry.enabled = enabled_of_late
