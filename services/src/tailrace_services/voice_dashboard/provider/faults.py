"""How the simulated provider misbehaves, set at run time. Pure: randomness comes from a seed, time is an argument."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Fate", "FaultSettings", "Faults"]

Share = Annotated[float, Field(ge=0, le=1)]


class FaultSettings(BaseModel):
    """All at their defaults: an answer after ``latency_ms``, always."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    latency_ms: Annotated[float, Field(ge=0, le=600_000)] = 0.0
    """Before every answer, milliseconds."""
    jitter_ms: Annotated[float, Field(ge=0, le=600_000)] = 0.0
    """Up to this much more, evenly distributed."""
    error_rate: Share = 0.0
    """Share of requests answered with ``error_status``."""
    error_status: Annotated[int, Field(ge=500, le=599)] = 500
    rate_limit: Annotated[float, Field(ge=0)] | None = None
    """Requests a second that are served; the others get 429 with ``retry_after``. None: no limit."""
    retry_after: Annotated[float, Field(ge=0)] = 1.0
    """Seconds named in ``Retry-After``, rounded up to whole ones."""
    hang: Share = 0.0
    """Share of requests never answered; their connections stay open."""
    truncate: Share = 0.0
    """Share of answers whose connection is reset in the middle of the body."""
    drip_ms: Annotated[float, Field(ge=0)] = 0.0
    """Pause after every 16 bytes of a body, milliseconds; 0: bodies are sent whole."""
    outage: Literal["unavailable", "reset"] | None = None
    """Every request: 503, or its connection reset."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one request. ``latency`` in seconds."""

    kind: Literal["answer", "error", "limited", "hang", "truncate", "unavailable", "reset"]
    latency: float


class Faults:
    """Decides the fate of each request, in their order; the same seed and order give the same fates."""

    def __init__(self, settings: FaultSettings, seed: int = 1) -> None:
        self.initial = settings
        self.settings = settings
        self._seed = seed
        self._random = Random(seed)  # noqa: S311 - faults, not secrets
        self._tokens = 0.0
        self._at: float | None = None

    def change(self, settings: FaultSettings) -> None:
        """From now on, ``settings``; randomness and the rate limit begin anew."""
        self.settings = settings
        self._random = Random(self._seed)  # noqa: S311
        self._tokens = settings.rate_limit or 0.0
        self._at = None

    def decide(self, now: float) -> Fate:
        """The fate of a request that arrives at ``now`` (monotonic seconds)."""
        settings = self.settings
        latency = (settings.latency_ms + settings.jitter_ms * self._random.random()) / 1000
        draw = self._random.random()  # one draw for all shares: they add up
        if settings.outage is not None:
            return Fate(settings.outage, 0.0)
        if not self._within_limit(now):
            return Fate("limited", 0.0)
        if draw < settings.hang:
            return Fate("hang", latency)
        if draw < settings.hang + settings.error_rate:
            return Fate("error", latency)
        if draw < settings.hang + settings.error_rate + settings.truncate:
            return Fate("truncate", latency)
        return Fate("answer", latency)

    def _within_limit(self, now: float) -> bool:
        rate = self.settings.rate_limit
        if rate is None:
            return True
        if self._at is not None:
            self._tokens = min(max(1.0, rate), self._tokens + (now - self._at) * rate)
        self._at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
