"""Keeps cached answers as fresh as the database: stamps what this process commits, learns what others commit.

Touches: one connection of its own, the store, a background task. A pass over the outbox every few milliseconds moves
the horizon, the moment up to which every commit is known here. Whatever breaks the chain (database, store, a hung
relay, a blocked event loop) shows as a horizon that stands still; then ``trusted()`` is false and caches are bypassed.
"""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import suppress
from itertools import product

from sqlalchemy.ext.asyncio import AsyncConnection

from tailrace.cache import Cache
from tailrace.cache.consistency import current_reads
from tailrace.cache.write_token import WriteTokens
from tailrace.clock import Clock, SystemClock
from tailrace.core.backoff import Backoff
from tailrace.core.freshness import Horizon
from tailrace.db.engine import make_relay_engine
from tailrace.db.errors import FAILURES, translate
from tailrace.db.identity import Identity, read_identity
from tailrace.db.relay import PATIENCE, Follower, OwnCommits, Relay, RelayPass, Stamping
from tailrace.errors import DatabaseUnavailableError, StoreUnavailableError
from tailrace.events import EpochChanged, Fenced, HorizonAdvanced, Observer, TagsBumped
from tailrace.settings import DatabaseSettings, FreshnessSettings

__all__ = ["DatabaseFreshness"]

RECONNECT = Backoff(base=0.05, cap=1.0)
QUIET = 1.0
"""Seconds without a row after which looks come half as often: waking up is most of what a look costs."""

log = logging.getLogger("tailrace.freshness")


