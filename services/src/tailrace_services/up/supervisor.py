"""Processes kept alive: started, looked at, started again when they end, stopped in order. Touches: processes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tailrace.embedded import process
from tailrace.errors import EmbeddedServerError

__all__ = ["Kept", "PythonProcess", "Supervisor", "leftovers"]

RESTARTS = 5
"""Restarts of one process within ``RESTART_WINDOW`` after which the supervisor gives up."""
RESTART_WINDOW = 60.0
"""Seconds."""
LOOK = 0.2
"""Seconds between two looks at the processes."""


class Kept(Protocol):
    """What a supervisor keeps alive."""

    @property
    def running(self) -> bool:
        """Whether it lives."""
        ...

    def start(self) -> object:
        """Start it; nothing happens if it runs."""
        ...


def leftovers(mark: str) -> list[int]:
    """Processes of a dead supervisor that carry ``mark``."""
    return process.find(lambda line: f"-X {mark} -m tailrace_services." in line)


@dataclass
class PythonProcess:
    """A module of the services run as a process that ends with this one.

    Args:
        arguments: after the module's name.
        mark: tells this home's processes from others': an ``-X`` option, which Python ignores when it knows it not.
        patience: seconds it gets to finish its work when stopped.
        log: where its output goes; None: where ours goes.
    """

    module: str
    arguments: Sequence[str]
    mark: str
    environment: Mapping[str, str]
    patience: float = 5.0
    keep_open: Sequence[int] = ()
    log: Path | None = None
    _child: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def running(self) -> bool:
        """Whether it lives."""
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._child.pid if self._child is not None and self.running else None

    def start(self) -> None:
        """Start it; nothing happens if it runs."""
        if not self.running:
            self._child = process.spawn(
                [sys.executable, "-X", self.mark, "-m", self.module, *self.arguments],
                environment=self.environment,
                keep_open=self.keep_open,
                log=self.log,
            )

    def stop(self) -> None:
        """SIGTERM, then SIGKILL when its patience is over. Idempotent."""
        if self._child is not None:
            process.end([self._child.pid], ((signal.SIGTERM, self.patience), (signal.SIGKILL, 5.0)))
            self._child.wait()
            self._child = None


class Supervisor:
    """Looks after several processes, each by the name it has in messages."""

    def __init__(self, notice: Callable[[str], None]) -> None:
        self._notice = notice
        self._kept: list[tuple[str, Kept, deque[float]]] = []

    def keep(self, name: str, kept: Kept) -> None:
        """Look after one more, which has been started."""
        self._kept.append((name, kept, deque(maxlen=RESTARTS)))

    def watch(self) -> None:
        """Look, and start again what has ended; never returns but by an exception.

        Raises:
            EmbeddedServerError: one does not stay up.
        """
        while True:
            self.look()
            time.sleep(LOOK)

    def look(self) -> None:
        """Start again what has ended.

        Raises:
            EmbeddedServerError: one does not stay up.
        """
        for name, kept, restarts in self._kept:
            if kept.running:
                continue
            now = time.monotonic()
            if len(restarts) == RESTARTS and now - restarts[0] < RESTART_WINDOW:
                raise EmbeddedServerError(
                    f"{name} ended {RESTARTS} times within {RESTART_WINDOW:.0f} s: see above for why"
                )
            restarts.append(now)
            self._notice(f"{name} ended unexpectedly; starting it again")
            kept.start()
