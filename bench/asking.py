"""Ask an ASGI application in process, as a server would: whole answers to look at, or many in a row to be timed.

Touches: the process's CPU clock. ``receive`` never tells of a second message: servers do not either until the client
leaves, and layers that listen for that wait meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import zlib
from collections.abc import AsyncIterator, Callable, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import brotli

from bench.contender import NotWorkingError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["HOST", "ASGIApp", "Answer", "InProcess", "started"]

ASGIApp = Callable[[Any, Any, Any], Any]
HOST = "127.0.0.1"
START_TIMEOUT = 30.0
DECODERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gzip": partial(zlib.decompress, wbits=31),
    "br": brotli.decompress,
    "zstd": zstd.decompress,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole response; names of ``headers`` in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def decoded(self) -> bytes:
        """The body without its content coding.

        Raises:
            NotWorkingError: it is not in that coding.
        """
        coding = self.headers.get("content-encoding", "")
        try:
            return DECODERS[coding](self.body)
        except (zlib.error, brotli.error, zstd.ZstdError) as error:
            raise NotWorkingError(f"a body that is not {coding}: {error}") from error

    def json(self) -> Any:
        """What it says."""
        return json.loads(self.decoded)


@asynccontextmanager
async def started(app: ASGIApp) -> AsyncIterator[None]:
    """``app`` between its lifespan's start and end.

    Raises:
        NotWorkingError: it does not start.
    """
    told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    answered: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
    await told.put({"type": "lifespan.startup"})
    scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
    task = asyncio.ensure_future(app(scope, told.get, answered.put))
    try:
        await _heard(task, answered, "startup")
        yield
        await told.put({"type": "lifespan.shutdown"})
        await _heard(task, answered, "shutdown")
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _heard(task: asyncio.Future[Any], answered: asyncio.Queue[MutableMapping[str, Any]], step: str) -> None:
    waiting = asyncio.ensure_future(answered.get())
    async with asyncio.timeout(START_TIMEOUT):
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if not waiting.done():
        waiting.cancel()
        raise NotWorkingError(f"the application ended at its {step}") from task.exception()
    if waiting.result()["type"] != f"lifespan.{step}.complete":
        raise NotWorkingError(f"{step} failed: {waiting.result().get('message')}")


class InProcess:
    """Asks ``app``, each time with the same request fields but for what is told."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def get(self, target: str, *, accepts: str = "identity", caller: str = HOST) -> Answer:
        """The whole answer."""
        messages: list[MutableMapping[str, Any]] = []

        async def send(message: MutableMapping[str, Any]) -> None:
            messages.append(message)

        await self._app(_scope(target, accepts, caller), _Receive(), send)
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in messages[0]["headers"]}
        return Answer(messages[0]["status"], headers, b"".join(message.get("body", b"") for message in messages[1:]))

    async def spend(self, target: str, accepts: str, caller: str, requests: int) -> float:
        """CPU microseconds of one of so many requests in a row.

        Raises:
            NotWorkingError: one was not answered with 200.
        """
        asked = [(_scope(target, accepts, caller), _Receive()) for _ in range(requests)]
        app, refused = self._app, 0

        async def send(message: MutableMapping[str, Any]) -> None:
            nonlocal refused
            if message.get("status", 200) != 200:
                refused = message["status"]

        began = time.process_time_ns()
        for scope, receive in asked:
            await app(scope, receive, send)
        took = time.process_time_ns() - began
        if refused:
            raise NotWorkingError(f"a request was answered with {refused} while it was measured")
        return took / requests / 1000


class _Receive:
    __slots__ = ("_asked",)

    def __init__(self) -> None:
        self._asked = False

    async def __call__(self) -> dict[str, Any]:
        if self._asked:
            await asyncio.get_running_loop().create_future()
        self._asked = True
        return {"type": "http.request", "body": b"", "more_body": False}


def _scope(target: str, accepts: str, caller: str) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": (HOST, 8000),
        "client": (caller, 50000),
        "scheme": "http",
        "method": "GET",
        "root_path": "",
        "path": target,
        "raw_path": target.encode(),
        "query_string": b"",
        "headers": [
            (b"host", b"localhost:8000"),
            (b"user-agent", b"bench/1"),
            (b"accept", b"*/*"),
            (b"accept-encoding", accepts.encode()),
            (b"x-user", b"7"),
        ],
        "state": {},
    }
