"""Settings: one frozen model a room, read once at the edge from the environment (prefix ``TAILRACE_``, nested ``__``).

``TAILRACE_DATABASE__POOL_SIZE=20`` sets ``Settings().database.pool_size``. All mistakes are reported at once.
``TAILRACE_DATABASE_URL`` and ``TAILRACE_VALKEY_URL`` are the short names of the two that everybody sets. A variable
that has nearly a setting's name is a mistake, too. Touches: the environment, when it is read.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from tailrace.errors import SettingsError

__all__ = [
    "CacheSettings",
    "CompressionSettings",
    "DatabaseSettings",
    "FreshnessSettings",
    "HttpSettings",
    "JobsSettings",
    "OutboundSettings",
    "RateLimitSettings",
    "Room",
    "Settings",
    "SheddingSettings",
    "UpstreamSettings",
    "ValkeySettings",
    "load_settings",
    "variable",
]

PREFIX = "TAILRACE_"
NESTED = "__"
ALIKE = 0.85
"""How alike a variable and a setting's name are, of 1, for the one to be taken for a slip in writing the other."""
UNKNOWN = "there is no such setting (`tailrace settings` lists all)"

Seconds = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class Room(BaseModel):
    """Base of every room's settings: frozen, unknown names refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DatabaseSettings(Room):
    """The database room: engine, pool and transactions."""

    pool_size: Count = 10
    """Connections kept open."""
    max_overflow: Annotated[int, Field(ge=0)] = 10
    """Connections opened beyond ``pool_size`` under load, and kept while it lasts."""
    pool_timeout: Seconds = 2.0
    """Seconds to wait for a free connection before failing; less where the request's deadline leaves less."""
    hold_limit: Seconds | None = 10.0
    """Seconds after which whoever still holds a connection is reported, and whoever holds one when its request is over
    or while another service is called; None: nobody watches."""
    pool_recycle: Seconds = 1800.0
    """Seconds after which a connection is replaced."""
    pre_ping: bool = True
    """Whether a connection is tested before it is handed out: its socket always, its server after 5 idle seconds."""
    connect_timeout: Seconds = 5.0
    """Seconds to wait for a new connection."""
    statement_timeout: Seconds = 30.0
    """Seconds after which the server cancels a statement."""
    answer_timeout: Seconds | None = None
    """Seconds after which a server that has not answered a statement is taken for silent (frozen, or its line swallows
    everything): the connection is closed, the request fails. By default 5 more than ``statement_timeout``; statements
    that give themselves more time than that (``SET LOCAL statement_timeout``) need more here too."""
    comments: bool = False
    """Whether each statement ends with a comment that has the request's id and its trace, for the database's own log
    and ``pg_stat_activity``. It is then another statement for each request: prepared anew, a round trip more."""
    pgbouncer: bool = False
    """True behind PgBouncer in transaction mode: no session settings, no named prepared statements."""
    direct_url: SecretStr | None = None
    """The server's own address, past PgBouncer, for what looks at the database all the time (relay, folding, the query
    cache's catalogue); by default they go the same way as everything else."""
    retry_time: Annotated[float, Field(ge=0)] = 2.0
    """Seconds, from its first failure, for which a transaction or a read that failed for a passing reason is tried
    again, and three times however long it takes; less where the request's deadline leaves less. 0: never. By default as
    long as a connection is waited for, which is enough on a line that breaks in every tenth round trip; more outlasts a
    server's restart, less is for those who would rather have an old answer soon (``stale_if_error``)."""
    replica_urls: tuple[SecretStr, ...] = ()
    """Addresses of replicas, for sessions that say they only read; a JSON list."""
    replica_lag: Seconds = 1.0
    """A replica that may not show what was committed longer ago than this many seconds is not read from."""
    replica_interval: Seconds = 0.25
    """Seconds between two looks at how far replicas are."""
    replica_timeout: Seconds = 1.0
    """Seconds after which a replica that does not say how far it is is given up: what is read there is read on the
    primary. A statement may take longer."""
    query_audit: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Share of the query cache's hits that are compared with the database in the background, one at a time."""
    fold: bool = True
    """Whether this process folds the logs of rollups kept by differences; switch off only where another does."""


