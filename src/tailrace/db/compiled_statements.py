"""Compiled statements: those that a program keeps and runs again and again, sent as they were compiled once.

What SQLAlchemy does around each execution (connection, context, cache key, parameters, cursor metadata) takes several
times as much CPU as asyncpg takes to send a statement and to read its rows, and comes to the same whenever the
statement is the same object. So its text, the order of its parameters and what becomes of its columns are remembered,
and to run it takes a connection of the pool, the driver, and rows. Pool, errors, cancelling and events are as ever.

Kept is what has been run ``USES`` times as the same object, so that statements which are made for one request are not
compiled for nothing. Whatever is not plain goes through SQLAlchemy as before: other drivers, what may write or set
something, options, parameters that change the text (``IN``), engines that somebody else listens to, and all with a
SQLAlchemy that is not ``KNOWN``.

Touches: pooled connections. **Source:** SQLAlchemy 2.1, ``DefaultExecutionContext._init_compiled``,
``Connection._handle_dbapi_exception`` and the asyncpg dialect's ``handle_dbapi_exception``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

from sqlalchemy import (
    CompoundSelect,
    Connection,
    Executable,
    Result,
    Select,
    TextClause,
    __version__,
    exc,
)
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import is_exit_exception

from tailrace.db.comments import comment
from tailrace.db.compiled_result import CompiledResult, RowDescription
from tailrace.settings import DatabaseSettings

__all__ = ["CompiledStatement", "CompiledStatements"]

KNOWN = "2.1."
"""How the version of the SQLAlchemy begins whose inner names these are. Another one runs everything by itself."""
USES = 3
"""Executions of one statement from which on it is kept."""
MOST = 500
"""Statements that are kept, and as many that are counted."""
WATCHED = (
    *("engine_connect", "begin", "rollback"),
    *("before_execute", "before_cursor_execute", "after_execute", "after_cursor_execute"),
)
"""What somebody may listen to who sets a tenant, a role or a path on connections, or who traces statements."""
BELOW = ("do_execute", "handle_error")
"""The same of the dialect."""

Executed = Callable[[str, float, bool], None]
"""Told of an execution: the statement, its seconds, and whether it failed."""
Sending = Callable[[dict[Any, Any], str], None]
"""Told that a statement is sent on the pooled connection whose ``info`` this is."""
_Shape = Sequence[tuple[Any, ...]]


@dataclass(slots=True, eq=False)
class CompiledStatement:
    """A statement as it is sent. ``columns`` and what follows are of the rows as the server described them last."""

    compiled: Any
    sql: str
    names: Sequence[str]
    binders: Mapping[str, Callable[[Any], Any]]
    columns: _Shape | None = None
    description: RowDescription | None = None
    readers: Sequence[tuple[int, Callable[[Any], Any]]] = ()

    def values(self, parameters: Any) -> tuple[Any, ...]:
        given = self.compiled.construct_params(parameters, escape_names=False)
        binders = self.binders
        return tuple([binders[name](given[name]) if name in binders else given[name] for name in self.names])


class CompiledStatements:
    """Runs what it keeps on connections of an engine's pool, each statement by itself.

    Args:
        engine: whoever listens to it later than this is made, or to all engines, has to be told by SQLAlchemy.
        settings: of the engine.
        executed: told of each execution; None: nobody is.
    """

    def __init__(self, engine: AsyncEngine, settings: DatabaseSettings, executed: Executed | None) -> None:
        self._engine = engine.sync_engine
        self._dialect: Any = engine.dialect
        self._executed = executed
        self.sending: Sending | None = None
        """Told of each statement before it is sent, for those who would listen to the engine otherwise."""
        self._comments = settings.comments
        self._suits = engine.dialect.driver == "asyncpg" and not settings.pgbouncer and __version__.startswith(KNOWN)
        listening: Any = (self._engine.dispatch, self._engine.dialect.dispatch)
        self._watched = [(listening[0], name) for name in WATCHED] + [(listening[1], name) for name in BELOW]
        self._own = [len(getattr(where, name).listeners) for where, name in self._watched]
        self._uses: dict[Executable, int] = {}
        self._kept: dict[Executable, CompiledStatement | None] = {}

    def find(self, statement: Executable, parameters: Any) -> CompiledStatement | None:
        """The statement if it may be run here, None if SQLAlchemy has to. Counts as a use. Cost: 1 microsecond."""
        found = self._kept.get(statement)
        if found is None:
            if not self._suits or statement in self._kept or not self._counted(statement):
                return None
            found = self._keep(statement)
        if found is None or not (parameters is None or isinstance(parameters, Mapping)):
            return None
        return found if self._listeners() == self._own else None

    @contextmanager
    def adopting(self) -> Iterator[None]:
        """Whoever begins to listen within the block is Tailrace's own, and has no business with what is kept."""
        before = self._listeners()
        yield
        self._own = [own + now - then for own, now, then in zip(self._own, self._listeners(), before, strict=True)]

    def run(self, kept: CompiledStatement, parameters: Any) -> Result[Any]:
        """Its rows, all of them here, in the greenlet that this is called in; outside any transaction.

        Raises:
            SQLAlchemyError: as of ``Connection.execute``.
        """
        with self.connection() as connection:
            rows = self.rows(connection, kept, parameters)
        assert kept.description is not None
        return CompiledResult(kept.description, rows)

    @contextmanager
    def connection(self) -> Iterator[Any]:
        """A connection of the pool for statements that follow each other, each by itself.

        Raises:
            SQLAlchemyError: none is to be had.
        """
        try:
            connection = self._engine.raw_connection()
        except self._dialect.loaded_dbapi.Error as error:
            Connection._handle_dbapi_exception_noconnection(error, self._dialect, self._engine)
        try:
            yield connection
        finally:
            connection.close()

    def rows(self, connection: Any, kept: CompiledStatement, parameters: Any) -> Sequence[Sequence[Any]]:
        """The same as plain sequences, on a connection that this gave.

        Raises:
            SQLAlchemyError: as of ``Connection.execute``.
        """
        try:
            return self._run(connection, kept, parameters)
        except exc.DBAPIError as error:
            # A table has changed since the statement was prepared: it was refused before it did anything.
            if not isinstance(error.orig, self._dialect.loaded_dbapi.InvalidCachedStatementError):
                raise
            return self._run(connection, kept, parameters)

    def _run(self, connection: Any, kept: CompiledStatement, parameters: Any) -> Sequence[Sequence[Any]]:
        known = self._dialect.loaded_dbapi
        try:
            values = kept.values(parameters)
        except Exception as error:  # a value that cannot be sent
            raise exc.DBAPIError.instance(kept.sql, parameters, error, known.Error, hide_parameters=True) from error
        if self.sending is not None:
            self.sending(connection.info, kept.sql)
        sql = kept.sql + comment() if self._comments else kept.sql
        began = time.monotonic()
        try:
            shape, rows = self._send(connection, sql, values)
        except BaseException as error:
            if self._executed is not None:
                self._executed(sql, time.monotonic() - began, True)
            self._fail(connection, error, sql, values)
        if self._executed is not None:
            self._executed(sql, time.monotonic() - began, False)
        if shape != kept.columns:
            _describe(kept, shape, self._dialect)
        return _read(rows, kept.readers)

    def _send(self, connection: Any, sql: str, values: tuple[Any, ...]) -> tuple[_Shape, Any]:
        adapted = connection.dbapi_connection
        cursor = adapted.cursor()
        cursor._invalidate_schema_cache_asof = self._dialect._invalidate_schema_cache_asof
        adapted.autocommit = True
        try:
            cursor.execute(sql, values)
        finally:
            adapted.autocommit = False
        return cursor.description or (), cursor.fetchall()

    def _fail(self, connection: Any, error: BaseException, sql: str, values: tuple[Any, ...]) -> NoReturn:
        dialect = self._dialect
        known = dialect.loaded_dbapi
        if not isinstance(error, known.Error):
            if isinstance(error, TimeoutError):
                self._distrust(connection, error)
            elif is_exit_exception(error):  # nobody knows what the connection still does
                connection.invalidate(error)
            raise error
        lost = dialect.is_disconnect(error, connection.dbapi_connection, None)
        if isinstance(error, known.InvalidCachedStatementError | known.InternalServerError):
            dialect._invalidate_schema_cache()
        if lost:
            self._distrust(connection, error)
        raise exc.DBAPIError.instance(
            sql, values, error, known.Error, hide_parameters=True, connection_invalidated=lost, dialect=dialect
        ) from error

    def _distrust(self, connection: Any, error: BaseException) -> None:
        """Give up the connection; others of its age are not trusted either."""
        self._engine.pool._invalidate(connection, error)
        if connection.is_valid:
            connection.invalidate(error)

    def _listeners(self) -> list[int]:
        return [len(getattr(where, name)) for where, name in self._watched]

    def _counted(self, statement: Executable) -> bool:
        """Whether the statement has been used often enough."""
        uses = self._uses.pop(statement, 0) + 1
        if uses >= USES:
            return True
        _make_room(self._uses)
        self._uses[statement] = uses
        return False

    def _keep(self, statement: Executable) -> CompiledStatement | None:
        _make_room(self._kept)
        kept = self._kept[statement] = _compile(statement, self._dialect)
        return kept


