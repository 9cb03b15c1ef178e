"""An origin that answers what it is told, in order, and remembers what it was asked; and a cache in front of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.unit.asgi.driver import Reply, ask

from tailrace.asgi.http_cache import HttpCacheMiddleware
from tailrace.cache import Cache
from tailrace.core.http_date import format_http_date
from tailrace.stores import MemoryStore, Store
from tailrace.testing.clock import FakeClock

__all__ = ["Response", "Site", "ages", "at"]


@dataclass
class Response:
    """One answer; a header whose value is a number is a date, that many seconds from when it is sent."""

    headers: dict[str, str | float] = field(default_factory=dict)
    status: int = 200
    body: bytes | None = None
    chunks: tuple[bytes, ...] = ()
    error: BaseException | None = None
    trailers: bool = False


class Site:
    """A cache, the origin behind it, and the time of both.

    The origin gives its answers in turn and the last one for ever; bodies are numbered unless given.
    """

    def __init__(self, *responses: Response | dict[str, Any], store: Store | None = None, **options: Any) -> None:
        self.responses = [each if isinstance(each, Response) else Response(each) for each in responses]
        self.clock = FakeClock()
        self.requests: list[dict[bytes, bytes]] = []
        self.methods: list[str] = []
        self.hook: Callable[[], Any] | None = None
        self.cache = Cache(store or MemoryStore(clock=self.clock), clock=self.clock)
        self.app = HttpCacheMiddleware(self.origin, cache=self.cache, clock=self.clock, **options)

    async def origin(self, scope: Any, receive: Any, send: Any) -> None:
        answer = self.responses[min(len(self.requests), len(self.responses) - 1)]
        self.requests.append(dict(scope["headers"]))
        self.methods.append(scope["method"])
        number = len(self.requests)
        if self.hook is not None:
            await self.hook()
        if answer.error is not None:
            raise answer.error
        now = self.clock.now()
        headers = [
            (name.lower().encode(), format_http_date(now + value) if isinstance(value, int | float) else value.encode())
            for name, text in answer.headers.items()
            for value in ([text] if not isinstance(text, str) else text.split("\n"))
        ]
        start = {"type": "http.response.start", "status": answer.status, "headers": headers}
        await send({**start, "trailers": True} if answer.trailers else start)
        chunks = answer.chunks or ((f"body {number}".encode() if answer.body is None else answer.body),)
        if answer.status in (204, 304) or scope["method"] == "HEAD":
            chunks = (b"",)
        for position, chunk in enumerate(chunks):
            await send({"type": "http.response.body", "body": chunk, "more_body": position < len(chunks) - 1})

    async def get(self, path: str = "/", method: str = "GET", **fields: str) -> Reply:
        """One request; underscores in names of fields are hyphens."""
        headers = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
        path, _, query = path.partition("?")
        return await ask(self.app, path, method=method, headers=headers, query_string=query.encode())

    async def later(self, seconds: float) -> None:
        """Let time pass."""
        await self.clock.advance(seconds)

    @property
    def asked(self) -> int:
        """How many requests the origin got."""
        return len(self.requests)


def at(seconds: float, site: Site) -> str:
    """A date that far from now."""
    return format_http_date(site.clock.now() + seconds).decode()


def ages(*replies: Reply) -> list[int]:
    """What they say of their age; -1 for nothing."""
    return [int(reply.headers.get(b"age", b"-1")) for reply in replies]