class ValkeySettings(Room):
    """The shared store."""

    timeout: Seconds = 0.25
    """Seconds after which a call counts as a miss."""
    connect_timeout: Seconds = 1.0
    """Seconds to wait for a new connection."""
    reconnect_max_delay: Seconds = 1.0
    """Longest pause between attempts to connect again."""


class CacheSettings(Room):
    """The cache room and the memory store."""

    namespace: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")] = "tailrace"
    """First part of every key, so that applications can share a store."""
    memory_entries: Count = 100_000
    """Most entries held in the process."""
    memory_bytes: Count = 256 * 1024 * 1024
    """Most bytes held in the process."""
    max_value_bytes: Count = 4 * 1024 * 1024
    """A larger value is answered but not stored."""
    lease: Seconds = 10.0
    """Seconds for which one process computes a value while the others wait."""


class FreshnessSettings(Room):
    """How old what others wrote may be, and how that is kept."""

    enabled: bool = True
    """False: answers live by their time to live alone."""
    relay: bool = True
    """Whether this process relays what others wrote; switch off only where a relay runs beside it."""
    poll_interval: Seconds = 0.01
    """Seconds between two looks at the outbox, of all processes together; twice as many while nobody writes."""
    bound: Seconds = 1.0
    """The cache is bypassed when what others wrote longer ago than this many seconds might not be known."""
    batch: Count = 1000
    """Most outbox rows taken at once."""
    stamp_ttl: Seconds = 7 * 24 * 3600.0
    """Seconds for which a stamp is kept; at its end the answers that carry it are computed anew."""
    token_ttl: Seconds = 10.0
    """Seconds for which a client that wrote is recognised; must exceed ``bound``."""
    secret: SecretStr | None = None
    """Signs the tokens; by default made from a value kept in the database."""


class HttpSettings(Room):
    """The front door."""

    server_timing: bool = False
    """Whether every response carries ``Server-Timing``; it tells strangers where time goes, so it is off by default."""
    server_timing_token: SecretStr | None = None
    """A request whose ``Tailrace-Timing`` header equals this gets ``Server-Timing`` although it is off."""
    deadline_header: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")] = "X-Request-Timeout"
    """The request header that says for how many seconds the client will wait."""
    max_deadline: Seconds = 60.0
    """Longest deadline, in seconds, that a client can ask for."""
    metrics: bool = True
    """Whether ``/metrics`` is served, to those who may see it."""
    metrics_folder: Path | None = None
    """Folder, in memory as below ``/dev/shm``, in which the processes that serve one application share what they count,
    so that ``/metrics`` of any of them shows all. The workers of uvicorn, gunicorn and the like find one by themselves;
    name one where processes behind one address are started one by one."""
    metrics_name: str | None = None
    """What the figures in that folder are of, where several applications use it; processes of the same name show each
    other's. By default an application's title and routes, which a process that only does jobs may not know."""
    window: Annotated[float, Field(ge=10, le=86400)] = 300.0
    """Seconds over which ``/monitoring/metrics`` takes quantiles."""
    admin_token: SecretStr | None = None
    """Opens ``/metrics``, ``/monitoring`` and what else is for operators, as ``Authorization: Bearer``. Without it they
    are open only to clients on this machine that no proxy speaks for."""
    max_body: Annotated[int, Field(ge=0)] = 16 * 1024 * 1024
    """Bytes of a request's body, as it was sent; 413 beyond. 0: no limit, for services that take large uploads."""
    max_headers: Count = 64 * 1024
    """Bytes of the values of a request's header fields together; 431 beyond."""
    cache_by_headers: bool = False
    """Whether responses of routes that declare no policy are cached as they say themselves (RFC 9111)."""
    x_cache: bool = False
    """Whether ``X-Cache`` (HIT, STALE, MISS or BYPASS) says in a word what ``Cache-Status`` says."""
    cache_max_body: Count = 1024 * 1024
    """Bytes of a response that the response cache keeps; a longer one is passed on and not kept."""
    cursor_secrets: tuple[Annotated[SecretStr, Field(min_length=16)], ...] = ()
    """Sign the cursors of pages: the first signs, all are accepted; a JSON list. By default made from a value kept in
    the database."""
    freeze: bool = True
    """Whether what the process has loaded when it starts is left out of garbage collections (``gc.freeze``): looking
    through it again and again stops requests, for a quarter of a second in a service of ordinary size."""
    collect_less_often: bool = True
    """Whether the collector looks for garbage after 10,000 new objects rather than 700, unless it was told to wait for
    more already. Requests leave nothing behind for it."""
    index_routes: bool = True
    """Whether the router is given only those routes that a path may match, found by index, rather than trying each in
    turn, which is a microsecond a route."""
    short_handlers: bool = True
    """Whether plain endpoints (coroutines, with dependencies or a JSON body if they like) are answered without the
    steps of FastAPI's handler that have to do with others; with ``index_routes`` only."""
    one_write: bool = True
    """Whether hits are written to uvicorn's connections at once, where its code is the one that is known, rather than
    handed to it as head and body."""
    trusted_proxies: str = ""
    """Networks of the proxies whose word on the client's address counts, as in ``10.0.0.0/8, ::1``; ``unix`` for those
    that come over a Unix socket. By default nobody's."""
    proxy_header: Literal["x-forwarded-for", "forwarded"] = "x-forwarded-for"
    """The header field that those proxies keep; the other one passes through them as the client sent it."""
    drain: Annotated[float, Field(ge=0)] = 5.0
    """Seconds for which requests under way are waited for at the end, before connections are closed."""