def _compile(statement: Executable, dialect: Any) -> CompiledStatement | None:
    """None for what is not plain."""
    if not isinstance(statement, Select | CompoundSelect | TextClause) or statement._execution_options:
        return None
    compiled: Any = statement.compile(dialect=dialect)
    if compiled.post_compile_params or compiled.literal_execute_params or compiled._loose_column_name_matching:
        return None
    expected = compiled._result_columns
    if expected and not (compiled._ordered_columns and len(expected) == len(compiled.statement._all_selected_columns)):
        return None
    sql = str(compiled)
    if not _reads(sql):
        return None
    return CompiledStatement(compiled, sql, tuple(compiled.positiontup or ()), compiled._bind_processors)


def _reads(sql: str) -> bool:
    """Whether it changes no settings, which others have to notice, and is no write by its first word."""
    sql = sql.lower()
    return sql.lstrip().startswith(("select", "with")) and "set_config" not in sql


def _describe(kept: CompiledStatement, shape: _Shape, dialect: Any) -> None:
    """Take note of how rows are read that look like ``shape``."""
    expected = kept.compiled._result_columns
    names = [column[0] for column in shape]
    objects: list[tuple[Any, ...]] = [()] * len(names)
    readers = []
    if expected:
        names = [entry.keyname for entry in expected]
        # As in ``CursorResultMetaData._adapt_to_context``.
        selected = kept.compiled.statement._all_selected_columns
        objects = [(*entry.objects, chosen) for entry, chosen in zip(expected, selected, strict=True)]
        for at, (entry, column) in enumerate(zip(expected, shape, strict=True)):
            reader = entry.type._cached_result_processor(dialect, column[1])
            if reader is not None:
                readers.append((at, reader))
    kept.description = RowDescription(names, objects)
    kept.readers = readers
    kept.columns = shape


def _read(rows: Sequence[Any], readers: Sequence[tuple[int, Callable[[Any], Any]]]) -> Sequence[Any]:
    if not readers:
        return rows
    read = []
    for row in rows:
        values = list(row)
        for at, reader in readers:
            values[at] = reader(values[at])
        read.append(tuple(values))
    return read


def _make_room(among: dict[Any, Any]) -> None:
    """Forget what came first when there is no room."""
    if len(among) >= MOST:
        del among[next(iter(among))]
