"""The layers around an application, made from one Tailrace's settings and parts. Touches: nothing while they are made.

Which layers there are is said here; their order is ``tailrace.asgi.stack``'s. A layer that a setting turns off is left
out, so that it costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tailrace.asgi.compression import CompressionMiddleware, Encodes
from tailrace.asgi.compressor import Compressor
from tailrace.asgi.hit_path import HitPath
from tailrace.asgi.http_cache import HttpCacheMiddleware
from tailrace.asgi.load_shedding import LoadSheddingMiddleware
from tailrace.asgi.monitoring import MonitoringMiddleware, is_operator
from tailrace.asgi.problem_details import ProblemDetailsMiddleware
from tailrace.asgi.rate_limit import RateLimitMiddleware
from tailrace.asgi.read_your_writes import ReadYourWritesMiddleware
from tailrace.asgi.request_context import RequestContextMiddleware
from tailrace.asgi.request_decoding import RequestDecodingMiddleware
from tailrace.asgi.request_limits import RequestLimitsMiddleware
from tailrace.asgi.response_cache import ResponseCacheMiddleware
from tailrace.asgi.response_fields import RequestIds
from tailrace.asgi.stack import stack
from tailrace.asgi.types import ASGIApp, Scope
from tailrace.asgi.uvicorn_writer import UvicornWriter
from tailrace.asgi.versioning import VersioningMiddleware
from tailrace.asgi.x_cache import XCacheMiddleware
from tailrace.events import Observer
from tailrace.fastapi.decorator import is_uncompressed
from tailrace.fastapi.health import OPEN, Health
from tailrace.fastapi.limits import rate_limit
from tailrace.fastapi.routes import RouteTable

if TYPE_CHECKING:
    from tailrace.cache.write_token import WriteTokens
    from tailrace.fastapi.integration import Tailrace

__all__ = ["Surrounded", "surround"]

Layer = Callable[[ASGIApp], ASGIApp]


@dataclass(frozen=True, slots=True)
class Surrounded:
    """An application inside its layers.

    Attributes:
        app: what is served.
        response_cache: the layer that keeps answers; it is given another cache when the parts are made anew.
        http_cache: likewise, for what responses say themselves; None if it is turned off.
        rate_limit: the layer that limits; it is given another limiter likewise. None if it is turned off.
        hits: answers plain hits before everything else, and is ``app`` then; None where each response is measured.
    """

    app: ASGIApp
    response_cache: ResponseCacheMiddleware
    http_cache: HttpCacheMiddleware | None
    rate_limit: RateLimitMiddleware | None
    hits: HitPath | None


def surround(app: ASGIApp, tailrace: Tailrace, routes: RouteTable, observer: Observer) -> Surrounded:
    """``app`` inside the layers that ``tailrace``'s settings ask for.

    Args:
        app: what the framework made.
        routes: the application's.
        observer: told by the layers.
    """
    http = tailrace.settings.http
    encodes = _encodes(tailrace, observer)
    cached = _response_cache(app, tailrace, routes, encodes)
    by_headers = _http_cache(app, tailrace) if http.cache_by_headers else None
    ids = RequestIds()
    layers = _layers(tailrace, routes, ids, observer) | {"response_cache": cached.around}
    if by_headers is not None:
        layers["http_cache"] = by_headers.around
    if encodes is not None:
        layers["compression"] = lambda inner: CompressionMiddleware(inner, encodes=encodes)
    coded = tailrace.settings.compression.coded_requests
    if coded != "pass":
        layers["request_decoding"] = lambda inner: RequestDecodingMiddleware(
            inner, settings=tailrace.settings.compression, decode=coded == "decode"
        )
    limits = rate_limit(app, tailrace, routes, observer) if tailrace.settings.rate_limit.enabled else None
    if limits is not None:
        layers["rate_limit"] = limits.around
    layered = stack(app, layers)
    if http.server_timing:  # every response is measured by the layers
        outermost = XCacheMiddleware(layered) if http.x_cache else layered
        return Surrounded(outermost, cached, by_headers, limits, None)
    hits = HitPath(
        layered,
        resolve=routes.resolve,
        requests=cached.requests,
        variants=cached.variants,
        ids=ids,
        observer=observer,
        clock=tailrace.clock,
        admit=None if limits is None else limits.admit_now,
        writer=UvicornWriter() if http.one_write else None,
    )
    if http.x_cache:
        return Surrounded(XCacheMiddleware(hits), cached, by_headers, limits, None)
    return Surrounded(hits, cached, by_headers, limits, hits)


def _response_cache(
    app: ASGIApp, tailrace: Tailrace, routes: RouteTable, encodes: Encodes | None
) -> ResponseCacheMiddleware:
    http = tailrace.settings.http
    return ResponseCacheMiddleware(
        app,
        cache=tailrace.cache,
        resolve=routes.resolve,
        max_body=http.cache_max_body,
        clock=tailrace.clock,
        shape=tailrace.error_shape,
        encodes=encodes,
        may_explain=lambda exchange: is_operator(exchange, http),
    )


def _http_cache(app: ASGIApp, tailrace: Tailrace) -> HttpCacheMiddleware:
    http = tailrace.settings.http
    return HttpCacheMiddleware(
        app,
        cache=tailrace.cache,
        clock=tailrace.clock,
        max_body=http.cache_max_body,
        shape=tailrace.error_shape,
        may_explain=lambda exchange: is_operator(exchange, http),
    )


def _layers(tailrace: Tailrace, routes: RouteTable, ids: RequestIds, observer: Observer) -> dict[str, Layer]:
    http, health = tailrace.settings.http, Health(tailrace)
    layers: dict[str, Layer] = {
        "request_context": lambda inner: RequestContextMiddleware(
            inner,
            settings=http,
            observer=observer,
            clock=tailrace.clock,
            route_of=routes.template,
            ids=ids,
        ),
        "problem_details": lambda inner: ProblemDetailsMiddleware(
            inner, shape=tailrace.error_shape, on_error=tailrace.on_error, route_of=routes.template
        ),
        "request_limits": lambda inner: RequestLimitsMiddleware(
            inner, max_body=http.max_body, max_headers=http.max_headers
        ),
        "monitoring": lambda inner: MonitoringMiddleware(
            inner,
            paths=(paths := health.paths(routes.paths())),
            closed=frozenset(paths) - OPEN,
            settings=http,
            mark={"tailrace": tailrace},
            changing=health.changing(routes.paths()),
        ),
    }
    if tailrace.settings.shedding.enabled:

        def shedding(inner: ASGIApp) -> LoadSheddingMiddleware:
            tailrace.shedding = LoadSheddingMiddleware(
                inner, settings=tailrace.settings.shedding, observer=observer, clock=tailrace.clock
            )
            return tailrace.shedding

        layers["load_shedding"] = shedding
    versions = tailrace.versions
    if versions is not None:
        layers["versioning"] = lambda inner: VersioningMiddleware(
            inner, versions=versions, observer=observer, route_of=routes.template
        )
    if tailrace.freshness is not None:
        layers["read_your_writes"] = lambda inner: ReadYourWritesMiddleware(
            inner, tokens=lambda: _tokens(tailrace), fence=lambda: _fence(tailrace)
        )
    return layers


def _encodes(tailrace: Tailrace, observer: Observer) -> Encodes | None:
    settings = tailrace.settings.compression
    if not settings.enabled:
        return None
    return Encodes(Compressor(settings), skip=_is_uncompressed, observer=observer)


def _is_uncompressed(scope: Scope) -> bool:
    return is_uncompressed(scope.get("endpoint"))


def _tokens(tailrace: Tailrace) -> WriteTokens | None:
    return None if tailrace.freshness is None else tailrace.freshness.tokens


async def _fence(tailrace: Tailrace) -> bool:
    return tailrace.freshness is not None and await tailrace.freshness.fence()
