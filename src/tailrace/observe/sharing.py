"""Figures that the processes of one application keep where each can read them. Touches: files in a folder in memory.

Each process counts in a file of its own, which it maps: what it has counted is there the moment it has, and stays when
it is killed. Whoever is asked for the figures reads the others' files. A file's owner holds a lock on it, which the
kernel gives back however the owner ends; files of those that have ended are added to ``ended`` and removed.
"""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import cast

from tailrace.observe.catalogue import METRICS
from tailrace.observe.ended import Ended, read_ended, write_ended
from tailrace.observe.family import OTHER, Series
from tailrace.observe.merging import Figures, Part, merge
from tailrace.observe.records import SEGMENT, key_of, read_records, record_length, write_record

__all__ = ["SharedFigures", "is_held"]

REMEMBERED = 1000
"""Most names of files that are known to have been added to ``ended``."""

_log = logging.getLogger("tailrace.metrics")


class SharedFigures:
    """One process's figures, and those of the others that serve the same application.

    Args:
        folder: of all of them; best in memory, as below ``/dev/shm``.
        application: which one; several may share a folder.

    Raises:
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: Path, application: str) -> None:
        self._folder = folder
        self._application = application
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.name = f"{application}.{os.getpid()}.{secrets.token_hex(4)}.figures"
        fresh = folder / (self.name + ".new")
        self._file = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        # A mapping keeps the file that it was made of open, so the lock is held by another opening of it, and has to be
        # held before anybody can see the file.
        self._lock = os.open(fresh, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        fresh.rename(folder / self.name)
        self._segments: list[memoryview] = []
        self._at = SEGMENT

    def allocate(self, name: str, labels: tuple[str, ...], size: int) -> Series:
        """A series of zeros that the other processes see; one that they do not see where there is no room left."""
        key = key_of(name, labels)
        length = record_length(key, size)
        if length > SEGMENT:
            return self.allocate(name, (OTHER,) * len(labels), size)
        if self._at + length > SEGMENT:
            try:
                self._add_segment()
            except OSError as error:
                _log.warning("no room for what other processes should see of %s: %s", name, error)
                return [0.0] * size
        numbers = write_record(self._segments[-1], self._at, key, size)
        self._at += length
        return cast("Series", numbers)  # which has what a series needs, and no lengths to change

    def _add_segment(self) -> None:
        offset = len(self._segments) * SEGMENT
        # Room that is only promised would kill the process when it is written and not there.
        os.posix_fallocate(self._file, offset, SEGMENT)
        self._segments.append(memoryview(mmap.mmap(self._file, SEGMENT, offset=offset)))
        self._at = 0

    def others(self) -> list[Part]:
        """What the other processes have counted, and all those that have ended.

        Cost: about a millisecond for each process; other threads may run meanwhile.
        """
        found: dict[Path, Part] = {}
        for path in sorted(self._folder.glob(f"{self._application}.*.figures")):
            if path.name != self.name:
                with suppress(FileNotFoundError):  # added to ``ended`` meanwhile
                    alive = is_held(path)
                    found[path] = Part(path.name.split(".")[1], _collect(path.read_bytes()), alive)
        # After the files, so that one that is removed meanwhile is in here.
        ended = self._read_ended()
        over = [path for path, part in found.items() if not part.alive]
        if over:
            self._add_to_ended(over)
        parts = [part for path, part in found.items() if path.name not in ended.names]
        return [*parts, Part("", ended.figures, alive=False)]

    def _read_ended(self) -> Ended:
        path = self._folder / f"{self._application}.ended"
        try:
            return read_ended(path.read_text())
        except FileNotFoundError:
            return Ended()
        except ValueError as error:
            _log.warning("what ended processes counted is lost, %s cannot be read: %s", path, error)
            return Ended()

    def _add_to_ended(self, paths: Iterable[Path]) -> None:
        """Take over what those counted that have ended; nothing happens while another process does."""
        turn = os.open(self._folder / f"{self._application}.turn", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with suppress(BlockingIOError):
                fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._fold(paths)
        finally:
            os.close(turn)

    def _fold(self, paths: Iterable[Path]) -> None:
        ended, names, parts = self._read_ended(), [], []
        for path in paths:
            if path.name not in ended.names and path.exists():
                names.append(path.name)
                parts.append(Part("", _collect(path.read_bytes()), alive=False))
        merged = merge([Part("", ended.figures, alive=False), *parts])
        fresh = self._folder / f"{self._application}.ended.new"
        fresh.write_text(write_ended([*ended.names, *names][-REMEMBERED:], merged))
        fresh.rename(self._folder / f"{self._application}.ended")
        # Only now: who finds a file gone finds it in ``ended``.
        for path in paths:
            path.unlink(missing_ok=True)


def is_held(path: Path) -> bool:
    """Whether the process that counts in the file still runs.

    Raises:
        FileNotFoundError: there is none.
    """
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def _collect(data: bytes) -> Figures:
    """Series by metric and labels; such as are there twice are added, as the first one's labels were too long."""
    figures: dict[str, dict[tuple[str, ...], tuple[float, ...]]] = {}
    for name, labels, values in read_records(data):
        if name in METRICS:
            series = figures.setdefault(name, {})
            known = series.get(labels)
            if known is None:
                series[labels] = values
            elif len(known) == len(values):
                series[labels] = tuple(map(sum, zip(known, values, strict=True)))
    return figures
