"""A hit over loopback: ours beside other packages, and beside nginx and Varnish, in one run.

All answer the same request with the same 4 KB. Decorators stand around the FastAPI service; HTTP caches, ours among
them, before a bare application that says for how long its answer may be kept: in its process or, as servers, before
it. A server's CPU is that of all its processes, and the application behind it is not asked any more. What another
server is, is told beside the bare application by uvicorn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from bench import peers
from bench.application import Application
from bench.asking import ASGIApp
from bench.caches import by_tailrace
from bench.contender import Contender, Surroundings, Table
from bench.fronts import FRONTS
from bench.loopback import Seat
from bench.service import KEPT, bytes_ready, counted
from bench.stacks import BARE, BARE_AS_A_HIT, tailrace_itself, tailrace_stack
from tailrace.asgi import HttpCacheMiddleware
from tailrace.cache import Cache
from tailrace.stores import MemoryStore

__all__ = ["TABLE", "seats"]

SERVED_BY_ALL = (
    BARE.name,
    "Tailrace, all layers, served itself",
    "Tailrace, its cache, served itself",
    "Tailrace, HTTP cache",
)
"""By every server that there is; the others by uvicorn alone."""


def origin(surroundings: Surroundings) -> ASGIApp:
    """A bare application whose answer may be kept, and which counts how often it gives it."""
    return counted(bytes_ready(fields=((b"cache-control", b"public, max-age=%d" % peers.KEEP),)))


ORIGIN = Application("origin", origin, target=KEPT)


def _kept(name: str, make: Callable[[Surroundings], ASGIApp], *packages: str) -> Application:
    return Application(name, make, peers=packages, target=KEPT, computes=0)


TABLE = Table(
    "hits over loopback",
    (
        BARE,
        BARE_AS_A_HIT,
        _kept("Tailrace, all layers", tailrace_stack),
        _kept("Tailrace, all layers, served itself", tailrace_itself),
        _kept("Tailrace, its cache", lambda surroundings: by_tailrace()),
        _kept("Tailrace, its cache, served itself", lambda surroundings: by_tailrace().state.tailrace),
        _kept(
            "Tailrace, HTTP cache",
            lambda surroundings: HttpCacheMiddleware(origin(surroundings), cache=Cache(MemoryStore())),
        ),
        _kept("fastapi-cache2", lambda surroundings: peers.by_fastapi_cache(), "fastapi-cache2"),
        _kept("cashews", lambda surroundings: peers.by_cashews(), "cashews"),
        _kept("aiocache", lambda surroundings: peers.by_aiocache(), "aiocache"),
        _kept("hishel", lambda surroundings: peers.by_hishel(origin(surroundings)), "hishel", "anysqlite"),
        ORIGIN,
    ),
    baseline=BARE.name,
)


def seats(working: Iterable[Contender], servers: Iterable[str]) -> Iterator[Seat]:
    """Where those of the table that work are served, and what stands before the origin.

    Args:
        servers: of ``loopback.SERVERS``, those that are installed.
    """
    by_name = {contender.name: contender for contender in working}
    for contender in TABLE.contenders:
        for server in servers:
            chosen = contender.name in (SERVED_BY_ALL if server != "uvicorn" else by_name)
            if chosen and contender.name in by_name and contender is not ORIGIN:
                yield Seat(server, TABLE.name, contender)
    for name, front in FRONTS.items():
        if front.file is not None:
            yield Seat("uvicorn", TABLE.name, ORIGIN, front=name)
