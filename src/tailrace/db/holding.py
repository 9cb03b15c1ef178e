"""Who holds connections, and who holds them when it should not. Touches: stack frames, one timer.

Three findings, each with the line of the application that took the connection:

``leaked``    its request is over, and the connection was not given back;
``long``      it has been held for longer than ``DatabaseSettings.hold_limit``;
``upstream``  it was held while another service was called: whoever waits for a connection waits for that service too.

A finding is told once for each connection taken (each call, for ``upstream``), logged once for each place.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import sysconfig
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import greenlet
from sqlalchemy.pool import ConnectionPoolEntry

from tailrace.cache.consistency import ReadContext, current_reads
from tailrace.events import ConnectionHeld, Event, Observer, UpstreamCalled

__all__ = ["Holdings"]

EVERY = 0.25
"""Seconds between two looks at what is held, while anything is."""
MOST_SITES = 1_000
LIBRARIES = ("sqlalchemy", "greenlet", "asyncpg", "psycopg", "fastapi", "starlette", "anyio", "uvicorn", "granian")
"""Packages through which an application's code comes to a connection; an application may itself be an installed one."""
FOREIGN = (
    str(Path(__file__).parents[1]) + os.sep,
    *{os.path.join(sysconfig.get_path(place), name) + os.sep for name in LIBRARIES for place in ("purelib", "platlib")},
    *{
        os.path.join(sysconfig.get_path(place), name)
        for name in ("asyncio", "contextlib.py", "concurrent", "threading.py")
        for place in ("stdlib", "platstdlib")
    },
    "<",
)
"""How the names of files begin whose code is not the application's."""

log = logging.getLogger("tailrace.pool")


@dataclass(slots=True, eq=False)
class _Holding:
    """One connection that is out."""

    since: float
    line: tuple[str, int]
    reads: ReadContext | None
    task: object
    told: set[str] = field(default_factory=set)

    @property
    def site(self) -> str:
        """Where it was taken."""
        return _written(self.line)


class Holdings:
    """The connections of one pool that are out. An observer too: it hears of calls to other services.

    Args:
        pool: its name.
        observer: receives findings.
        limit: seconds after which holding a connection is long.
        monotonic: time.

    Cost: 3 microseconds each time a connection is taken.
    """

    def __init__(
        self, pool: str, observer: Observer, *, limit: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._pool = pool
        self._observer = observer
        self._limit = limit
        self._monotonic = monotonic
        self._held: dict[int, _Holding] = {}
        self._logged: set[tuple[str, str]] = set()
        self._own: dict[str, bool] = {}
        self._timer: asyncio.TimerHandle | None = None

    def taken(self, entry: ConnectionPoolEntry) -> None:
        """A connection was taken, by whoever runs just now."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        self._held[id(entry)] = _Holding(self._monotonic(), self._line(), current_reads.get(), task)
        if self._timer is None:
            self._timer = loop.call_later(EVERY, self._look)

    def given_back(self, entry: ConnectionPoolEntry) -> None:
        """It was given back."""
        self._held.pop(id(entry), None)

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def __call__(self, event: Event) -> None:
        """Take note of a call to another service, made by whoever runs just now."""
        if type(event) is not UpstreamCalled or not self._held:
            return
        reads, task = current_reads.get(), _task()
        began = self._monotonic() - event.duration
        for holding in tuple(self._held.values()):
            own = holding.task is task if holding.reads is None else holding.reads is reads
            if own and holding.since <= began:
                self._tell("upstream", holding, event.dependency)

    def _look(self) -> None:
        self._timer = None
        now = self._monotonic()
        for holding in tuple(self._held.values()):
            if holding.reads is not None and holding.reads.ended and "leaked" not in holding.told:
                self._tell("leaked", holding)
            elif now - holding.since > self._limit and "long" not in holding.told:
                self._tell("long", holding)
        if self._held:
            self._timer = asyncio.get_running_loop().call_later(EVERY, self._look)

    def _line(self) -> tuple[str, int]:
        """File and line of the application's code that runs just now, below all libraries.

        SQLAlchemy runs the driver in greenlets, whose callers' frames belong to their parents.
        """
        frame: FrameType | None = sys._getframe(1)
        running: Any = greenlet.getcurrent()
        while True:
            while frame is not None:
                name = frame.f_code.co_filename
                own = self._own.get(name)
                if own is None:
                    own = self._own[name] = not name.startswith(FOREIGN)
                if own:
                    return name, frame.f_lineno
                frame = frame.f_back
            running = running.parent
            if running is None:
                return "unknown", 0
            frame = running.gr_frame

    def _tell(self, kind: str, holding: _Holding, meanwhile: str | None = None) -> None:
        holding.told.add(kind)
        held = self._monotonic() - holding.since
        self._observer(ConnectionHeld(self._pool, kind, holding.site, held))
        place = (kind, f"{holding.site} {meanwhile}")
        if place not in self._logged and len(self._logged) < MOST_SITES:
            self._logged.add(place)
            log.warning("%s", _sentence(kind, holding.site, held, meanwhile))


def _sentence(kind: str, site: str, held: float, meanwhile: str | None) -> str:
    if kind == "leaked":
        return f"the connection taken at {site} was not given back when its request ended"
    if kind == "upstream":
        return f"the connection taken at {site} is held while {meanwhile} is called: commit before"
    return f"the connection taken at {site} has been held for {held:.1f} s"


def _task() -> object:
    return asyncio.current_task()


def _written(line: tuple[str, int]) -> str:
    """``file:line``, the path from the working directory where the file is below it."""
    name, number = line
    return f"{name.removeprefix(os.getcwd() + os.sep)}:{number}"
