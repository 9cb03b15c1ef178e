"""Valkey 9 from a wheel, as a server of one's own. Touches: processes, files, a loopback port.

It keeps nothing on disk unless it is told to (``appendonly``): what a cache holds can be computed again, and a cache
that comes back from a crash with old contents would have to be distrusted anyway.

Source: https://valkey.io/topics/valkey.conf/, https://valkey.io/topics/protocol/
"""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path
from typing import BinaryIO

from tailrace.embedded import process
from tailrace.embedded.binaries import valkey_program
from tailrace.embedded.server import EmbeddedServer
from tailrace.errors import EmbeddedServerError

__all__ = ["ValkeyServer"]

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


class ValkeyServer(EmbeddedServer):
    """One Valkey on one folder, empty after every start but with ``{"appendonly": "yes"}``.

    Settings such as ``{"maxmemory": "1gb"}`` go over the defaults.

    Cost of a start: about 0.1 s.
    """

    product = "Valkey"
    start_timeout = 20.0
    shutdown = ((signal.SIGTERM, 10.0),)

    @property
    def url(self) -> str:
        """The address, with the password: ``redis://:password@127.0.0.1:port/0``."""
        return f"redis://:{self._folder.password()}@127.0.0.1:{self.port}/0"

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

    def _prepare(self) -> None:
        """Make the folder that the server keeps things in, if it does; in ours it may not write."""
        if self._settings.get("appendonly") == "yes":
            self._kept.mkdir(mode=0o700, exist_ok=True)
            if self._identity is not None:
                os.chown(self._kept, self._identity.uid, self._identity.gid)

    @property
    def _kept(self) -> Path:
        return self._folder.path / "data"

    def _command(self, port: int) -> tuple[list[str | Path], bytes]:
        folder = self._kept if self._kept.exists() else self._folder.path
        own = {"port": str(port), "requirepass": self._folder.password(), "dir": f'"{folder}"'}
        lines = {**DEFAULTS, **self._settings, **own}
        configuration = "".join(f"{name} {value}\n" for name, value in lines.items())
        # By standard input: the password stands in no argument and in no further file.
        title = f"{{title}} {{listen-addr}} {self._folder.name}"
        return [valkey_program(self._identity), "-", "--proc-title-template", title], configuration.encode()

    def _ready(self) -> bool:
        try:
            return self.execute("PING") == "PONG"
        except EmbeddedServerError:
            return False

    def _processes(self) -> list[int]:
        name = self._folder.name
        return process.find(lambda line: "valkey-server" in line and line.endswith(name), self._identity)

    def _reason(self, said: str) -> str:
        return (said.strip().splitlines() or ["no reason given"])[-1]


def _request(*parts: str) -> bytes:
    """A command in the protocol's form."""
    body = b"".join(b"$%d\r\n%s\r\n" % (len(part.encode()), part.encode()) for part in parts)
    return b"*%d\r\n" % len(parts) + body


def _single_line(answers: BinaryIO) -> str:
    line = answers.readline().decode(errors="replace").rstrip("\r\n")
    if not line or line[0] == "-":
        raise EmbeddedServerError(f"Valkey refused: {line[1:] or 'the connection was closed'}")
    return line[1:]
