"""``Tailrace(app)``: the layers around an application, and the parts behind them, started and stopped with it.

Touches: the application's middleware stack, exception handlers and lifespan; everything its parts touch.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from tailrace.asgi.api_versions import Versions
from tailrace.asgi.exchange import Exchange
from tailrace.asgi.hit_path import HitPath
from tailrace.asgi.http_cache import HttpCacheMiddleware
from tailrace.asgi.load_shedding import LoadSheddingMiddleware
from tailrace.asgi.phases import measure_phases
from tailrace.asgi.problem_details import ErrorShape, ProblemDetailsMiddleware, rfc9457
from tailrace.asgi.rate_limit import RateLimitMiddleware
from tailrace.asgi.response_cache import ResponseCacheMiddleware
from tailrace.asgi.route_policy import IdentityOf
from tailrace.asgi.sse import ResumableStreams
from tailrace.asgi.types import ASGIApp, Receive, Scope, Send
from tailrace.cache import Cache
from tailrace.clock import Clock, SystemClock
from tailrace.core.cursor import Cursors
from tailrace.errors import DatabaseUnavailableError, SettingsError
from tailrace.events import Event, Observer, UpstreamCalled
from tailrace.fastapi.collector import collect_less_often, leave_out_what_is_loaded
from tailrace.fastapi.errors import install_error_handlers
from tailrace.fastapi.health import Health
from tailrace.fastapi.indexed_routes import index_routes
from tailrace.fastapi.jobs import make_worker
from tailrace.fastapi.layers import surround
from tailrace.fastapi.limits import make_limiter
from tailrace.fastapi.native_telemetry import remember_no_telemetry
from tailrace.fastapi.openapi import document_errors, document_limits, document_versions
from tailrace.fastapi.routes import RouteTable
from tailrace.fastapi.short_handler import can_shorten, shorten
from tailrace.fastapi.status import Status
from tailrace.fastapi.streams import make_streams
from tailrace.limits import Limiter
from tailrace.observe import Metrics, fan_out, share_figures, watch_loop
from tailrace.settings import Settings, load_settings
from tailrace.stores import Store, open_store

if TYPE_CHECKING:
    from tailrace.db import Database, DatabaseFreshness, Folder
    from tailrace.jobs import Jobs, Worker

__all__ = ["Tailrace"]

_log = logging.getLogger("tailrace")


class Tailrace:
    """Tailrace around one application.

    Serve the application as before, or serve this object in its place (``uvicorn service:tailrace``): it is an ASGI
    application too, and then hits cost 8 microseconds less, because FastAPI looks for telemetry settings at each
    request before anything else gets its turn. Hits are then not in FastAPI's own traces.

    Args:
        app: a FastAPI or Starlette application; its routes may be declared before or after.
        settings: read from the environment by default.
        observer: receives every event, after the metrics.
        store: in place of the one that the settings choose; closed with the application.
        error_shape: how failures look, RFC 9457 by default.
        versions: of the API, if it has any; their routes are declared below their prefixes.
        on_error: told of unexpected exceptions, for error trackers.
        clock: time.
        jobs: background jobs of this application, which it does itself while ``settings.jobs.work`` says so.
        caller: whose requests the limits that do not say count together; by default those of one address.

    Attributes:
        settings, clock, observer, error_shape, on_error, caller, jobs: what it was made with.
        cache, store, limiter, streams, database, freshness, metrics, worker: the parts; ``database`` and
            ``freshness`` are None without a database URL, ``worker`` without jobs. They are made anew when the
            application is started again after it was stopped.
        status: how the parts are; the application may add its own.
        http_cache: the layer that keeps what responses say themselves; None if it is turned off.

    Raises:
        SettingsError: a setting is wrong, or the application has a Tailrace already.
    """

    cache: Cache
    store: Store
    limiter: Limiter
    streams: ResumableStreams
    database: Database | None
    freshness: DatabaseFreshness | None
    worker: Worker | None
    _folder: Folder | None

    def __init__(
        self,
        app: Any,
        settings: Settings | None = None,
        *,
        observer: Observer | None = None,
        store: Callable[[], Store] | None = None,
        error_shape: ErrorShape = rfc9457,
        on_error: Callable[[BaseException, Exchange], None] | None = None,
        versions: Versions | None = None,
        clock: Clock | None = None,
        caller: IdentityOf | None = None,
        jobs: Jobs | None = None,
    ) -> None:
        if getattr(app.state, "tailrace", None) is not None:
            raise SettingsError("this application has a Tailrace already")
        self.settings = settings or load_settings()
        self.clock = clock or SystemClock()
        self.metrics = Metrics(clock=self.clock, window=self.settings.http.window)
        http = self.settings.http
        timed = http.server_timing or http.server_timing_token is not None
        self.observer = fan_out(self.metrics, measure_phases if timed else None, self._note_call, observer)
        self._told_by_layers = fan_out(self.metrics, observer) or self.metrics  # phases are none of theirs
        self.started = False
        self.error_shape = error_shape
        self.on_error = on_error
        self.caller = caller
        self.versions = versions
        self.jobs = jobs
        self._works = self.settings.jobs.work
        self._make_store = store or self._open_store
        self._closed = False
        self.http_cache: HttpCacheMiddleware | None = None
        self.shedding: LoadSheddingMiddleware | None = None
        self._caches: list[ResponseCacheMiddleware | HttpCacheMiddleware] = []
        self._rate_limit: RateLimitMiddleware | None = None
        self._hits: HitPath | None = None
        self.status = Status(self)
        self._make_parts()
        self._attach(app)

    # --- parts -------------------------------------------------------------------------------------------------------

    def _make_parts(self) -> None:
        settings = self.settings
        self.store = self._make_store()
        self.database = self.freshness = self._folder = None
        self.limiter = make_limiter(self)
        self.streams = make_streams(self)
        if settings.database_url is not None:
            from tailrace.db import Database, DatabaseFreshness, Folder

            url = settings.database_url.get_secret_value()
            self.database = Database(url, settings=settings.database, clock=self.clock, observer=self.observer)
            if settings.database.fold:
                self._folder = Folder(url, settings=settings.database, clock=self.clock, observer=self.observer)
            if settings.freshness.enabled:
                self.freshness = DatabaseFreshness(
                    url,
                    settings=settings.freshness,
                    database_settings=settings.database,
                    clock=self.clock,
                    observer=self.observer,
                )
        self.cache = Cache(
            self.store,
            freshness=self.freshness,
            settings=settings.cache,
            stamp_ttl=settings.freshness.stamp_ttl,
            clock=self.clock,
            observer=self.observer,
        )
        if self.freshness is not None and self.database is not None:
            self.freshness.attach(self.cache)
            self.database.commits = self.freshness
            self.database.cache_queries(self.cache)
        self.worker = make_worker(self)
        for layer in self._caches:
            layer.use(self.cache)
        if self._rate_limit is not None:
            self._rate_limit.use(self.limiter)

    def _note_call(self, event: Event) -> None:
        """Let the database know of calls to other services, during which nobody should hold a connection."""
        if type(event) is UpstreamCalled and self.database is not None and self.database.holdings is not None:
            self.database.holdings(event)

    def _open_store(self) -> Store:
        return open_store(self.settings, clock=self.clock, observer=self.observer)

    @property
    def cursors(self) -> Cursors:
        """Sign the cursors of pages: with the settings' secrets, else with one that the database keeps.

        Raises:
            DatabaseUnavailableError: the database has not been reached yet.
            SettingsError: there is neither.
        """
        own = self.settings.http.cursor_secrets
        if own:
            return Cursors([secret.get_secret_value().encode() for secret in own])
        if self.freshness is None:
            raise SettingsError("nothing signs cursors that all processes share: set TAILRACE_HTTP__CURSOR_SECRETS")
        if self.freshness.secret is None:
            raise DatabaseUnavailableError(
                "the secret that signs cursors is in the database, which was not reached yet"
            )
        return Cursors([self.freshness.secret])

    # --- layers ------------------------------------------------------------------------------------------------------

    def _attach(self, app: Any) -> None:
        app.state.tailrace = self
        self._app = app
        http = self.settings.http
        self._root_path: str = getattr(app, "root_path", "")
        prepare = shorten if http.short_handlers and can_shorten() else None
        self._routes = RouteTable(app, _has_tailrace, index_routes(app.router, prepare) if http.index_routes else None)
        errors = ProblemDetailsMiddleware(
            app, shape=self.error_shape, on_error=self.on_error, route_of=self._routes.template
        )
        install_error_handlers(app, errors)
        remember_no_telemetry(app, self.clock.monotonic)
        document_errors(app, self.error_shape)
        document_limits(app, self._routes, self.settings.rate_limit, self.error_shape)
        if self.versions is not None:
            document_versions(app, self.versions)
        build = app.build_middleware_stack

        def build_middleware_stack() -> ASGIApp:
            return self._around(build())

        if app.middleware_stack is not None:
            app.middleware_stack = self._around(app.middleware_stack)
        app.build_middleware_stack = build_middleware_stack
        lifespan = app.router.lifespan_context

        @asynccontextmanager
        async def lifespan_with_tailrace(application: Any) -> AsyncIterator[Any]:
            async with self.running(), lifespan(application) as state:
                yield state

        app.router.lifespan_context = lifespan_with_tailrace

    def _around(self, app: ASGIApp) -> ASGIApp:
        """The layers around what the framework made."""
        surrounded = surround(app, self, self._routes, self._told_by_layers)
        self._caches = [surrounded.response_cache]
        self.http_cache = surrounded.http_cache
        if self.http_cache is not None:
            self._caches.append(self.http_cache)
        self._hits, self._rate_limit = surrounded.hits, surrounded.rate_limit
        return surrounded.app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the application, answering hits before the framework is entered at all."""
        if scope["type"] == "http" and self._hits is not None:
            if self._root_path:
                scope["root_path"] = self._root_path  # as FastAPI will
            answered = self._hits.answer(scope, send)
            if answered is True or (answered is not False and await answered):
                return
        await self._app(scope, receive, send)

    # --- life --------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Tailrace]:
        """Start everything, and stop it at the end. The application's lifespan does this by itself."""
        await self.start()
        try:
            yield self
        finally:
            await self.stop()

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Do the application's jobs, whatever the settings say, with all that its lifespan starts; it serves nobody."""
        self._works = True
        async with self._app.router.lifespan_context(self._app):
            yield

    async def start(self) -> None:
        """Connect and begin to keep answers fresh. What is down does not keep the application from starting."""
        if self._closed:
            self._make_parts()
            self._closed = False
        self._routes.forget()
        connect = getattr(self.store, "connect", None)
        if connect is not None and not await connect():
            _log.warning("the shared store is not reachable; serving without it until it is")
        if self.settings.rate_limit.enabled and not await self.limiter.connect():
            _log.warning("the store of the rate limits is not reachable; each does as it says for an outage")
        if self.freshness is not None:
            await self.freshness.start()
        if self._folder is not None:
            self._folder.start()
        if self.worker is not None and self._works:
            await self.worker.start()
        if self.settings.http.freeze:
            leave_out_what_is_loaded()
        if self.settings.http.collect_less_often:
            collect_less_often()
        self._share_metrics()
        watching = watch_loop(self.metrics, self.clock, Health(self).measure)
        self._watch = asyncio.create_task(watching, name="tailrace loop lag")
        self.started = True

    def _share_metrics(self) -> None:
        """Count where the other workers of the same server see it, if there are any; once, as nothing is taken back."""
        http = self.settings.http
        if http.metrics and self.metrics.shared is None:
            own = [self.settings.cache.namespace, getattr(self._app, "title", ""), *sorted(self._routes.paths())]
            shared = share_figures([http.metrics_name] if http.metrics_name else own, folder=http.metrics_folder)
            if shared is not None:
                self.metrics.share(shared)

    async def stop(self) -> None:
        """Let what is under way end, then close everything. Idempotent."""
        if not self.started:
            return
        self.started = False
        self._closed = True
        for layer in self._caches:
            await layer.drain(self.settings.http.drain)
        if self.worker is not None:
            await self.worker.stop()
        self._watch.cancel()
        with suppress(asyncio.CancelledError):
            await self._watch
        await self.cache.aclose()
        if self.freshness is not None:
            await self.freshness.aclose()
        if self._folder is not None:
            await self._folder.aclose()
        if self.database is not None:
            await self.database.aclose()
        await self.limiter.aclose()
        await self.streams.aclose()
        await self.store.aclose()


def _has_tailrace(app: Any) -> bool:
    return getattr(getattr(app, "state", None), "tailrace", None) is not None
