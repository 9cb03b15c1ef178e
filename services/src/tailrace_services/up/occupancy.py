"""One ``up`` at a time in a home, and what others may know of it. Touches: files.

The lock is the kernel's and goes with its holder, however that ends; ``run.json`` says who it is and where it serves.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from tailrace.embedded import unusable
from tailrace.errors import EmbeddedServerError

__all__ = ["AlreadyRunningError", "Occupancy", "Run", "read_run"]

PATIENCE = 90.0
"""Seconds to wait for one that is stopping."""


class AlreadyRunningError(EmbeddedServerError):
    """Another ``up`` serves from this home."""

    code = "already_running"


@dataclass(frozen=True, slots=True)
class Run:
    """What an ``up`` tells others. ``database_url`` and ``valkey_url`` contain passwords: the file is its owner's."""

    pid: int
    state: Literal["starting", "serving", "stopping"] = "starting"
    port: int = 0
    database_url: str = ""
    valkey_url: str = ""
    provider_url: str = ""

    @property
    def address(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self.port}"


def _is_locked(home: Path) -> bool:
    try:
        descriptor = os.open(home / "up.lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _written(home: Path) -> Run | None:
    try:
        return Run(**json.loads((home / "run.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None


def read_run(home: Path) -> Run | None:
    """The living ``up`` of this home, or None."""
    return (_written(home) or Run(pid=0)) if _is_locked(home) else None


class Occupancy:
    """The one ``up`` of a home; a context manager."""

    def __init__(self, home: Path, notice: Callable[[str], None] = lambda line: None) -> None:
        self._home = home
        self._notice = notice
        self._descriptor: int | None = None

    def __enter__(self) -> Occupancy:
        """Take the home.

        Raises:
            AlreadyRunningError: another one serves from it.
            EmbeddedServerError: the folder cannot be made or written.
        """
        try:
            self._home.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
            self._descriptor = os.open(self._home / "up.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                self._take(self._descriptor)
                self.tell(Run(pid=os.getpid()))
            except BaseException:
                os.close(self._descriptor)
                raise
        except OSError as error:
            raise unusable(self._home, error) from error
        return self

    def _take(self, descriptor: int) -> None:
        deadline, told = time.monotonic() + PATIENCE, False
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                run = _written(self._home) or Run(pid=0)
                if run.state != "stopping" or time.monotonic() > deadline:
                    raise AlreadyRunningError(_refusal(run)) from None
            else:
                return
            if not told:
                self._notice(f"waiting for process {run.pid}, which is stopping")
                told = True
            time.sleep(0.05)

    def tell(self, run: Run) -> None:
        """Replace what others read."""
        fresh = self._home / "run.json.new"
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(asdict(run), file)
        fresh.replace(self._home / "run.json")

    def __exit__(self, *_: object) -> None:
        assert self._descriptor is not None
        (self._home / "run.json").unlink(missing_ok=True)
        os.close(self._descriptor)


def _refusal(run: Run) -> str:
    where = f" and serves {run.address}" if run.state == "serving" else ""
    return (
        f"already running: process {run.pid}{where}; stop it with Ctrl-C there or `kill {run.pid}`, "
        "or give this one its own TAILRACE_HOME and --port"
    )
