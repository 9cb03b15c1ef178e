"""Which processes serve the same application, and where they share their figures. Touches: /proc, a folder in memory.

The workers of one server (``uvicorn --workers``, gunicorn, granian, hypercorn) have one parent: it made them by
``multiprocessing``, or by a plain fork, after which both have the same command line. Their folder is named after it.

**Source:** proc(5).
"""

from __future__ import annotations

import hashlib
import logging
import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tailrace.observe.sharing import SharedFigures, is_held

__all__ = ["folder_for_workers", "share_figures", "started_at"]

PREFIX = "tailrace-metrics"

_PROC = Path("/proc")
_log = logging.getLogger("tailrace.metrics")


def share_figures(application: Iterable[str], *, folder: Path | None = None) -> SharedFigures | None:
    """What this process shares with the others that serve the same application.

    Args:
        application: what tells it from other applications in the same process, as its title and routes.
        folder: of those processes; by default found for the workers of one server.

    Returns:
        None where this process serves alone, or no folder can be written, which is then in the log.
    """
    try:
        chosen = folder or _folder_of_siblings()
        if chosen is None:
            return None
        return SharedFigures(chosen, hashlib.sha256("\n".join(application).encode()).hexdigest()[:12])
    except OSError as error:
        _log.warning("each process shows its own figures, as they cannot be shared: %s", error)
        return None


@contextmanager
def folder_for_workers(name: str) -> Iterator[Path]:
    """An empty folder for processes that are started one by one; name it in their settings. Removed at the end.

    Args:
        name: tells it from others on this machine; what was left under the same name is removed first.

    Raises:
        OSError: it cannot be made.
    """
    folder = _base() / f"{PREFIX}-{name}"
    shutil.rmtree(folder, ignore_errors=True)  # a folder that stays where it is shows when it is made
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def started_at(pid: int) -> int:
    """When a process started, in clock ticks since the machine did.

    Raises:
        OSError: there is no such process, or no /proc.
    """
    # Field 22, counted after the command name, which may hold spaces and parentheses.
    return int((_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[19])


def _folder_of_siblings() -> Path | None:
    """The folder of the parent's workers, made if need be; None for who is no worker.

    Raises:
        OSError: it cannot be made, or somebody else made it.
    """
    parent = _supervisor()
    if parent is None:
        return None
    base = _base()
    mine = f"{PREFIX}-{os.geteuid()}-"
    _remove_left_over(base, mine)
    folder = base / f"{mine}{parent}-{started_at(parent)}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o777 != 0o700 or folder.is_symlink():
        raise PermissionError(f"{folder} is not this user's own")
    return folder


def _base() -> Path:
    """Where folders are made; each is seen to be this user's before it is used."""
    memory = Path("/dev/shm")  # noqa: S108
    return memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir())


def _supervisor() -> int | None:
    """The process that made this one and others of its kind; None if none did."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        return parent.pid
    try:
        own, its = [(_PROC / pid / "cmdline").read_bytes() for pid in ("self", str(os.getppid()))]
    except OSError:
        return None
    return os.getppid() if own == its else None


def _remove_left_over(base: Path, mine: str) -> None:
    """Remove the folders of this user's servers of which nothing runs any more."""
    for folder in base.glob(f"{mine}*-*"):
        pid, _, start = folder.name.removeprefix(mine).partition("-")
        if pid.isdecimal() and start.isdecimal() and not _runs(int(pid), int(start)) and not _in_use(folder):
            # Another worker may be removing it as well.
            shutil.rmtree(folder, ignore_errors=True)


def _runs(pid: int, start: int) -> bool:
    try:
        return started_at(pid) == start
    except OSError:
        return False


def _in_use(folder: Path) -> bool:
    """Whether a worker still runs though its parent does not."""
    try:
        return any(is_held(path) for path in folder.glob("*.figures"))
    except FileNotFoundError:
        return True  # it is being removed