class SheddingSettings(Room):
    """How many requests are worked on at once, and who waits."""

    enabled: bool = True
    """False: everything that comes is begun at once."""
    initial: Count = 50
    """Requests at once when the process starts; the limit then follows what it can do."""
    minimum: Count = 20
    """The limit never falls below this."""
    maximum: Count = 1000
    """The limit never rises above this."""
    target_delay: Seconds = 0.02
    """Seconds that the event loop may keep what is ready waiting, before fewer are admitted."""
    max_wait: Seconds = 10.0
    """Seconds in the line; who would wait longer is refused at once."""
    max_waiting: Annotated[int, Field(ge=0)] = 1000
    """Requests in the line; more are refused at once."""


class CompressionSettings(Room):
    """Compression of responses, and of requests."""

    enabled: bool = True
    """Whether responses are compressed."""
    encodings: tuple[Literal["zstd", "br", "gzip"], ...] = ("zstd", "br", "gzip")
    """Content codings, the favourite first, which counts where a client likes several equally. One whose package is not
    installed is left out; gzip is always there."""
    types: Annotated[
        tuple[Annotated[str, Field(pattern=r"^(\+[\w.-]+|[\w.+-]+/(\*|[\w.+-]+))$")], ...], Field(min_length=1)
    ] = (
        "text/*",
        "application/json",
        "application/javascript",
        "application/xml",
        "application/x-ndjson",
        "application/jsonl",
        "application/yaml",
        "application/graphql",
        "application/x-javascript",
        "application/wasm",
        "+json",
        "+xml",
        "+yaml",
    )
    """Media types that are compressed: one, all of a kind (``text/*``), or all of a syntax (``+json``).
    ``text/event-stream`` is only when it is named itself."""
    minimum_size: Annotated[int, Field(ge=0)] = 500
    """Bytes; a shorter body is sent as it is."""
    zstd_level: Annotated[int, Field(ge=1, le=19)] = 3
    """Effort of zstd, 1 to 19."""
    brotli_quality: Annotated[int, Field(ge=0, le=11)] = 4
    """Effort of brotli, 0 to 11."""
    gzip_level: Annotated[int, Field(ge=1, le=9)] = 5
    """Effort of gzip, 1 to 9."""
    thread_size: Count = 128 * 1024
    """Bytes; a longer body or part of a stream is compressed in a thread, so that other requests do not wait for it.
    Zstd up to level 4 takes a quarter of the others' time, so for it four times as many."""
    threads: Count = 2
    """Most such threads."""
    report: bool = False
    """Whether ``X-Original-Size`` (bytes) and ``X-Compression-Ratio`` (original by sent) are added."""
    coded_requests: Literal["refuse", "decode", "pass"] = "refuse"
    """Bodies of requests with ``Content-Encoding``: ``refuse`` answers 415, since frameworks would take the coded bytes
    for JSON; ``decode`` decompresses them before the application reads them; ``pass`` leaves them to it."""
    max_request_bytes: Count = 10 * 1024 * 1024
    """Bytes of a request's body after decompression; 413 beyond."""
    max_request_ratio: Annotated[float, Field(ge=1)] = 100.0
    """How many times its size a request's body may grow, from 64 KB on; 413 beyond."""


