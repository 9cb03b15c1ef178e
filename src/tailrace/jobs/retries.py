"""Whether and when a job that failed is tried again. Pure: randomness is an argument."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from tailrace.core.backoff import Backoff
from tailrace.errors import TailraceError

__all__ = ["Change", "Retries", "failures"]

Change = Literal["queued", "begun", "failed", "given_back"]
"""What the queue's log says of a job: put there anew, begun, failed and to be tried again, given back unfinished."""


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a job is attempted.

    Args:
        attempts: in all, the first included; 1: it is never tried again.
        backoff: pauses between them; full jitter.
        never_after: errors that no repetition will mend: the job is dead at once.
    """

    attempts: int = 5
    backoff: Backoff = field(default_factory=partial(Backoff, base=2.0, cap=600.0))
    never_after: tuple[type[Exception], ...] = ()

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError("a job is attempted at least once")

    def delay(self, failed: int, error: BaseException | None, random: float) -> float | None:
        """Seconds until the next attempt, None where there is none.

        Args:
            failed: attempts that have failed, this one included.
            error: what this one failed with; an error that knows when to come again (``retry_after``) is heeded.
            random: a number in 0..1, evenly distributed.

        >>> Retries(attempts=3, backoff=Backoff(2.0)).delay(1, None, 0.5)
        1.0
        >>> Retries(attempts=3, backoff=Backoff(2.0)).delay(3, None, 0.5) is None
        True
        """
        if failed >= self.attempts or isinstance(error, self.never_after):
            return None
        at_least = (error.retry_after or 0.0) if isinstance(error, TailraceError) else 0.0
        return self.backoff.delay(failed - 1, random, at_least=at_least)


def failures(history: Iterable[Change]) -> int:
    """How many attempts have failed since the job was last put into the queue, the one that has just begun left out.

    An attempt that was begun and of which nothing more is said was lost with its worker, and counts as failed: a job
    that ends its process each time is not begun for ever. One that was given back counts as if it had not begun.

    >>> failures(["queued", "begun", "failed", "begun", "given_back", "begun", "begun"])
    2
    """
    failed = begun = 0
    for change in history:
        if change == "queued":
            failed = begun = 0
        elif change == "begun":
            failed += begun
            begun = 1
        else:
            failed += change == "failed"
            begun = 0
    return failed
