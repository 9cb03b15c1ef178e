"""What the database holds, as far as results follow from it. Touches: one connection of its own.

A look at the catalogue's rows of what people made (16 ms for 500 tables of ten columns, on a busy machine) gives a
digest; when that is another one, everything is read anew. The digest is part of every key, so results from before a
change of a view, a table, a function or a policy are not found after it. A look is made while results are asked for, so
that none older than the freshness bound counts; who asks seldom waits for one.

**Source:** PostgreSQL documentation, chapter 52 (system catalogues).
"""

# ruff: noqa: S608 - statements are put together from the constants below

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tailrace.clock import Clock
from tailrace.db.errors import translated
from tailrace.db.outbox import transaction
from tailrace.db.query_cache.refusal import NotCachedError
from tailrace.errors import DatabaseError

__all__ = ["Catalogue", "CatalogueReader", "Function", "Relation"]

T = TypeVar("T")

OWN = "oid >= 16384"
"""What people made, extensions among it; what initdb made has lower oids."""

_MADE = "SELECT c.oid FROM pg_class c JOIN made_in n ON n.oid = c.relnamespace WHERE c.relpersistence <> 't'"
_PARTS = (
    # A materialised view's row changes with each refresh, a sequence's with restarts; neither is ever read from cache.
    "SELECT ROW(c.oid, relname, relnamespace, relkind, CASE WHEN relkind IN ('r', 'v', 'p') THEN c.xmin END) AS h "
    f"FROM pg_class c WHERE c.{OWN} AND relkind IN ('r', 'v', 'p', 'm', 'f', 'S') AND c.oid IN ({_MADE})",
    f"SELECT ROW(attrelid, attnum, xmin) FROM pg_attribute WHERE attnum > 0 AND attrelid IN ({_MADE} "
    f"AND c.relkind IN ('r', 'v', 'p') AND c.{OWN})",
    f"SELECT ROW(oid, xmin) FROM pg_rewrite WHERE {OWN} AND ev_class IN ({_MADE})",
    f"SELECT ROW(oid, xmin) FROM pg_trigger WHERE NOT tgisinternal AND tgrelid IN ({_MADE})",
    f"SELECT ROW(inhrelid, inhparent, xmin) FROM pg_inherits WHERE inhrelid IN ({_MADE})",
    "SELECT ROW(roleid, member, grantor, xmin) FROM pg_auth_members",
    f"SELECT ROW(oid, xmin) FROM pg_type WHERE typtype IN ('e', 'd') AND {OWN}",
    *(
        f"SELECT ROW(oid, xmin) FROM {table} WHERE {OWN}"
        for table in ("pg_proc", "pg_operator", "pg_cast", "pg_enum", "pg_policy", "pg_namespace")
    ),
)
DIGEST = text(
    "WITH made_in AS MATERIALIZED (SELECT oid FROM pg_namespace WHERE nspname <> 'tailrace' "
    "AND nspname !~ '^pg_(toast|temp)')\n"
    "SELECT concat_ws(' ', (SELECT oid FROM pg_database WHERE datname = current_database()), "
    + ", ".join(f"(SELECT coalesce(bit_xor(hash_record_extended(h, 0)), 0) FROM ({part}) x(h))" for part in _PARTS)
    + ")"
)
RELATIONS = text("""
    SELECT c.oid::bigint, n.nspname, c.relname, c.relkind::text, c.oid < 16384 AS of_system,
           c.relrowsecurity, c.relpersistence = 'p' AS permanent,
           EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid OR i.inhrelid = c.oid) AS inherits,
           CASE WHEN c.relkind = 'v' AND c.oid >= 16384 THEN pg_get_viewdef(c.oid) END AS definition
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND n.nspname !~ '^pg_(toast|temp)' AND n.nspname <> 'tailrace'
""")
POLICIES = text("""
    SELECT polrelid::bigint, pg_get_expr(polqual, polrelid) FROM pg_policy
    WHERE polcmd IN ('r', '*') AND polqual IS NOT NULL
""")
TRIGGERS = text("""
    SELECT t.tgrelid::bigint, t.tgtype, p.prosrc FROM pg_trigger t
    JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = 'tailrace' AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') AND t.tgqual IS NULL
      AND t.tgattr = ''
""")
# Code in C that says it is immutable is the server's or an extension's. What people write in SQL and PL/pgSQL is often
# declared immutable only so that an index takes it.
_SURE = "({0}.provolatile = 'i' AND {0}.prolang IN (SELECT oid FROM pg_language WHERE lanname IN ('c', 'internal')))"
FUNCTIONS = text(f"""
    SELECT n.nspname, p.proname,
           {_SURE.format("p")} AND (a.aggfnoid IS NULL OR NOT EXISTS (
               SELECT FROM pg_proc f WHERE NOT {_SURE.format("f")}
               AND f.oid IN (a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggmtransfn, a.aggmfinalfn)
           )) AS sure,
           p.pronargs > 0 AND EXISTS (
               SELECT FROM pg_type t WHERE t.oid = p.proargtypes[0] AND (t.typtype IN ('c', 'p', 'd'))
           ) AS like_column
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace LEFT JOIN pg_aggregate a ON a.aggfnoid = p.oid
    WHERE p.oid >= 16384 AND n.nspname <> 'tailrace'
""")
OPERATORS = text(f"""
    SELECT o.oprname, n.nspname, p.proname FROM pg_operator o JOIN pg_proc p ON p.oid = o.oprcode
    JOIN pg_namespace n ON n.oid = p.pronamespace WHERE o.oid >= 16384 AND NOT {_SURE.format("p")}
""")
CASTS = text(f"""
    SELECT n.nspname, p.proname FROM pg_cast c JOIN pg_proc p ON p.oid = c.castfunc
    JOIN pg_namespace n ON n.oid = p.pronamespace WHERE c.oid >= 16384 AND NOT {_SURE.format("p")}
""")
BUILT_IN = text("""
    SELECT proname, bool_and(provolatile = 'i') FROM pg_proc
    WHERE oid < 16384 AND pronamespace = 'pg_catalog'::regnamespace GROUP BY proname
""")