class RateLimitSettings(Room):
    """How often callers may ask."""

    enabled: bool = True
    """False: no limit counts, declared or general."""
    general: str = ""
    """A limit for all routes together, by caller, such as ``100/minute``; empty: only what routes declare counts."""
    general_burst: Annotated[int, Field(ge=0)] = 0
    """Requests of the general limit that may come at once after a pause; 0: as many as its rate has."""
    mode: Literal["exact", "leased"] = "exact"
    """With a store: ``exact`` asks it for each decision; with ``leased`` each process takes requests in advance."""
    on_outage: Literal["share", "open", "closed"] = "share"
    """While the store is down: each process keeps its share by itself, all requests are admitted, or none."""
    processes: Count = 1
    """How many processes share the limits; what a share is a part of."""
    lease_part: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Share of a burst that a process takes in advance; processes times this bounds what is admitted too much."""
    lease_keep: Seconds = 1.0
    """Seconds for which a process uses what it has taken in advance."""
    valkey_url: SecretStr | None = None
    """A store for limits alone; by default the shared one. One that evicts keys forgets limits."""
    timeout: Seconds = 0.1
    """Seconds after which a decision counts as an outage."""
    durable_store: bool = False
    """True where the store loses nothing when it restarts or fails over (``appendfsync always``). Otherwise every
    bucket counts as empty at that moment, so that no limit is exceeded."""
    max_buckets: Count = 100_000
    """Most callers for whom this process keeps something, for each limit."""


class UpstreamSettings(Room):
    """Defaults of calls to other services; each client may set its own."""

    attempt_timeout: Seconds = 2.0
    """Seconds for one attempt, the reading of its answer included."""
    total_timeout: Seconds = 10.0
    """Seconds for a call with all its attempts and pauses."""
    max_retries: Annotated[int, Field(ge=0)] = 3
    """Most attempts after the first."""
    backoff: Seconds = 1.0
    """Longest pause before the first retry; doubles each time."""
    max_backoff: Seconds = 30.0
    """Longest pause before any retry."""
    retry_budget_ratio: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Retries allowed as a share of calls."""
    retry_budget_per_second: Annotated[float, Field(ge=0)] = 1.0
    """Retries allowed each second however few the calls."""
    retry_budget_reserve: Annotated[float, Field(ge=1)] = 20.0
    """Most retries saved up for a bad moment."""
    concurrency: Count = 64
    """Most attempts under way."""
    queue: Annotated[int, Field(ge=0)] = 256
    """Most calls that wait for one of those to end."""
    queue_timeout: Seconds = 2.0
    """Longest such wait, in seconds."""
    breaker_failures: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of failed attempts in the window that opens the breaker."""
    breaker_consecutive: Count = 20
    """This many failures without a success between them open the breaker, whatever the share."""
    breaker_slow_call: Seconds | None = None
    """Seconds from which an attempt is slow; None: none is."""
    breaker_slow_calls: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Share of slow attempts in the window that opens the breaker."""
    breaker_window: Seconds = 10.0
    """Seconds over which the shares are taken."""
    breaker_minimum_calls: Count = 10
    """Fewer attempts in the window never open the breaker."""
    breaker_open: Seconds = 5.0
    """Seconds the breaker stays open before it lets a trial through."""
    breaker_trials: Count = 3
    """Trials that must all succeed before the breaker closes."""
    max_response_bytes: Count = 8 * 1024 * 1024
    """A larger answer is refused, before and after decompression."""


class OutboundSettings(Room):
    """Requests to URLs that strangers name."""

    ports: tuple[Annotated[int, Field(ge=1, le=65535)], ...] = (80, 443)
    """The only ports that are connected to; a JSON list."""
    allowed_networks: str = ""
    """Networks that may be asked although they are not public, as in ``10.2.0.0/16, ::1``: for tests and intranets.
    Everything in them is then within reach of whoever may name a URL."""
    max_redirects: Annotated[int, Field(ge=0)] = 5
    """Redirects followed for one URL, each judged like the first."""
    attempt_timeout: Seconds = 5.0
    """Seconds for one attempt at one hop: look-up, connection, and the whole answer, however slowly it comes."""
    total_timeout: Seconds = 10.0
    """Seconds for a URL with all its redirects, attempts and pauses."""
    max_retries: Annotated[int, Field(ge=0)] = 1
    """Most attempts after the first, at each hop."""
    max_response_bytes: Count = 2 * 1024 * 1024
    """A larger answer is refused, before and after decompression."""
    concurrency: Count = 32
    """Most URLs fetched at once."""
    queue: Annotated[int, Field(ge=0)] = 64
    """Most that wait for one of those to end."""
    queue_timeout: Seconds = 2.0
    """Longest such wait, in seconds."""
    concurrency_per_origin: Count = 4
    """Most requests to one origin at once, whoever asks for them."""
    origins: Count = 256
    """Origins of which the health and idle connections are remembered."""