class DatabaseFreshness:
    """What a cache, the sessions and the front door must know of one database.

    Args:
        url: the database; best a direct address, since behind PgBouncer this takes a server connection now and then.
        settings: bound, poll interval, token life.
        database_settings: timeouts of the connection, PgBouncer mode.
        clock: time.
        observer: receives freshness events.

    Give it to ``Cache(freshness=...)``, then ``attach`` the cache, ``start`` it, and set it as ``Database.commits``.
    """

    def __init__(
        self,
        url: str,
        *,
        settings: FreshnessSettings | None = None,
        database_settings: DatabaseSettings | None = None,
        clock: Clock | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.settings = settings or FreshnessSettings()
        self.problem: str | None = "not started"
        """Why the horizon stands still, in one line; None while it moves."""
        self._clock = clock or SystemClock()
        self._observer = observer
        database_settings = database_settings or DatabaseSettings()
        self._waits = not database_settings.pgbouncer or database_settings.direct_url is not None
        self._engine = make_relay_engine(url, database_settings)
        self._horizon = Horizon()
        self._own = OwnCommits()
        self._identity: Identity | None = None
        self._generation = 0
        self._epoch: str | None = None
        self._tokens: tuple[Identity, WriteTokens] | None = None
        self._cache: Cache | None = None
        self._pass: RelayPass | None = None
        self._connection: AsyncConnection | None = None
        self._server: object = None
        self._unstamped_at = float("-inf")
        self._next: asyncio.Future[bool] | None = None
        self._busy_at = float("-inf")
        self._resting: asyncio.Future[None] | None = None
        self._attempted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    # --- what the cache asks -----------------------------------------------------------------------------------------

    @property
    def epoch(self) -> str | None:
        """This life of the database; with a store of this process's own, also how often it had to start cold."""
        return self._epoch  # kept as made: every look-up in a cache asks

    def trusted(self) -> bool:
        """True while every commit older than ``settings.bound`` is reflected in what this process may serve."""
        reached = self._horizon.reached
        return reached > self._unstamped_at and self._horizon.trusted(self._clock.monotonic(), self.settings.bound)

    # --- what sessions and the front door ask ------------------------------------------------------------------------

    @property
    def secret(self) -> bytes | None:
        """Signs what clients carry; shared by all processes of this installation, None until it has been reached."""
        if self._identity is None:
            return None
        own = self.settings.secret
        shared = self._identity.secret if own is None else own.get_secret_value().encode()
        return shared + self._identity.installation.encode()

    @property
    def tokens(self) -> WriteTokens | None:
        """Issues and reads the tokens of clients that wrote; None until the database has been reached once.

        They are signed for this installation, also where several share a configured secret.
        """
        identity, life = self._identity, self._life()
        if identity is None:
            return None
        known = self._tokens
        if known is not None and known[0] is identity and known[1].life == life:
            return known[1]
        secret = self.secret
        assert secret is not None
        tokens = WriteTokens(secret, self.settings.token_ttl, self._clock, life)
        self._tokens = (identity, tokens)
        return tokens

    def _life(self) -> str | None:
        """Names the store, where it is shared, and the database that this process lives with; None if cut off."""
        if self._identity is None:
            return None
        store = self._attached().store
        if not store.shared:
            return self._identity.epoch
        return None if store.epoch is None else f"{self._identity.epoch} {store.epoch}"

    async def stamped(self, tags: frozenset[str], xids: frozenset[int]) -> bool:
        """Stamp what this process has just committed; False if that failed and others must bypass the cache."""
        cache = self._attached()
        began = self._clock.monotonic()
        reads, stamped_in = current_reads.get(), self._life()
        try:
            if cache.store.shared:
                life, _ = await cache.stamps.bump_once(product(xids, tags))
            else:
                life = await cache.stamps.bump(tags)
        except BaseException as error:
            # Not even this process may answer from its cache until a pass has seen the commit.
            self._unstamped_at = self._clock.monotonic()
            if isinstance(error, StoreUnavailableError):
                return False
            raise
        if reads is not None:
            reads.stamped(stamped_in)
        if self.settings.relay:
            for xid, tag in product(xids, tags):
                self._own.add(life, xid, tag)
        cache.warmer.invalidated(tags)
        if self._observer is not None:
            self._observer(TagsBumped("writer", len(tags), self._clock.monotonic() - began))
        return True

    async def fence(self) -> bool:
        """Catch up with every write finished before the call; False if that is not possible, or would take longer than
        asking the database. One round trip."""
        cache = self._attached()
        began = self._clock.monotonic()
        if not cache.store.shared:
            if not await self._next_pass():
                return False
        elif not cache.worth.asking():
            return False
        else:
            try:
                await cache.store.fence()
            except StoreUnavailableError:
                return False
        if self._observer is not None:
            self._observer(Fenced(self._clock.monotonic() - began))
        return True

    # --- life --------------------------------------------------------------------------------------------------------

    def attach(self, cache: Cache) -> None:
        """Say whose stamps to keep; before ``start``."""
        self._cache = cache
        stamping = Stamping(cache.stamps, self._own, self._clock, self._observer, cache.warmer.invalidated)
        if cache.store.shared:
            self._pass = Relay(cache.store, stamping, self.settings, self._clock, waits=self._waits)
        else:
            self._pass = Follower(stamping, self._clock)

    async def start(self) -> None:
        """Begin to pass over the outbox, in the background; wait for the first attempt to connect, well or badly.

        Until the first pass has ended, caches are bypassed.
        """
        self._attached()
        if self._task is None:
            self._closing = False
            self._task = asyncio.create_task(self._run(), name="tailrace freshness")
            with suppress(TimeoutError):
                async with asyncio.timeout(self.settings.bound + 1):
                    await self._attempted.wait()

    async def aclose(self) -> None:
        """Stop. Rows that were not relayed stay for the next process. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            self._closing = True
            if self._connection is not None:  # let the pass end: the server would have to be told to break it off
                await asyncio.wait([task], timeout=2 * PATIENCE)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await self._engine.dispose()

    async def _run(self) -> None:
        """The only one to use the connection: whoever else wants a pass asks for the next one."""
        failures = 0
        while True:
            try:
                async with self._engine.connect() as connection:
                    await self._connected(connection)
                    self._attempted.set()
                    failures = 0
                    await self._keep_passing(connection)
            except FAILURES as error:
                self._trouble(translate(error) or error)
            finally:
                self._connection = None
                self._attempted.set()
                self._tell(passed=False)
            if self._closing:
                return
            await self._clock.sleep(RECONNECT.delay(min(failures, 10), random.random()))  # noqa: S311
            failures += 1

    async def _connected(self, connection: AsyncConnection) -> None:
        async with asyncio.timeout(self.settings.bound + 1):
            identity = await read_identity(connection)
        assert self._pass is not None
        if self._identity is not None and identity.epoch != self._identity.epoch:
            self._horizon = Horizon()
            self._pass.restart()
            if self._observer is not None:
                self._observer(EpochChanged("database"))
        self._identity = identity
        self._epoch = f"{identity.epoch}.{self._generation}"
        self._server = identity.server
        self._pass.connected()
        self._connection = connection

    async def _keep_passing(self, connection: AsyncConnection) -> None:
        while not self._closing:
            waiting, self._next = self._next, None
            quiet = self._clock.monotonic() - self._busy_at > QUIET
            pause = self.settings.poll_interval * (2.0 if quiet else 1.0)
            passed = waited = False
            try:
                waited = await self._pass_once(connection, pause)
                passed = True
            except StoreUnavailableError as error:
                self._trouble(error)
            finally:
                if waiting is not None and not waiting.done():
                    waiting.set_result(passed)
            if not waited and not self._closing:
                await self._rest(pause)

    async def _rest(self, seconds: float) -> None:
        """Wait, unless somebody wants the next pass now. A plain timer: this is done a hundred times a second."""
        if self._next is not None:
            return
        loop = asyncio.get_running_loop()
        self._resting = resting = loop.create_future()
        timer = loop.call_later(seconds, _wake, resting)
        try:
            await resting
        finally:
            timer.cancel()
            self._resting = None

    async def _next_pass(self) -> bool:
        """Wait for a pass that begins after this call; False if it fails. All who ask meanwhile share it."""
        if self._connection is None:
            return False
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        if self._resting is not None:
            _wake(self._resting)
        return await asyncio.shield(self._next)

    def _tell(self, *, passed: bool) -> None:
        waiting, self._next = self._next, None
        if waiting is not None and not waiting.done():
            waiting.set_result(passed)

    async def _pass_once(self, connection: AsyncConnection, pause: float) -> bool:
        """One pass, and what it says about the horizon; True if it has waited for news.

        Raises:
            One of ``FAILURES``: the connection failed.
            StoreUnavailableError: the store is down or slow.
        """
        run = self._pass
        assert run is not None
        if isinstance(run, Follower) and run.missed:
            self._generation += 1
            self._epoch = f"{self._identity.epoch}.{self._generation}" if self._identity is not None else None
            run.restart()
        started = self._clock.monotonic()
        async with asyncio.timeout(self.settings.bound + 1):
            result = await run.run(connection, pause)
        if result.server != self._server:
            # A proxy has moved the connection to another server, which may be in another life.
            raise DatabaseUnavailableError("another server answers: its identity must be read")
        if result.depth:
            self._busy_at = self._clock.monotonic()
        if not result.complete:
            self.problem = "the outbox holds more than one batch, or another store counts"
        elif result.concludes:
            self._horizon.observe(started, result.unsettled)
            self.problem = None
        if self._observer is not None and result.concludes:
            self._observer(HorizonAdvanced(self._clock.monotonic() - self._horizon.reached, result.depth))
        return result.waited

    def _trouble(self, error: BaseException) -> None:
        problem = f"{type(error).__name__}: {error}".partition("\n")[0]
        if problem != self.problem:
            log.warning("cached answers will not be trusted for long: %s", problem)
        self.problem = problem

    def _attached(self) -> Cache:
        if self._cache is None:
            raise RuntimeError("attach a cache first")
        return self._cache


def _wake(resting: asyncio.Future[None]) -> None:
    if not resting.done():
        resting.set_result(None)
