"""A clock that stands still, so that two runs, or two implementations, give the same answers. Pure."""

from __future__ import annotations

from datetime import datetime

from tailrace.clock import Clock, SystemClock
from tailrace.settings import Settings

__all__ = ["FrozenClock", "for_moment", "service_clock"]


class FrozenClock(SystemClock):
    """The wall time is always ``moment``; waiting and measuring go on as ever."""

    __slots__ = ("_now",)

    def __init__(self, moment: datetime) -> None:
        self._now = moment.timestamp()

    def now(self) -> float:
        """The frozen moment, seconds since 1970."""
        return self._now


def service_clock(fixed_now: datetime | None) -> Clock:
    """The machine's clock, or one that stands still at ``fixed_now``."""
    return SystemClock() if fixed_now is None else FrozenClock(fixed_now)


def for_moment(settings: Settings, fixed_now: datetime | None) -> Settings:
    """With keys of its own in the cache: answers for another moment than the present are nobody else's."""
    if fixed_now is None:
        return settings
    namespace = f"{settings.cache.namespace[:20]}-{int(fixed_now.timestamp()):x}"
    return settings.model_copy(update={"cache": settings.cache.model_copy(update={"namespace": namespace})})