AFTER_STATEMENT = 0b0000011
"""Bits of a trigger's type that are both unset: for each row, before."""
EVENTS = (4, 8, 16, 32)
"""Bits for INSERT, DELETE, UPDATE, TRUNCATE."""


@dataclass(frozen=True, slots=True)
class Relation:
    """A table, view or whatever else can be read.

    Attributes:
        tag: the cache tag that every write of this table leaves; None without a watch.
        problem: why its changes are not noticed, for people; None for a watched table and for a view.
        definition: a view's statement, every name in it with its schema.
        policies: conditions of row security, in the same form; None where there is none.
    """

    tag: str | None
    problem: str | None
    definition: str | None
    policies: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Function:
    """A function that people made: ``sure`` if its result certainly follows from its arguments alone."""

    schema: str
    name: str
    sure: bool
    like_column: bool
    """``row.name`` may call it."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """A picture of the database.

    Attributes:
        digest: another one after any change of what is below.
        built_in: PostgreSQL's own functions, true for those whose result follows from their arguments.
        operators: operators that people made of functions that are not sure, with those functions.
        casts: the same for casts.
    """

    digest: str
    relations: Mapping[tuple[str, str], Relation]
    functions: Mapping[str, tuple[Function, ...]]
    built_in: Mapping[str, bool]
    operators: Mapping[str, tuple[tuple[str, str], ...]]
    casts: tuple[tuple[str, str], ...]


class CatalogueReader:
    """Keeps a picture of the catalogue that is as new as it has to be.

    Args:
        engine: connections to the database that are made when needed.
        clock: monotonic time.
        bound: seconds; no older picture counts.
    """

    def __init__(self, engine: AsyncEngine, clock: Clock, *, bound: float) -> None:
        self._engine = engine
        self._clock = clock
        self._bound = bound
        self._found: Catalogue | None = None
        self._looked = float("-inf")
        self._look: asyncio.Task[None] | None = None

    def peek(self) -> Catalogue | None:
        """The picture if it is new enough. One that will soon not be is looked after in the background."""
        age = self._clock.monotonic() - self._looked
        if age > self._bound / 2:
            self._begin()
        return self._found if age <= self._bound else None

    async def current(self) -> Catalogue:
        """The picture, after a look if it is not new enough.

        Raises:
            NotCachedError: the look failed.
        """
        found = self.peek()
        if found is None:
            with suppress(DatabaseError):
                await asyncio.shield(self._begin())
            found = self.peek()
        if found is None:
            raise NotCachedError("catalogue")
        return found

    async def digest(self) -> str:
        """That of the catalogue as it is now, whatever picture there is.

        Raises:
            One of ``tailrace.db.errors.FOREIGN``: the look failed.
        """
        async with self._engine.connect() as connection:
            digest: str = (await connection.execute(DIGEST)).scalar_one()
            return digest

    async def aclose(self) -> None:
        """End a look that is under way, close the connection."""
        if self._look is not None:
            self._look.cancel()
            await asyncio.gather(self._look, return_exceptions=True)
        await self._engine.dispose()

    def _begin(self) -> asyncio.Task[None]:
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(self._run(), name="tailrace catalogue")
            self._look.add_done_callback(_settle)
        return self._look

    async def _run(self) -> None:
        began = self._clock.monotonic()
        with translated():
            async with asyncio.timeout(self._bound + 1), self._engine.connect() as connection:
                digest = (await connection.execute(DIGEST)).scalar_one()
                if self._found is None or self._found.digest != digest:
                    self._found = await read_catalogue(connection)
        self._looked = began


def _settle(look: asyncio.Task[None]) -> None:
    """Whoever waits for a look learns of its failure; one that nobody waits for is made again."""
    if not look.cancelled():
        look.exception()


async def read_catalogue(connection: AsyncConnection) -> Catalogue:
    """Read it, as of one moment. Cost: 12 round trips.

    Raises:
        SQLAlchemyError: a statement failed.
    """

    async def rows(statement: Any) -> Any:
        return (await connection.execute(statement)).all()

    async with transaction(connection):
        await connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        # So that whatever is shown to us has its schema beside its name.
        await connection.exec_driver_sql("SET LOCAL search_path = pg_catalog")
        digest = (await connection.execute(DIGEST)).scalar_one()
        triggers, policies, relations = await rows(TRIGGERS), await rows(POLICIES), await rows(RELATIONS)
        functions, operators, casts = await rows(FUNCTIONS), await rows(OPERATORS), await rows(CASTS)
        built_in = await rows(BUILT_IN)
    return Catalogue(
        digest=digest,
        relations={(row.nspname, row.relname): _relation(row, triggers, policies) for row in relations},
        functions=_grouped((row.proname, Function(*row)) for row in functions),
        built_in=dict(tuple(row) for row in built_in),
        operators=_grouped((symbol, (schema, name)) for symbol, schema, name in operators),
        casts=tuple((schema, name) for schema, name in casts),
    )


def _grouped(pairs: Iterable[tuple[str, T]]) -> dict[str, tuple[T, ...]]:
    found: dict[str, tuple[T, ...]] = {}
    for name, each in pairs:
        found[name] = (*found.get(name, ()), each)
    return found


KINDS = {"m": "a materialised view", "f": "a foreign table", "p": "partitioned", "S": "a sequence"}


def _relation(row: Any, triggers: Any, policies: Any) -> Relation:
    own = tuple(expression for oid, expression in policies if oid == row.oid) if row.relrowsecurity else None
    if row.definition is not None:
        return Relation(None, None, row.definition, own)
    problem = None
    tag = row.relname if row.nspname == "public" else f"{row.nspname}.{row.relname}"
    if row.of_system or row.relkind != "r":
        problem = f"is {KINDS.get(row.relkind, 'of the system')}"
    elif row.inherits:
        problem = "is part of a partitioned table or an inheritance tree"
    elif not row.permanent:
        problem = "is unlogged: a crash empties it without a word"
    elif not _watched(tag, [(kind, body) for oid, kind, body in triggers if oid == row.oid]):
        problem = "has no watch"
    return Relation(None if problem else tag, problem, None, own)


def _watched(tag: str, triggers: list[tuple[int, str]]) -> bool:
    """True if every kind of write leaves the table's tag, a key's or the wide one in the outbox."""
    quoted = tag.replace("'", "''")
    notes = re.compile(rf"'{re.escape(quoted)}(:[^']*)?'")
    return all(
        any(
            kind & event and not kind & AFTER_STATEMENT and "INSERT INTO tailrace.outbox" in body and notes.search(body)
            for kind, body in triggers
        )
        for event in EVENTS
    )
