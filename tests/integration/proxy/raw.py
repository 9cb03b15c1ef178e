"""An origin that sends the bytes it is told, and a client that sees the bytes it gets, with the proxy between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from tailrace.proxy import CacheProxy
from tailrace.proxy.serving import listen, server_of
from tailrace.settings import Settings
from tailrace.upstream.origin import Origin

__all__ = [
    "Answering",
    "Asked",
    "Between",
    "Client",
    "RawOrigin",
    "Reply",
    "answering",
    "before",
    "between",
    "plain",
    "request",
]


def plain(body: bytes, *fields: str, status: str = "200 OK") -> bytes:
    """A whole response with a length."""
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields, "", ""])
    return head.encode("latin-1") + body


def request(path: str = "/", *fields: str, method: str = "GET", body: bytes = b"") -> bytes:
    """A request; a body brings its length."""
    length = [f"Content-Length: {len(body)}"] if body else []
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: shop.example", *length, *fields, "", ""]).encode() + body


@dataclass
class Asked:
    """A request as the origin got it, and its connection."""

    line: str
    fields: list[tuple[str, str]]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    connection: int
    body: bytes = b""

    def values(self, name: str) -> list[str]:
        return [value for known, value in self.fields if known == name]

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def read_body(self) -> bytes:
        """The body, by whichever framing it came."""
        if self.values("transfer-encoding"):
            while size := int(await self.reader.readline(), 16):
                self.body += (await self.reader.readexactly(size + 2))[:-2]
            await self.reader.readexactly(2)
        elif length := self.values("content-length"):
            self.body += await self.reader.readexactly(int(length[0]))
        return self.body


Answering = Callable[[Asked], Awaitable[None]]


class RawOrigin:
    """Passes each request's head to ``answer``; the connection is kept unless that closes it."""

    def __init__(self, answer: Answering) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        self.connections = 0
        self.open = 0
        self.listening: asyncio.Server
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listening.sockets[0].getsockname()[1]}"

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.open += 1
        number = self.connections
        try:
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
                pairs = [line.partition(":") for line in head[1:]]
                fields = [(name.lower(), value.strip()) for name, _, value in pairs]
                self.asked.append(Asked(head[0], fields, reader, writer, number))
                await self.answer(self.asked[-1])
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self.open -= 1
            writer.transport.abort()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def answering(answer: Answering) -> AsyncIterator[RawOrigin]:
    """An origin that answers so."""
    origin = RawOrigin(answer)
    origin.listening = await asyncio.start_server(origin.accept, "127.0.0.1", 0)
    try:
        yield origin
    finally:
        origin.listening.close()
        await origin.stop()


@dataclass
class Reply:
    """A response as the client got it; ``whole`` is false if the connection ended before it did."""

    status: int
    fields: list[tuple[str, str]]
    body: bytes = b""
    whole: bool = False
    interim: list[int] = field(default_factory=list)

    def values(self, name: str) -> list[str]:
        return [value for known, value in self.fields if known == name]

    def value(self, name: str) -> str:
        return ", ".join(self.values(name))


class Client:
    """One connection to the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def leave(self) -> None:
        """End the connection at once."""
        self.writer.transport.abort()
        with suppress(OSError):
            await self.writer.wait_closed()

    async def ask(self, data: bytes) -> Reply:
        """Send ``data`` and read one response."""
        self.writer.write(data)
        return await self.read(head=data.startswith(b"HEAD "))

    async def read_head(self) -> Reply:
        """The next final response up to its body."""
        interim = []
        while True:
            lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
            status = int(lines[0].split(" ")[1])
            if status >= 200:
                break
            interim.append(status)
        pairs = [line.partition(":") for line in lines[1:]]
        return Reply(status, [(name.lower(), value.strip()) for name, _, value in pairs], interim=interim)

    async def read(self, *, head: bool = False) -> Reply:
        reply = await self.read_head()
        try:
            if not head and reply.status not in (204, 304):
                await self._read_body(reply)
            reply.whole = True
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        return reply

    async def _read_body(self, reply: Reply) -> None:
        if reply.values("transfer-encoding") == ["chunked"]:
            while True:
                line = await self.reader.readline()
                if not line.endswith(b"\r\n"):
                    raise asyncio.IncompleteReadError(line, None)
                size = int(line, 16)
                reply.body += (await self.reader.readexactly(size + 2))[:-2]
                if not size:
                    return
        else:
            left = int(reply.value("content-length"))
            while left:
                piece = await self.reader.read(left)
                if not piece:
                    raise asyncio.IncompleteReadError(reply.body, left)
                reply.body += piece
                left -= len(piece)


@dataclass
class Between:
    """A proxy before an origin."""

    origin: RawOrigin
    port: int

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        try:
            yield client
        finally:
            await client.leave()

    async def ask(self, data: bytes) -> Reply:
        """One request over a connection of its own."""
        async with self.client() as client:
            return await client.ask(data)


@asynccontextmanager
async def between(
    answer: Answering, *, timeout: float = 20.0, settings: Settings | None = None, **options: Any
) -> AsyncIterator[Between]:
    """A proxy in front of an origin that answers so."""
    settings = settings or Settings(database_url=None, valkey_url=None)
    async with (
        answering(answer) as origin,
        before(origin, CacheProxy(Origin(origin.url, timeout=timeout), settings, **options)) as found,
    ):
        yield found


@asynccontextmanager
async def before(origin: RawOrigin, proxy: CacheProxy) -> AsyncIterator[Between]:
    """``proxy``, served."""
    server = server_of(proxy, drain=1)
    listening = listen("127.0.0.1", 0)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        while not server.started:
            assert not serving.done()
            await asyncio.sleep(0)
        yield Between(origin, listening.getsockname()[1])
    finally:
        server.should_exit = True
        await serving
        listening.close()
