"""FastAPI's own telemetry, asked for once a second while there is none. Touches: the application.

FastAPI asks OpenTelemetry at each request whether anybody has configured it, which looks into the environment three
times. Where nobody has, that is remembered for a second; telemetry that is configured while requests are served begins
that much later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["remember_no_telemetry"]

REMEMBERED = 1.0
"""Seconds for which it is not asked again whether there is telemetry."""


def remember_no_telemetry(app: Any, monotonic: Callable[[], float]) -> None:
    """Have ``app`` ask once a second whether there is telemetry, while there is none.

    Args:
        app: an application of FastAPI's; another is left as it is.
        monotonic: tells the time, in seconds.
    """
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
