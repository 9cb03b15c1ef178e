"""A simulator of the voice provider's REST contract, with faults. Touches: a listening socket, time.

    python -m tailrace_services.voice_dashboard.provider.simulator --port 8010 --latency-ms 200

Serves ``GET /v1/convai/agents/{agent_id}`` and ``GET /v1/convai/agents`` to whoever sends a valid ``xi-api-key``, in
the provider's shapes, errors included. ``GET /_control`` shows the faults and what was served, ``PATCH /_control``
changes the faults named in its JSON, ``DELETE /_control`` puts them back to those it was started with; all three are
for this machine only.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import math
import secrets
import socket
import struct
import time
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any
from urllib.parse import parse_qs, unquote

from pydantic import ValidationError

from tailrace_services.voice_dashboard.provider.catalogue import Catalogue, agent_body
from tailrace_services.voice_dashboard.provider.faults import Fate, Faults, FaultSettings

__all__ = ["Simulator", "main"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

AGENTS = "/v1/convai/agents"
LARGEST_CONTROL_BODY = 65_536
LOCAL = frozenset({"127.0.0.1", "::1"})
_DRIP = 16


class Simulator:
    """The provider as an ASGI application.

    Args:
        api_key: the only one accepted.
        faults: as started with; ``/_control`` changes them.
        seed: what the order of faults is made from.
    """

    def __init__(self, *, api_key: str = "simulated", faults: FaultSettings | None = None, seed: int = 1) -> None:
        self._api_key = api_key.encode()
        self.faults = Faults(faults or FaultSettings(), seed)
        self._catalogue = Catalogue()
        self._served: Counter[str] = Counter()
        self._in_flight = 0
        self._peak = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["path"] == "/_control":
            await self._control(scope, receive, send)
            return
        self._in_flight += 1
        self._peak = max(self._peak, self._in_flight)
        try:
            await self._serve(scope, receive, send)
        finally:
            self._in_flight -= 1

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        fate = self.faults.decide(time.monotonic())
        self._served[fate.kind] += 1
        if fate.kind == "reset":
            _reset_connection(send)
            return
        if fate.kind == "unavailable":
            await _answer(send, 503, _detail("service_unavailable", "The service is temporarily unavailable."))
            return
        if fate.kind == "limited":
            wait = str(math.ceil(self.faults.settings.retry_after)).encode()
            body = _detail("rate_limit_exceeded", "Too many requests.")
            await _answer(send, 429, body, ((b"retry-after", wait),))
            return
        if fate.latency:
            await asyncio.sleep(fate.latency)
        if fate.kind == "hang":
            await _until_disconnected(receive)
            return
        await self._conclude(fate, scope, send)

    async def _conclude(self, fate: Fate, scope: Scope, send: Send) -> None:
        if fate.kind == "error":
            status = self.faults.settings.error_status
            await _answer(send, status, _detail("internal_error", "Something went wrong."))
            return
        status, body = self._route(scope)
        if fate.kind == "truncate":
            await _answer(send, status, body, cut=len(body) // 2)
            _reset_connection(send)
        elif self.faults.settings.drip_ms:
            await _answer(send, status, body, pause=self.faults.settings.drip_ms / 1000)
        else:
            await _answer(send, status, body)

    def _route(self, scope: Scope) -> tuple[int, bytes]:
        """Status and body for a request that is answered properly."""
        path = scope["path"]
        if path != AGENTS and not path.startswith(AGENTS + "/"):
            return 404, b'{"detail":"Not Found"}'
        if scope["method"] != "GET":
            return 405, b'{"detail":"Method Not Allowed"}'
        key = next((value for name, value in scope["headers"] if name == b"xi-api-key"), None)
        if key is None:
            return 401, _detail("needs_authorization", "Neither authorization header nor xi-api-key received.")
        if not secrets.compare_digest(key, self._api_key):
            return 401, _detail("invalid_api_key", "Invalid API key")
        if path in (AGENTS, AGENTS + "/"):
            return self._list(parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        agent_id = unquote(path[len(AGENTS) + 1 :])
        body = agent_body(agent_id)
        if body is None:
            return 404, _detail("agent_not_found", f"Agent with id {agent_id[:100]} not found.")
        return 200, body

    def _list(self, query: dict[str, list[str]]) -> tuple[int, bytes]:
        raw_size = query.get("page_size", ["30"])[-1]
        if not raw_size.isascii() or not raw_size.isdecimal() or len(raw_size) > 9:
            return 422, _invalid("page_size", "int_parsing", "Input should be a valid integer", raw_size)
        size = int(raw_size)
        if not 1 <= size <= 100:
            bound = "greater_than_equal" if size < 1 else "less_than_equal"
            return 422, _invalid("page_size", bound, "Input should be between 1 and 100", raw_size)
        direction = query.get("sort_direction", ["desc"])[-1]
        if direction not in ("asc", "desc"):
            return 422, _invalid("sort_direction", "enum", "Input should be 'asc' or 'desc'", direction)
        try:
            start = _position(query.get("cursor", [""])[-1])
        except ValueError:
            return 400, _detail("invalid_cursor", "The cursor is not one that was given out.")
        agents, more = self._catalogue.page(
            size=size,
            start=start,
            search=query.get("search", [""])[-1],
            sort_by=query.get("sort_by", ["created_at"])[-1],
            descending=direction == "desc",
        )
        cursor = _cursor(start + size) if more else None
        return 200, json.dumps({"agents": agents, "next_cursor": cursor, "has_more": more}).encode()

    async def _control(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        if client is None or client[0] not in LOCAL:
            await _answer(send, 403, b'{"detail":"for this machine only"}')
            return
        if scope["method"] == "DELETE":
            self.faults.change(self.faults.initial)
            self._served.clear()
            self._peak = self._in_flight
        elif scope["method"] == "PATCH":
            try:
                wanted = json.loads(await _body(receive))
                current = self.faults.settings.model_dump()
                self.faults.change(FaultSettings.model_validate(current | wanted))
            except (ValidationError, ValueError, TypeError) as error:
                await _answer(send, 422, json.dumps({"detail": str(error)}).encode())
                return
        elif scope["method"] != "GET":
            await _answer(send, 405, b'{"detail":"Method Not Allowed"}')
            return
        state = {
            "faults": self.faults.settings.model_dump(),
            "served": dict(self._served),
            "in_flight": self._in_flight,
            "peak_in_flight": self._peak,
        }
        await _answer(send, 200, json.dumps(state).encode())


async def _answer(
    send: Send,
    status: int,
    body: bytes,
    headers: tuple[tuple[bytes, bytes], ...] = (),
    *,
    cut: int | None = None,
    pause: float = 0.0,
) -> None:
    """Send the answer: whole, only ``cut`` bytes of it, or drop by drop with pauses (seconds)."""
    basic = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*basic, *headers]})
    if cut is not None:
        await send({"type": "http.response.body", "body": body[:cut], "more_body": True})
    elif pause:
        for start in range(0, len(body), _DRIP):
            await send({"type": "http.response.body", "body": body[start : start + _DRIP], "more_body": True})
            await asyncio.sleep(pause)
        await send({"type": "http.response.body", "body": b""})
    else:
        await send({"type": "http.response.body", "body": body})


def _reset_connection(send: Send) -> None:
    """Break the connection the way a crash does: RST, no goodbye. Knows where uvicorn keeps the transport."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        raise RuntimeError("resets need uvicorn, without layers around the simulator")
    raw = transport.get_extra_info("socket")
    if raw is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def _until_disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _body(receive: Receive) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if size > LARGEST_CONTROL_BODY:
            raise ValueError("larger than a change of faults can be")
        if not message.get("more_body"):
            return b"".join(pieces)


