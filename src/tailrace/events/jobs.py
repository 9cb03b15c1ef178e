"""What happens to background jobs. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tailrace.events.base import Event

__all__ = ["JobEnqueued", "JobFinished", "JobOutcome", "JobStarted", "JobsMeasured"]

JobOutcome = Literal["done", "retried", "dead", "given_back"]
"""It did what it is for; it failed and is tried again; it failed for the last time and is kept; its worker stopped."""


@dataclass(frozen=True, slots=True)
class JobEnqueued(Event):
    """A job was put into the queue by a transaction, which may yet be rolled back."""

    job: str


@dataclass(frozen=True, slots=True)
class JobStarted(Event):
    """A job began after it had waited ``waited`` seconds since it was due."""

    job: str
    waited: float


@dataclass(frozen=True, slots=True)
class JobFinished(Event):
    """An attempt ended after ``duration`` seconds."""

    job: str
    outcome: JobOutcome
    duration: float


@dataclass(frozen=True, slots=True)
class JobsMeasured(Event):
    """How many jobs of a name are due and not begun, since how many seconds the oldest is, and how many are dead."""

    job: str
    waiting: int
    oldest: float
    dead: int
