"""Answers statements from the cache where that is certain to be right. Touches: SQLAlchemy's engine, the cache.

It stands below SQLAlchemy's results, where a statement goes to the driver: what is kept are the driver's rows, and what
the session makes of them it makes as ever, types, mapped classes, identity map and eager loads included. A session
takes its connection for a hit too, but sends nothing over it.

In order:

1. the statement's references, from its text, remembered; with the catalogue they give the tags;
2. key: text, parameters, identity, role, search path, settings, catalogue;
3. a hit gives its rows. Else the statement runs on the session's own connection, once among those who ask with the same
   stamps, and then the connection is asked whether its rows are everybody's (no replica, no older snapshot, nothing
   written, no temporary tables, role and settings those of the key). Only then are they kept.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from hashlib import blake2b
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.engine.cursor import FullyBufferedCursorFetchStrategy
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import await_only, greenlet_spawn

from tailrace.cache import Cache, Uncacheable
from tailrace.db.engine import ANSWERED
from tailrace.db.query_cache import session_state
from tailrace.db.query_cache.asked import Asked
from tailrace.db.query_cache.auditor import Auditor
from tailrace.db.query_cache.catalogue import CatalogueReader
from tailrace.db.query_cache.memory import Remembered
from tailrace.db.query_cache.policy import OPTION, QueryPolicy
from tailrace.db.query_cache.refusal import NotCachedError
from tailrace.db.query_cache.rows import Column, decode, encode, encode_values
from tailrace.db.query_cache.session_state import Suspects
from tailrace.db.query_cache.standing import ASK, Standing
from tailrace.db.query_cache.statement import MOMENTS
from tailrace.db.session import OpenTransaction, transaction_of
from tailrace.errors import StoreUnavailableError
from tailrace.events import Observer, QueryNotCached

__all__ = ["QueryCache"]

log = logging.getLogger("tailrace.queries")


class QueryCache:
    """Caches the results of statements that ask for it. Made by ``Database.cache_queries``.

    Args:
        engine: whose statements.
        cache: where results are kept, and what is known of freshness.
        catalogue: what the database holds.
        observer: receives refusals.
        pooled: behind PgBouncer, where each transaction may be on another server connection.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        cache: Cache,
        catalogue: CatalogueReader,
        observer: Observer | None = None,
        *,
        pooled: bool = False,
    ) -> None:
        self.cache = cache
        self.catalogue = catalogue
        self._observer = observer
        self._pooled = pooled
        self._standing: Standing | None = None
        self._remembered = Remembered()
        self._suspects: Suspects | None = None
        self._told: set[tuple[str, str]] = set()
        self._defective: set[str] = set()
        self.auditor: Auditor | None = None
        """Compares a part of the hits with the database; None: nobody does."""
        event.listen(engine.sync_engine, "do_execute", self._executing)
        # Before those that set something.
        event.listen(engine.sync_engine, "begin", session_state.forget_begun, insert=True)

    async def aclose(self) -> None:
        """End what it does in the background."""
        if self.auditor is not None:
            await self.auditor.aclose()
        await self.catalogue.aclose()

    # --- at each statement -------------------------------------------------------------------------------------------

    def _executing(self, cursor: Any, statement: str, parameters: Any, context: Any) -> bool | None:
        """True if the statement has been answered; SQLAlchemy sends it to the driver otherwise."""
        connection: Connection = context.root_connection
        own = transaction_of(connection)
        policy = context.execution_options.get(OPTION, own.queries if own is not None else None)
        if isinstance(policy, QueryPolicy) and _selects(context):
            try:
                return self._answer(policy, own, cursor, (statement, parameters), context)
            except NotCachedError as refusal:
                self._refused(refusal, policy, context.statement)
        if statement != ASK:
            session_state.note(connection, own, statement, parameters)
        return None

    def _answer(
        self, policy: QueryPolicy, own: OpenTransaction | None, cursor: Any, sent: tuple[str, Any], context: Any
    ) -> bool:
        """True if the statement has been answered, from the cache or by being run here."""
        asked = self._understand(policy, own, sent, context)
        caching = policy.caching
        found = self.cache.peek(asked.key, policy=caching, depends_on=asked.tags)
        if found is not None:
            await_only(_nothing())
        else:
            run = _Run(cursor, sent, context, asked.standing)
            found = await_only(self.cache.read_in_place(asked.key, run.compute, policy=caching, depends_on=asked.tags))
            if run.ran:
                if run.standing is not None and not asked.changed:
                    self._found(context.root_connection, run.standing)
                run.give()
                return True
            if found is None:
                return False
        columns, rows = self._rows(asked.key, found.value)
        if self.auditor is not None:
            self.auditor.consider(asked, found.value)
        _give(context, cursor, columns, rows)
        setattr(context, ANSWERED, True)
        return True

    def _understand(
        self, policy: QueryPolicy, own: OpenTransaction | None, sent: tuple[str, Any], context: Any
    ) -> Asked:
        """What is asked, under which key, and what it depends on.

        Raises:
            NotCachedError: the cache is not to be used for it.
        """
        statement = session_state.without_comments(sent[0], context.statement)
        if statement in self._defective:
            raise NotCachedError("different")
        _refuse_unfit(own, context, self._pooled)
        if self.cache.freshness is None:
            raise NotCachedError("freshness")
        catalogue = self.catalogue.peek() or await_only(self.catalogue.current())
        if self._suspects is None or self._suspects.digest != catalogue.digest:
            self._suspects = Suspects(catalogue)
        connection: Connection = context.root_connection
        changed = session_state.changed(connection, own, self._suspects)
        if session_state.unsettled(connection, own):
            raise NotCachedError("settings")
        if not changed and _set_on_checkout(connection):
            changed = ("checkout",)
        standing = None if changed else session_state.own_standing(connection, self._standing)
        if standing is None:
            standing = _ask(connection)
            if standing.problem is not None:
                raise NotCachedError(standing.problem)
            if not changed:
                self._found(connection, standing)
        other = bool(changed) or self._standing is None or standing.digest != self._standing.digest
        tags, determined = self._remembered.tags(statement, standing.path, catalogue, policy)
        key = _key(policy, statement, sent[1], (standing.digest, catalogue.digest, changed))
        return Asked(key, policy, statement, sent, tags, determined, catalogue.digest, standing, other)

    def _rows(self, key: str, value: bytes) -> tuple[list[Column], list[tuple[Any, ...]]]:
        """What is kept; what cannot be read is removed, so that whoever asks next keeps it anew.

        Raises:
            NotCachedError: it cannot.
        """
        try:
            return decode(value)
        except NotCachedError:
            with suppress(StoreUnavailableError):
                await_only(self.cache.forget(key))
            raise

    def _found(self, connection: Connection, standing: Standing) -> None:
        """How a connection stands on which nothing is set for the transaction."""
        if not session_state.set_own_standing(connection, standing):
            self._standing = standing

    def distrust(self, asked: Asked) -> None:
        """Never again take a result of this statement from the cache, as long as this process lives."""
        if len(self._defective) >= Remembered.MOST:
            self._defective.pop()
        self._defective.add(asked.statement)

    def _refused(self, refusal: NotCachedError, policy: QueryPolicy, statement: str) -> None:
        """Count it, and say once for each statement why."""
        if self._observer is not None:
            self._observer(QueryNotCached(policy.name, refusal.reason))
        told = (statement, refusal.reason)
        if told not in self._told:
            if len(self._told) >= Remembered.MOST:
                self._told.clear()
            self._told.add(told)
            log.info("not cached (%s): %s [%s]", refusal.reason, refusal, " ".join(statement.split())[:200])


