"""What the load driver costs its machine for each request, beside httpx2, which is what a test would otherwise use.

The server is a bare asyncio protocol in a process of its own; only the client's CPU time is counted.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
import time
from collections.abc import Awaitable, Callable

import httpx2
import uvloop

from bench import Measurement
from tailrace.verify.client import Connections, Request
from tailrace.verify.driver import closed_loop

USERS = 10
REQUESTS = 4000
ROUNDS = 3
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2048\r\n\r\n" + b"x" * 2048


class _Bare(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(ANSWER * data.count(b"\r\n\r\n"))  # type: ignore[attr-defined]


def _serve(listener: socket.socket) -> None:
    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(_Bare, sock=listener)
        await server.serve_forever()

    uvloop.run(run())


async def _tailrace(url: str) -> None:
    request = Request("r", "/")
    left = REQUESTS
    async with Connections(url) as connections:

        async def user() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                await connections.exchange(request)

        await asyncio.gather(*(user() for _ in range(USERS)))


async def _httpx2(url: str) -> None:
    left = REQUESTS
    async with httpx2.AsyncClient(base_url=url) as client:

        async def user() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                await client.get("/")

        await asyncio.gather(*(user() for _ in range(USERS)))


async def _loop(url: str) -> None:
    """The closed loop with its bookkeeping."""
    request = Request("r", "/")
    async with Connections(url) as connections:
        counted = REQUESTS
        while counted > 0:
            result = await closed_loop(connections, lambda _user, _turn: request, users=USERS, duration=0.1)
            counted -= result.requests
        _loop.requests = REQUESTS - counted  # type: ignore[attr-defined]


def main() -> list[Measurement]:
    """Microseconds of CPU a request, the best of three rounds, interleaved."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = multiprocessing.get_context("fork").Process(target=_serve, args=(listener,), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    variants: dict[str, Callable[[str], Awaitable[None]]] = {
        "exchange": _tailrace,
        "closed loop": _loop,
        "httpx2": _httpx2,
    }
    best: dict[str, float] = {}
    try:
        for _ in range(ROUNDS):
            for name, variant in variants.items():
                began = time.process_time()
                uvloop.run(variant(url))  # type: ignore[arg-type]
                count = getattr(variant, "requests", REQUESTS)
                took = (time.process_time() - began) / count * 1e6
                best[name] = min(best.get(name, took), took)
    finally:
        server.terminate()
        server.join()
        listener.close()
    return [Measurement("load driver", name, "client CPU", value, "us/request") for name, value in best.items()]
