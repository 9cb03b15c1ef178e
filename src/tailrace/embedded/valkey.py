"""Valkey 9 from a wheel, as a server of one's own. Touches: processes, files, a loopback port.

It keeps nothing on disk: what a cache holds can be computed again, and a cache that comes back from a crash with old
contents would have to be distrusted anyway.

Source: https://valkey.io/topics/valkey.conf/, https://valkey.io/topics/protocol/
"""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from tailrace.embedded import process
from tailrace.embedded.binaries import valkey_program
from tailrace.embedded.folder import ServerFolder
from tailrace.embedded.ports import free_port, port_is_free
from tailrace.errors import EmbeddedServerError

__all__ = ["ValkeyServer"]

START_TIMEOUT = 20.0
"""Seconds."""

DEFAULTS = {
    "bind": "127.0.0.1",
    "maxmemory": "256mb",
    "maxmemory-policy": "allkeys-lru",
    "save": '""',
    "appendonly": "no",
    "daemonize": "no",
    "logfile": '""',
    "loglevel": "notice",
    # Room for invalidation messages to readers that are slow for a moment.
    "client-output-buffer-limit": "pubsub 64mb 16mb 60",
}


class ValkeyServer:
    """One server on one folder; a context manager.

    The server ends when this process does. One that a killed process left behind in ``data`` is ended and replaced.

    Args:
        data: the server's folder, made if need be: password (owner only), log.
        port: None for the one of the last start if it is free, else any free one.
        settings: go over the defaults, e.g. ``{"maxmemory": "1gb"}``.
    """

    def __init__(self, data: Path, *, port: int | None = None, settings: Mapping[str, str] | None = None) -> None:
        self._identity = process.server_identity()
        self._folder = ServerFolder(data, self._identity)
        self._wanted_port = port
        self._port = port
        self._settings = dict(settings or {})
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start and wait until it answers; nothing happens if it runs already.

        Raises:
            EmbeddedServerError: the folder is in use, the port taken, the disk full, or it does not start.

        Cost: about 0.1 s.
        """
        if self.running:
            return self
        self._folder.open()
        try:
            self._replace_orphan()
            self._launch()
        except BaseException:
            self._kill_processes()
            self._folder.close()
            raise
        return self

    def stop(self) -> None:
        """Shut down in order. Idempotent."""
        if self._child is not None:
            process.end([self._child.pid], ((signal.SIGTERM, 10.0),))
        self._kill_processes()
        self._folder.close()

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        self._kill_processes()
        self._folder.close()

    def restart(self) -> None:
        """Stop if it runs, then start, empty, on the same port."""
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Whether the server's process lives."""
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._child.pid if self._child is not None and self.running else None

    @property
    def port(self) -> int:
        """The loopback port; known once started, and kept by ``restart``.

        Raises:
            EmbeddedServerError: never started, and no port was given.
        """
        if self._port is None:
            raise EmbeddedServerError("the server has no port before its first start")
        return self._port

    @property
    def url(self) -> str:
        """The address, with the password: ``redis://:password@127.0.0.1:port/0``."""
        return f"redis://:{self._folder.password()}@127.0.0.1:{self.port}/0"

    @property
    def log_path(self) -> Path:
        """The server's log."""
        return self._folder.log

    def execute(self, *command: str, timeout: float = 5.0) -> str:
        """Send one command that answers a single line, as ``PING`` and ``FLUSHALL`` do; its answer.

        Raises:
            EmbeddedServerError: no connection, or the server refused it.

        Cost: one connection, under 1 ms.
        """
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout) as connection:
                connection.settimeout(timeout)
                connection.sendall(_request("AUTH", self._folder.password()) + _request(*command))
                with connection.makefile("rb") as answers:
                    _single_line(answers)
                    return _single_line(answers)
        except OSError as error:
            raise EmbeddedServerError(f"Valkey on port {self.port} does not answer: {error}") from error

    def flush(self) -> None:
        """Remove every key."""
        self.execute("FLUSHALL")

    # --- starting and ending ----------------------------------------------------------------------

    def _launch(self) -> None:
        for attempt in range(5):
            port = self._choose_port(attempt)
            if self._try_launch(port):
                self._folder.remember_port(port)
                return
        raise EmbeddedServerError("no port could be kept long enough to start Valkey: give one")

    def _choose_port(self, attempt: int) -> int:
        fixed = self._wanted_port or (self._port if attempt == 0 else None)
        if fixed is not None:
            # A moment's patience for a predecessor's socket.
            if not process.wait_until(lambda: port_is_free(fixed), 2.0):
                raise EmbeddedServerError(
                    f"port {fixed} on 127.0.0.1 is taken: stop what listens there, or choose another"
                )
            return fixed
        last = self._folder.remembered_port()
        return last if last is not None and attempt == 0 and port_is_free(last) else free_port()

    def _try_launch(self, port: int) -> bool:
        """True once it answers, False if another program took the port first."""
        own = {"port": str(port), "requirepass": self._folder.password(), "dir": f'"{self._folder.path}"'}
        lines = {**DEFAULTS, **self._settings, **own}
        written = self._folder.log_size()
        # By standard input: the password stands in no argument and in no further file.
        self._child = process.spawn(
            [valkey_program(self._identity), "-", "--proc-title-template", self._title],
            identity=self._identity,
            log=self._folder.log,
            death_signal=signal.SIGTERM,
            standard_input="".join(f"{name} {value}\n" for name, value in lines.items()).encode(),
        )
        self._port = port
        if process.wait_until(lambda: self._ready() or not self.running, START_TIMEOUT) and self.running:
            return True
        said = self._folder.log_since(written)
        self._kill_processes()
        if "Address already in use" in said and self._wanted_port is None:
            return False
        reason = (said.strip().splitlines() or ["no reason given"])[-1]
        raise EmbeddedServerError(f"Valkey does not start: {reason} (log: {self._folder.log})")

    def _ready(self) -> bool:
        try:
            return self.execute("PING") == "PONG"
        except EmbeddedServerError:
            return False

    @property
    def _title(self) -> str:
        return f"{{title}} {{listen-addr}} {self._folder.name}"

    def _processes(self) -> list[int]:
        name = self._folder.name
        return process.find(lambda line: "valkey-server" in line and line.endswith(name), self._identity)

    def _replace_orphan(self) -> None:
        process.end(self._processes(), ((signal.SIGTERM, 10.0),))
        process.kill_all(self._processes)

    def _kill_processes(self) -> None:
        child, self._child = self._child, None
        process.kill_all(self._processes)
        if child is not None:
            child.wait()


def _request(*parts: str) -> bytes:
    """A command in the protocol's form."""
    body = b"".join(b"$%d\r\n%s\r\n" % (len(part.encode()), part.encode()) for part in parts)
    return b"*%d\r\n" % len(parts) + body


def _single_line(answers: BinaryIO) -> str:
    line = answers.readline().decode(errors="replace").rstrip("\r\n")
    if not line or line[0] == "-":
        raise EmbeddedServerError(f"Valkey refused: {line[1:] or 'the connection was closed'}")
    return line[1:]
