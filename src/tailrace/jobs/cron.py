"""When a scheduled job is due. Pure: moments are arguments.

**Source:** crontab(5); five fields, or six with seconds last. Times are UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from croniter import croniter

__all__ = ["Cron"]


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression, as in ``*/5 * * * *``, in UTC.

    Raises:
        ValueError: it is none.
    """

    expression: str

    def __post_init__(self) -> None:
        if not croniter.is_valid(self.expression):
            raise ValueError(f"not a cron expression: {self.expression!r}")

    def latest(self, now: float) -> int:
        """The newest tick that is not after ``now``; both in seconds since 1970.

        >>> Cron("0 * * * *").latest(7205.5)
        7200
        >>> Cron("0 * * * *").latest(7200.0)
        7200
        """
        # The library looks for a tick strictly before the moment it is given, in whole seconds.
        return int(self._from(int(now) + 1).get_prev(float))

    def next(self, now: float) -> int:
        """The first tick after ``now``; both in seconds since 1970.

        >>> Cron("0 * * * *").next(7200.0)
        10800
        """
        return int(self._from(int(now)).get_next(float))

    def _from(self, moment: int) -> Any:
        return croniter(self.expression, datetime.fromtimestamp(moment, UTC))
