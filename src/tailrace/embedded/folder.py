"""A server's folder: one supervisor at a time, a password for its owner alone, a log. Touches: files."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
import time
from pathlib import Path

from tailrace.embedded.binaries import closed_folder
from tailrace.embedded.process import Identity, command_line
from tailrace.errors import EmbeddedServerError

__all__ = ["FULL", "ServerFolder", "unusable"]

LOG_BYTES = 10 * 1024 * 1024
"""A log larger than this is put aside at the next start; one old one is kept."""

LETTING_GO = 2.0
"""Seconds for which a lock that this very process gave up may still be held: by a child, from its fork to its exec."""

FULL = "No space left on device"


class ServerFolder:
    """The files beside a server's data.

    The folder and what is in it belong to the supervisor's user; only the server's own part belongs to ``identity``.
    """

    def __init__(self, path: Path, identity: Identity | None) -> None:
        self.path = path.absolute()
        self.identity = identity
        self.log = self.path / "server.log"
        self.name = "tailrace-" + hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]
        self._lock: int | None = None

    def open(self) -> None:
        """Make the folder if need be and become its one supervisor.

        Raises:
            EmbeddedServerError: another supervisor lives, or the folder cannot be made, written or reached.
        """
        try:
            self.path.mkdir(mode=0o711 if self.identity else 0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.path / "supervisor.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self.failure(error) from error
        try:
            self._take(descriptor)
            if self.identity and (closed := closed_folder(self.path / "data", self.identity)):
                raise EmbeddedServerError(
                    f"user {self.identity.name}, which runs the server, cannot pass through {closed}: "
                    "choose a folder outside it (TAILRACE_HOME)"
                )
            if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
                self.log.replace(self.log.with_suffix(".log.1"))
        except BaseException:
            os.close(descriptor)
            raise
        self._lock = descriptor

    def _take(self, descriptor: int) -> None:
        deadline = time.monotonic() + LETTING_GO
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            if holder == str(os.getpid()) and time.monotonic() < deadline:
                time.sleep(0.01)
                continue
            title = command_line(int(holder))[:80] if holder.isdigit() else ""
            raise EmbeddedServerError(
                f"{self.path} is in use by process {holder or '?'} ({title or 'unknown'}): stop that first"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)

    def close(self) -> None:
        """Let another supervisor have the folder. Idempotent."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def password(self) -> str:
        """The server's password, made at the first call; its file is readable by its owner alone."""
        file = self.path / "password"
        try:
            if not file.exists() or not file.read_text().strip():
                fresh = file.with_suffix(".new")
                fresh.unlink(missing_ok=True)
                descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "w") as output:
                    output.write(secrets.token_hex(24) + "\n")
                fresh.replace(file)
            return file.read_text().strip()
        except OSError as error:
            raise self.failure(error) from error

    def write(self, name: str, text: str) -> Path:
        """Write a configuration file, replaced whole; readable by the server's user."""
        file = self.path / name
        fresh = file.with_suffix(".new")
        try:
            fresh.write_text(text)
            fresh.chmod(0o644 if self.identity else 0o600)
            fresh.replace(file)
        except OSError as error:
            raise self.failure(error) from error
        return file

    def remembered_port(self) -> int | None:
        """The port of the last start."""
        try:
            return int((self.path / "port").read_text())
        except (OSError, ValueError):
            return None

    def remember_port(self, port: int) -> None:
        """Keep the port for the next start."""
        self.write("port", f"{port}\n")

    def log_since(self, offset: int) -> str:
        """What the server wrote after ``offset`` bytes."""
        try:
            with self.log.open("rb") as file:
                file.seek(offset)
                return file.read(1 << 20).decode(errors="replace")
        except OSError:
            return ""

    def log_size(self) -> int:
        """Bytes in the log."""
        return self.log.stat().st_size if self.log.exists() else 0

    def failure(self, error: OSError) -> EmbeddedServerError:
        """The one clear line for a file that could not be made, read or written."""
        return unusable(self.path, error)

    def disk_full(self) -> EmbeddedServerError:
        """The one clear line for a full disk."""
        return unusable(self.path, OSError(errno.ENOSPC, FULL))


def unusable(folder: Path, error: OSError) -> EmbeddedServerError:
    """The one clear line for a folder in which something could not be made, read or written."""
    where = error.filename or folder
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return EmbeddedServerError(f"the disk that holds {folder} is full: free space, or set TAILRACE_HOME")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return EmbeddedServerError(f"no permission for {where}: give this user the folder, or set TAILRACE_HOME")
    return EmbeddedServerError(f"cannot use {where}: {error.strerror or error}: set TAILRACE_HOME to another folder")