class JobsSettings(Room):
    """Background jobs."""

    work: bool = True
    """Whether this process does jobs; switch off where ``tailrace jobs work`` runs beside it."""
    queues: tuple[str, ...] = ()
    """The queues whose jobs this process does; a JSON list. By default all."""
    concurrency: Annotated[int, Field(ge=2)] = 4
    """Jobs that one process does at once."""
    poll_interval: Seconds = 2.0
    """Longest pause between two looks for jobs, in seconds. News of one comes at once, except behind PgBouncer without
    ``TAILRACE_DATABASE__DIRECT_URL``."""
    abandoned_after: Annotated[float, Field(ge=1)] = 30.0
    """Seconds without a sign of life after which a job is taken from its process and begun by another; more than the
    event loop is ever blocked."""
    drain: Annotated[float, Field(ge=0)] = 10.0
    """Seconds for which jobs under way are waited for at the end, before they are given back."""
    measure_interval: Seconds = 15.0
    """Seconds between two counts of what waits."""
    keep_log: Seconds = 7 * 24 * 3600.0
    """Seconds for which the queue's log remembers jobs that are over."""


class Settings(BaseSettings):
    """Everything Tailrace reads from the environment."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter=NESTED, frozen=True, extra="ignore", hide_input_in_errors=True
    )

    database_url: SecretStr | None = None
    """``postgresql://user:password@host:port/name``; None: no database."""
    valkey_url: SecretStr | None = None
    """``redis://host:port/0`` (Valkey or Redis); None: this process's memory only."""
    database: DatabaseSettings = DatabaseSettings()
    valkey: ValkeySettings = ValkeySettings()
    cache: CacheSettings = CacheSettings()
    freshness: FreshnessSettings = FreshnessSettings()
    http: HttpSettings = HttpSettings()
    shedding: SheddingSettings = SheddingSettings()
    compression: CompressionSettings = CompressionSettings()
    rate_limit: RateLimitSettings = RateLimitSettings()
    upstream: UpstreamSettings = UpstreamSettings()
    outbound: OutboundSettings = OutboundSettings()
    jobs: JobsSettings = JobsSettings()


def variable(path: Iterable[object]) -> str:
    """The variable that sets what lies at ``path``.

    >>> variable(("database", "pool_size"))
    'TAILRACE_DATABASE__POOL_SIZE'
    """
    return PREFIX + NESTED.join(str(part) for part in path).upper()


def load_settings() -> Settings:
    """Read the environment.

    Raises:
        SettingsError: one line for every setting that is wrong or misspelt; values are not repeated.
    """
    mistakes = {name.upper(): f"{name} is no setting; did you mean {meant}?" for name, meant in _misspelt(os.environ)}
    try:
        settings = Settings()
    except ValidationError as error:
        for each in error.errors():
            name = variable(each["loc"])
            mistakes.setdefault(name, f"{name}: {UNKNOWN if each['type'] == 'extra_forbidden' else each['msg']}")
    if mistakes:
        raise SettingsError("\n".join(mistakes.values()))
    return settings


def _misspelt(environment: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Variables that are nearly settings, each with the setting; what is like none is somebody else's."""
    settings = set(_variables())
    for name in environment:
        written = name.upper()
        if written.startswith(PREFIX) and written not in settings:
            parts = {each.removeprefix(PREFIX): each for each in settings}
            for meant in get_close_matches(written.removeprefix(PREFIX), parts, 1, ALIKE):
                yield name, parts[meant]


def _variables() -> Iterator[str]:
    for name, field in Settings.model_fields.items():
        yield variable((name,))
        if isinstance(field.default, Room):
            yield from (variable((name, each)) for each in type(field.default).model_fields)