def _detail(status: str, message: str) -> bytes:
    return json.dumps({"detail": {"status": status, "message": message}}).encode()


def _invalid(field: str, kind: str, message: str, given: str) -> bytes:
    error = {"type": kind, "loc": ["query", field], "msg": message, "input": given[:100]}
    return json.dumps({"detail": [error]}).encode()


def _cursor(position: int) -> str:
    return base64.urlsafe_b64encode(f"after:{position}".encode()).decode()


def _position(cursor: str) -> int:
    """The position a cursor stands for; ValueError if it is none."""
    if not cursor:
        return 0
    text = base64.b64decode(cursor, altchars=b"-_", validate=True).decode("ascii")
    name, _, number = text.partition(":")
    if name != "after" or not number.isdecimal() or len(number) > 9:
        raise ValueError("not a cursor")
    return int(number)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until interrupted."""
    import uvicorn

    parser = argparse.ArgumentParser(prog="simulator", description="Simulates the voice provider's REST contract.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8010)
    parser.add_argument("--api-key", default="simulated", help="the only key accepted")
    parser.add_argument("--latency-ms", type=float, default=200.0)
    parser.add_argument("--jitter-ms", type=float, default=0.0)
    parser.add_argument("--error-rate", type=float, default=0.0)
    parser.add_argument("--rate-limit", type=float, default=None, help="requests a second; others get 429")
    parser.add_argument("--hang", type=float, default=0.0, help="share of requests never answered")
    parser.add_argument("--outage", choices=("unavailable", "reset"), default=None)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    try:
        faults = FaultSettings(
            latency_ms=options.latency_ms,
            jitter_ms=options.jitter_ms,
            error_rate=options.error_rate,
            rate_limit=options.rate_limit,
            hang=options.hang,
            outage=options.outage,
        )
    except ValidationError as error:
        parser.error("; ".join(f"--{e['loc'][0]}: {e['msg']}".replace("_", "-") for e in error.errors()))
    uvicorn.run(
        Simulator(api_key=options.api_key, faults=faults, seed=options.seed),
        host=options.host,
        port=options.port,
        log_level="warning",
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,
    )


if __name__ == "__main__":
    main()
