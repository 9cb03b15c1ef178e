"""A road to the database on which a run of apply ends at a chosen statement, and the run itself, in a process."""

from __future__ import annotations

import asyncio
import os
import signal
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import func
from tests.integration.schema.world import BY_DAY, WATCHES, calls

from tailrace.schema import Declaration, Extension, Index, Patience, apply

STARTUP = 196608
"""The protocol's number in the first message of a session."""
READING = ("SELECT", "SHOW", "SET", "BEGIN", "RESET", "LOCK", "ROLLBACK")

OBJECTS: list[Declaration] = [
    Extension("pg_trgm"),
    WATCHES[0],
    BY_DAY,
    Index("calls_note_words", calls, ["note"], using="gin", operator_class="gin_trgm_ops"),
    Index("calls_status", calls, [func.lower(calls.c.status)]),
]
"""An extension, triggers, a rollup and indexes, one of them with an expression."""


def apply_all(url: str) -> None:
    """What a process runs. Whatever it ends with, the next run is to find its way."""
    asyncio.run(apply(url, OBJECTS, patience=Patience(lock_timeout=5.0)))


@dataclass
class _Session:
    """What one session has said."""

    in_transaction: bool = False
    last: str = ""


class Road:
    """Forwards sessions to a server, and counts the statements that change something.

    Args:
        last: the statement that does not get through: ``ended`` is called in its place.
        ended: given the server process of that session.
    """

    def __init__(self, url: str, last: int, ended: Callable[[int], Coroutine[Any, Any, None]]) -> None:
        self.url = url
        self.writes: list[str] = []
        self._ending: asyncio.Task[None] | None = None
        self._last = last
        self._ended = ended

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        """The address of the road."""
        address = urlsplit(self.url)
        async with await asyncio.start_server(self._carry, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            assert address.port is not None
            yield self.url.replace(f":{address.port}/", f":{port}/")
            if self._ending is not None:
                await self._ending

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = urlsplit(self.url)
        from_server, to_server = await asyncio.open_connection(address.hostname, address.port)
        pid: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        there = asyncio.create_task(self._outward(reader, to_server, pid))
        back = asyncio.create_task(self._homeward(from_server, writer, pid))
        await asyncio.wait([there, back], return_when=asyncio.FIRST_COMPLETED)
        for side in (writer, to_server):
            side.close()
        for task in (there, back):
            task.cancel()
        await asyncio.gather(there, back, return_exceptions=True)

    async def _outward(
        self, reader: asyncio.StreamReader, to_server: asyncio.StreamWriter, pid: asyncio.Future[int]
    ) -> None:
        session = _Session()
        started = False
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                kind = await reader.readexactly(1) if started else b""
                size = await reader.readexactly(4)
                body = await reader.readexactly(struct.unpack("!i", size)[0] - 4)
                if not started:
                    started = struct.unpack("!i", body[:4])[0] == STARTUP
                elif (
                    kind in (b"Q", b"P") and self._counts(session, _text(kind, body)) and len(self.writes) == self._last
                ):
                    self._ending = asyncio.create_task(self._ended(await pid))
                    return
                to_server.write(kind + size + body)
                await to_server.drain()

    def _counts(self, session: _Session, text: str) -> bool:
        """Whether ending here differs from ending before: within a transaction only its COMMIT does."""
        word = text.lstrip().partition(" ")[0].rstrip(";").upper()
        session.in_transaction = word == "BEGIN" or (session.in_transaction and word not in ("COMMIT", "ROLLBACK"))
        known, session.last = session.last == text, text  # what is prepared to be described, and again to be run
        if known or session.in_transaction or word in READING:
            return False
        self.writes.append(text[:60])
        return True

    async def _homeward(
        self, from_server: asyncio.StreamReader, writer: asyncio.StreamWriter, pid: asyncio.Future[int]
    ) -> None:
        """Learns the server's process from what it says at the start of a session: K, length, pid, secret."""
        seen = b""
        with suppress(ConnectionError):
            while data := await from_server.read(65536):
                if not pid.done():
                    seen += data
                    at = seen.find(b"K\x00\x00\x00\x0c")
                    if at >= 0 and len(seen) >= at + 9:
                        pid.set_result(struct.unpack("!i", seen[at + 5 : at + 9])[0])
                writer.write(data)
                await writer.drain()


def _text(kind: bytes, body: bytes) -> str:
    """The statement of a query, or of what is to be prepared under a name."""
    return (body.partition(b"\0")[2] if kind == b"P" else body).partition(b"\0")[0].decode()


def kill_process(pid: int) -> None:
    """kill -9."""
    os.kill(pid, signal.SIGKILL)


class Forks:
    """Processes that apply everything, forked from one that has loaded what they need."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.schema.killing"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # what a run that was cut off says of it
            text=True,
        )

    def start(self, url: str) -> int:
        """The process id of a new one."""
        assert self._server.stdin is not None
        self._server.stdin.write(url + "\n")
        self._server.stdin.flush()
        return self._read()

    def join(self) -> int:
        """The exit code of the last one, when it has ended."""
        return self._read()

    def close(self) -> None:
        """No more."""
        self._server.communicate()

    def _read(self) -> int:
        assert self._server.stdout is not None
        return int(self._server.stdout.readline())


def _serve() -> None:
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            apply_all(line.strip())
            os._exit(0)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    _serve()
