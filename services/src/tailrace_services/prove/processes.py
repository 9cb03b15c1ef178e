"""Servers under test as processes of their own. Touches: processes, a log file each, loopback sockets."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tailrace.embedded import free_port
from tailrace.errors import TailraceError
from tailrace.verify.client import Connections, ExchangeFailedError, Request

__all__ = ["ServerFailedError", "ServerProcess", "clean_up_on_sigterm", "resident_bytes"]

START_TIMEOUT = 180.0
"""Seconds within which a server must be ready, on a machine that is busy with much else, too."""

STOP_TIMEOUT = 10.0
"""Seconds a server gets to finish before it is killed."""


class ServerFailedError(TailraceError):
    """A server did not become ready; the message ends with the last lines it said."""

    code = "server_failed"


class ServerProcess:
    """One uvicorn with one worker, uvloop and httptools.

    Args:
        app: ``module:attribute``.
        environment: what it finds beside this process's own environment.
        logs: folder for its log.
        ready: path that answers below 500 once it can serve.
        arguments: more of uvicorn's own.
    """

    def __init__(
        self,
        name: str,
        app: str,
        environment: Mapping[str, str],
        logs: Path,
        *,
        ready: str = "/readyz",
        arguments: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.app = app
        self.environment = dict(environment)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = logs / f"{name}.log"
        self._ready = Request("ready", ready)
        self._arguments = tuple(arguments)
        self._process: asyncio.subprocess.Process | None = None

    @property
    def running(self) -> bool:
        """True while the process is there."""
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int:
        """Its process id.

        Raises:
            ServerFailedError: it was never started.
        """
        if self._process is None:
            raise ServerFailedError(f"{self.name} was not started")
        return self._process.pid

    async def start(self) -> None:
        """Start it and wait until it serves.

        Raises:
            ServerFailedError: it ended, or was not ready within ``START_TIMEOUT`` seconds.
        """
        command = [sys.executable, "-m", "tailrace_services.prove.child", str(os.getpid()), self.app]
        command += ["--host", "127.0.0.1", "--port", str(self.port), "--loop", "uvloop", "--http", "httptools"]
        command += ["--no-access-log", "--log-level", "warning", "--backlog", "2048"]
        command += ["--timeout-graceful-shutdown", "5", *self._arguments]
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                env={**os.environ, **self.environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        loop = asyncio.get_running_loop()
        deadline = loop.time() + START_TIMEOUT
        async with Connections(self.url, timeout=5.0) as connections:
            while loop.time() < deadline and self.running:
                try:
                    if (await connections.send(self._ready)).status < 500:
                        return
                except ExchangeFailedError:
                    pass
                await asyncio.sleep(0.05)
        why = "was not ready in time" if self.running else "ended"
        await self.kill()
        raise ServerFailedError(f"{self.name} ({self.app}) {why}; it said:\n{self.said()}")

    async def stop(self) -> None:
        """End it in good order; kill it when that takes too long. Idempotent."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        try:
            async with asyncio.timeout(STOP_TIMEOUT):
                await self._process.wait()
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """``kill -9``. Idempotent."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    def pause(self) -> None:
        """Stop it in its tracks (SIGSTOP)."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def said(self, lines: int = 30) -> str:
        """The last lines of its log."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""


def clean_up_on_sigterm() -> None:
    """From now on SIGTERM ends this process as Ctrl-C does: everything it started is stopped, what it wrote removed."""
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))


def resident_bytes(pid: int) -> int:
    """Memory that a process holds in RAM. Linux only.

    Raises:
        OSError: no such process.
    """
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
