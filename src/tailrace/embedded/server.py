"""The life of a server on a folder, whichever it is. Touches: processes, files, a loopback port."""

from __future__ import annotations

import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from tailrace.embedded import process
from tailrace.embedded.folder import FULL, ServerFolder
from tailrace.embedded.ports import free_port, port_is_free
from tailrace.errors import EmbeddedServerError

__all__ = ["EmbeddedServer"]

PORT_ATTEMPTS = 5
"""How often another free port is tried when one is snatched away between choosing and listening."""


class EmbeddedServer(ABC):
    """One server on one folder; a context manager.

    The server ends when this process does, however that ends. A server that a killed process left behind in ``data`` is
    shut down and replaced; one that a living process looks after is left alone and the start refused.

    Args:
        data: the server's folder, made if need be: data, password (readable by its owner alone), log.
        port: None for the one of the last start if it is free, else any free one.
        settings: go over the defaults, by the server's own names.
    """

    product: ClassVar[str]
    """The server's name in messages."""
    start_timeout: ClassVar[float]
    """Seconds after which a start counts as failed."""
    shutdown: ClassVar[Sequence[tuple[signal.Signals, float]]]
    """Signals that end it, gentlest first, each with the seconds to wait for it. The first is sent if we die."""

    def __init__(self, data: Path, *, port: int | None = None, settings: Mapping[str, str] | None = None) -> None:
        self._identity = process.server_identity()
        self._folder = ServerFolder(data, self._identity)
        self._wanted_port = port
        self._port = port
        self._settings = dict(settings or {})
        self._child: subprocess.Popen[bytes] | None = None

    # --- life -------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Start and wait until it serves; nothing happens if it runs already.

        Raises:
            EmbeddedServerError: the folder is in use, the port taken, the disk full, or it does not start.
        """
        if self.running:
            return self
        if self._child is not None:
            self.kill()  # what is left of a server of ours that ended by itself
        self._folder.open()
        try:
            self._replace_orphan()
            self._prepare()
            self._launch()
            self._complete()
        except BaseException:
            self._kill_processes()
            self._folder.close()
            raise
        return self

    def stop(self) -> None:
        """Shut down in order. Idempotent."""
        if self._child is not None:
            process.end([self._child.pid], self.shutdown)
        self.kill()

    def kill(self) -> None:
        """SIGKILL the whole server, as a crash would. Idempotent."""
        self._kill_processes()
        self._folder.close()

    def restart(self) -> None:
        """Stop if it runs, then start on the same port."""
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # --- where it is ------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether the server's process lives."""
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._child.pid if self._child is not None and self.running else None

    @property
    def port(self) -> int:
        """The loopback port; known once started, and kept by ``restart``.

        Raises:
            EmbeddedServerError: never started, and no port was given.
        """
        if self._port is None:
            raise EmbeddedServerError(f"{self.product} has no port before its first start")
        return self._port

    @property
    def log_path(self) -> Path:
        """The server's log."""
        return self._folder.log

    # --- what each server adds --------------------------------------------------------------------

    def _prepare(self) -> None:  # noqa: B027 - nothing to do is a good answer
        """Before the first launch: make what the server needs."""

    @abstractmethod
    def _command(self, port: int) -> tuple[list[str | Path], bytes]:
        """The command that serves on ``port``, and its standard input."""

    @abstractmethod
    def _ready(self) -> bool:
        """Whether the launched process serves by now."""

    def _complete(self) -> None:  # noqa: B027 - nothing to do is a good answer
        """After the launch: make what only a running server can."""

    @abstractmethod
    def _processes(self) -> list[int]:
        """Every process of the server on this folder, whoever started it; the main one first."""

    @abstractmethod
    def _reason(self, said: str) -> str:
        """The one line that matters out of what a failed program said."""

    # --- starting ---------------------------------------------------------------------------------

    def _launch(self) -> None:
        for attempt in range(PORT_ATTEMPTS):
            self._port = self._choose_port(attempt)
            if self._try_launch(self._port):
                self._folder.remember_port(self._port)
                return
        raise EmbeddedServerError(f"no port could be kept long enough to start {self.product}: give one")

    def _choose_port(self, attempt: int) -> int:
        fixed = self._wanted_port or (self._port if attempt == 0 else None)
        if fixed is None:
            last = self._folder.remembered_port()
            return last if last is not None and attempt == 0 and port_is_free(last) else free_port()
        # A moment's patience for a predecessor that is about to let go.
        if not process.wait_until(lambda: port_is_free(fixed), 2.0):
            raise EmbeddedServerError(f"port {fixed} on 127.0.0.1 is taken: stop what listens there, or choose another")
        return fixed

    def _try_launch(self, port: int) -> bool:
        """True once it serves, False if another program took the port first."""
        command, standard_input = self._command(port)
        written = self._folder.log_size()
        try:
            self._child = process.spawn(
                command,
                identity=self._identity,
                log=self._folder.log,
                death_signal=self.shutdown[0][0],
                standard_input=standard_input,
            )
        except OSError as error:
            raise self._folder.failure(error) from error
        if process.wait_until(lambda: self._ready() or not self.running, self.start_timeout) and self.running:
            return True
        said = self._folder.log_since(written)
        self._kill_processes()
        if "Address already in use" in said and self._wanted_port is None:
            return False
        raise self._explain(said)

    def _explain(self, said: str) -> EmbeddedServerError:
        if FULL in said:
            return self._folder.disk_full()
        return EmbeddedServerError(f"{self.product} does not start: {self._reason(said)} (log: {self._folder.log})")

    # --- ending -----------------------------------------------------------------------------------

    def _replace_orphan(self) -> None:
        """End what a dead supervisor left: the folder is locked, so nobody else looks after it."""
        if left := self._processes():
            process.end(left[:1], self.shutdown)
            process.kill_all(self._processes)

    def _kill_processes(self) -> None:
        child, self._child = self._child, None
        if child is not None and child.poll() is None:
            # Held still, so that it starts no further process while the others are looked up.
            process.send([child.pid], signal.SIGSTOP)
        process.kill_all(self._processes)
        if child is not None:
            child.wait()