class _Run:
    """One statement sent to the driver, its rows and whether they may be kept."""

    def __init__(self, cursor: Any, sent: tuple[str, Any], context: Any, expected: Standing) -> None:
        self.ran = False
        self.standing: Standing | None = None
        """Of the connection, when nothing in it speaks against keeping what was read."""
        self._cursor = cursor
        self._sent = sent
        self._context = context
        self._expected = expected
        self._columns: list[Column] = []
        self._rows: list[Any] = []

    async def compute(self) -> bytes | Uncacheable:
        """The result in the cache's form; runs in the caller's own task, on its own connection."""
        kept: bytes | Uncacheable = await greenlet_spawn(self._run)
        return kept

    def _run(self) -> bytes | Uncacheable:
        context = self._context
        context.dialect.do_execute(self._cursor, *self._sent, context)
        self._rows = list(self._cursor.fetchall())
        self._columns = [(column[0], column[1]) for column in self._cursor.description]
        self.ran = True
        standing = _ask(context.root_connection)
        if standing.problem is None:
            self.standing = standing
            if standing.digest == self._expected.digest:
                with suppress(NotCachedError):
                    return encode(self._columns, self._rows)
        return Uncacheable(b"")

    def give(self) -> None:
        """Let SQLAlchemy have the rows."""
        _give(self._context, self._cursor, self._columns, self._rows)


def _give(context: Any, cursor: Any, columns: Sequence[Column], rows: Sequence[Any]) -> None:
    description: Any = [(name, oid, None, None, None, None, None) for name, oid in columns]
    context.cursor_fetch_strategy = FullyBufferedCursorFetchStrategy(
        cursor, alternate_description=description, initial_buffer=rows
    )
    context._rowcount = len(rows)


async def _nothing() -> None:
    """SQLAlchemy takes a driver that never waits for one that is not asynchronous, and refuses it."""


def _ask(connection: Connection) -> Standing:
    return Standing.of(connection.exec_driver_sql(ASK).one())


def _selects(context: Any) -> bool:
    """True for what SQLAlchemy or ``text()`` made that may be a SELECT with a result to be read at once."""
    return context.compiled is not None and not (context.isddl or context.is_crud or context._is_server_side)


def _refuse_unfit(own: OpenTransaction | None, context: Any, pooled: bool) -> None:
    isolation = context.execution_options.get("isolation_level")
    if isolation not in (None, "AUTOCOMMIT", "READ COMMITTED", "READ UNCOMMITTED"):
        raise NotCachedError("snapshot")
    if own is None and (isolation != "AUTOCOMMIT" or pooled):
        raise NotCachedError("transaction", "it runs outside a session of Tailrace's")
    if own is not None and own.wrote:
        raise NotCachedError("transaction")


def _set_on_checkout(connection: Connection) -> bool:
    """True if the application does something to each connection that it takes, unseen by SQLAlchemy's statements."""
    listeners: Any = connection.engine.pool.dispatch.checkout
    return any(not getattr(each, "__module__", "").startswith("tailrace.") for each in listeners)


def _key(policy: QueryPolicy, statement: str, parameters: Any, standing: tuple[bytes, str, tuple[str, ...]]) -> str:
    values = parameters.values() if isinstance(parameters, dict) else parameters
    for value in values or ():
        if isinstance(value, str) and value.strip().lower() in MOMENTS:
            raise NotCachedError("time", "a parameter may mean the present moment")
    digest = blake2b(digest_size=16)
    owner = f"{type(policy.identity).__name__}:{policy.identity}"
    for part in (statement.encode(), encode_values(parameters or ()), owner.encode(), repr(standing).encode()):
        digest.update(len(part).to_bytes(4, "big") + part)
    return f"q:{policy.name}:{digest.hexdigest()}"
