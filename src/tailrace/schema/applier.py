"""Bringing a database to what is declared. Touches: PostgreSQL, on direct connections of its own.

Everything can be run again at any time: what is there already costs a look at the catalogue, and what an interrupted
run left is finished or made anew. Two runs at once queue on an advisory lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from importlib.resources import files

from sqlalchemy import Table

from tailrace.schema.backfill import Backfill, Progress, Report, blocks_of, drop_rollup, prepare
from tailrace.schema.catalogue import read_catalogue
from tailrace.schema.connection import Connection, Database, Patience, connect, exclusive, with_patience
from tailrace.schema.declarations import Rollup, schema_of
from tailrace.schema.extension import Extension
from tailrace.schema.index import Index
from tailrace.schema.index_build import IndexBuild, drop_index
from tailrace.schema.kept_table import KeptTable, KeptTableBuild
from tailrace.schema.log_upkeep import (
    drop_unused_logs,
    empty_logs,
    fold_pending,
    keep_folders_out,
    make_logs,
    replace_missing,
    retire_log_of,
)
from tailrace.schema.managed import Managed
from tailrace.schema.objects import record
from tailrace.schema.planner import Declaration, Plan, Step, make_plan
from tailrace.schema.sql_text import identifier, qualified
from tailrace.schema.triggers import TableTriggers
from tailrace.schema.watches import Watch

__all__ = ["apply", "plan"]


async def plan(database: Database, objects: Iterable[Declaration]) -> Plan:
    """What `apply` would do. Reads the catalogue only.

    Raises:
        SchemaError: a declaration cannot be kept; the message says which and why.
        DatabaseUnavailableError: no connection.
    """
    async with connect(database) as connection:
        return await _plan(connection, list(objects))


async def _plan(connection: Connection, declared: Sequence[Declaration]) -> Plan:
    others = [item for item in declared if isinstance(item, Watch | Index)]
    managed: list[Step] = []
    kept: set[int] = set()
    for item in declared:
        if isinstance(item, Managed):
            undertaken = await item.undertaken(connection, others)
            managed += [*await item.steps(connection), *undertaken.steps]
            kept |= {id(each) for each in undertaken.items}
    left = [item for item in declared if id(item) not in kept]
    return make_plan(await read_catalogue(connection), left, managed)


async def apply(
    database: Database,
    objects: Iterable[Declaration],
    *,
    dry_run: bool = False,
    prune: bool = False,
    progress: Report | None = None,
    patience: Patience | None = None,
    workers: int = 2,
) -> Plan:
    """Create, change and fill what is declared, while the service runs.

    Writers of a table wait once, for as long as it takes to make its triggers (milliseconds), and never longer than
    ``patience.lock_timeout``: a table that is busy is tried again later. Readers do not wait.

    Args:
        database: the server's own address (not a transaction pooler's), or an engine that has it.
        objects: everything the database shall hold.
        dry_run: only say what would be done.
        prune: also remove what is no longer declared.
        progress: told how far each step is.
        patience: lock timeout and retries.
        workers: connections that read the source of a rollup at the same time.

    Returns:
        The plan that was carried out (or, with ``dry_run``, was not).

    Raises:
        SchemaError: a declaration cannot be kept, or PostgreSQL refused a statement.
        DatabaseTimeoutError: a table was busy at every attempt; run again later.
        DatabaseUnavailableError: no connection, or it was lost; run again.
    """
    declared = list(objects)
    if dry_run:
        return await plan(database, declared)
    patience = patience or Patience()
    async with connect(database) as connection, exclusive(connection):
        await connection.execute("SET lock_timeout = " + str(int(patience.lock_timeout * 1000)))
        found = await _plan(connection, declared)
        run = _Run(database, connection, declared, patience, progress, workers)
        await run.make_extensions(found.steps)
        if any(step.kind == "installation" for step in found.steps):
            await connection.execute(files("tailrace.schema").joinpath("installation.sql").read_text())
        await run.make_kept_tables(found.steps)
        await run.carry_out_managed(found.steps)
        await run.structure([s for s in found.steps if s.kind in ("triggers", "rollup")])
        # What keeps and fills a kept table reads others by their indexes; its own are built when it is full.
        kept = {item.source for item in declared if isinstance(item, KeptTable)}
        await run.build_indexes([s for s in found.steps if isinstance(s.target, Index) and s.target.source not in kept])
        await run.fill_kept_tables(found.steps)
        await run.build_indexes([s for s in found.steps if isinstance(s.target, Index) and s.target.source in kept])
        if prune:
            for step in found.unneeded:
                await run.remove(step)
        return found


class _Run:
    """One run of `apply`, under the advisory lock."""

    def __init__(
        self,
        database: Database,
        connection: Connection,
        declared: Sequence[Declaration],
        patience: Patience,
        report: Report | None,
        workers: int,
    ) -> None:
        self.database = database
        self.connection = connection
        self.rollups = [item for item in declared if isinstance(item, Rollup)]
        self.patience = patience
        self.report = report
        self.workers = workers

    async def make_extensions(self, steps: Sequence[Step]) -> None:
        """Before whatever uses them."""
        for step in steps:
            if isinstance(step.target, Extension):
                await self.connection.execute(step.target.sql)
                self._tell(step)

    async def make_kept_tables(self, steps: Sequence[Step]) -> None:
        """Make them, empty, with what keeps them."""
        for step in steps:
            if isinstance(step.target, KeptTable) and step.action != "resume":
                await self._kept(step, step.target).make()

    async def fill_kept_tables(self, steps: Sequence[Step]) -> None:
        """Fill in what was there before them."""
        for step in steps:
            if isinstance(step.target, KeptTable):
                await self._kept(step, step.target).fill()

    async def carry_out_managed(self, steps: Sequence[Step]) -> None:
        """What other rooms declare, before the watches of its tables."""
        for step in steps:
            if isinstance(step.target, Managed):
                await step.target.carry_out(self.connection, step, self.patience, self.report)
                self._tell(step)

    def _kept(self, step: Step, kept: KeptTable) -> KeptTableBuild:
        return KeptTableBuild(self.connection, kept, step.definition_hash, self.patience, self.report)

    async def build_indexes(self, steps: Sequence[Step]) -> None:
        """One after the other, without stopping writers."""
        for step in steps:
            if isinstance(step.target, Index):
                build = IndexBuild(
                    self.database, self.connection, step.target, step.definition_hash, self.patience, self.report
                )
                await (build.finish() if step.action == "resume" else build.run())

    async def structure(self, steps: Sequence[Step]) -> None:
        """Triggers and rollups: all tables at once under one lock, then the fillings from one snapshot."""
        if not steps:
            return
        rollups = [(step, step.target) for step in steps if isinstance(step.target, Rollup)]
        async with AsyncExitStack() as stack:
            holder = await stack.enter_async_context(connect(self.database, lock_timeout=self.patience.lock_timeout))
            snapshot = await with_patience(self.patience, lambda: self._switch(steps, holder))
            await self._drop_surplus(steps)
            for step, rollup in rollups:
                blocks = await blocks_of(holder, rollup)
                await Backfill(self.database, rollup, snapshot, blocks, self.workers, self.report).run()
                await self._record(step, "ready")
                self._tell(step)
            if holder.is_in_transaction():
                await holder.execute("ROLLBACK")

    async def _switch(self, steps: Sequence[Step], holder: Connection) -> str:
        """A's transaction of `backfill`; B is ``holder``. Returns the exported snapshot, if one is needed."""
        if holder.is_in_transaction():
            await holder.execute("ROLLBACK")
        written = {table for step in steps for table in _written_tables(step)}
        tables = sorted(qualified(schema_of(table), table.name) for table in written)
        names = {f"{schema_of(table)}.{table.name}" for table in written}
        snapshot = ""
        rebuilt = [s.target for s in steps if isinstance(s.target, Rollup) and s.action == "rebuild"]
        await replace_missing(self.connection, rebuilt)
        await fold_pending(self.connection)
        async with self.connection.transaction():
            await keep_folders_out(self.connection)
            await self.connection.execute(f"LOCK TABLE {', '.join(tables)} IN SHARE ROW EXCLUSIVE MODE")
            await empty_logs(self.connection, names)
            for step in steps:
                if isinstance(step.target, Rollup):
                    await prepare(self.connection, step.target)
                    await self._record(step, "building")
            await make_logs(self.connection, self.rollups, names)
            for step in steps:
                if isinstance(step.target, TableTriggers):
                    await self._replace_triggers(step, step.target)
            if any(step.kind == "rollup" for step in steps):
                await holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                await holder.execute(f"LOCK TABLE {', '.join(tables)} IN ACCESS SHARE MODE")
                snapshot = await holder.fetchval("SELECT pg_export_snapshot()")
        return snapshot

    async def _replace_triggers(self, step: Step, target: TableTriggers) -> None:
        departed = target.departed_table()
        if departed:
            await self.connection.execute(departed)
        kept = {function.trigger for function in target.functions()}
        for row in await self._own_triggers(target.sql_name):
            if row["tgname"] not in kept:
                # Dropping a trigger locks out readers too; giving it an empty function stops it and locks out nobody.
                await self.connection.execute(
                    f"CREATE OR REPLACE FUNCTION {qualified('tailrace', row['proname'])}() RETURNS trigger "
                    "LANGUAGE plpgsql AS $$ BEGIN RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END; END $$"
                )
        for function in target.functions():
            for text in function.create(target.sql_name):
                await self.connection.execute(text)
            await self.connection.execute(
                f"ALTER TABLE {target.sql_name} ENABLE TRIGGER {identifier(function.trigger)}"
            )
        await self._record(step, "ready")
        names = [f"{rollup.schema}.{rollup.name}" for rollup in self.rollups]
        await self.connection.execute(
            "UPDATE tailrace.objects SET state = 'abandoned' WHERE kind = 'rollup' AND name <> ALL($1::text[])", names
        )

    async def _own_triggers(self, table: str) -> list[dict[str, str]]:
        rows = await self.connection.fetch(
            "SELECT t.tgname, p.proname FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid "
            "JOIN pg_namespace n ON n.oid = p.pronamespace "
            "WHERE t.tgrelid = $1::text::regclass AND NOT t.tgisinternal AND n.nspname = 'tailrace'",
            table,
        )
        return [dict(row) for row in rows]

    async def _drop_surplus(self, steps: Sequence[Step]) -> None:
        await with_patience(self.patience, lambda: drop_unused_logs(self.connection, self.rollups))
        for step in steps:
            if not isinstance(step.target, TableTriggers):
                continue
            kept = {function.trigger for function in step.target.functions()}
            await self._drop_triggers(step.target.sql_name, kept)
            self._tell(step)

    async def _drop_triggers(self, table: str, kept: set[str]) -> None:
        for row in await self._own_triggers(table):
            if row["tgname"] in kept:
                continue
            texts = [
                f"DROP TRIGGER {identifier(row['tgname'])} ON {table}",
                f"DROP FUNCTION {qualified('tailrace', row['proname'])}()",
            ]
            await with_patience(self.patience, lambda texts=texts: self._together(texts))  # type: ignore[misc]

    async def _together(self, texts: Sequence[str]) -> None:
        async with self.connection.transaction():
            for text in texts:
                await self.connection.execute(text)

    async def remove(self, step: Step) -> None:
        """Take away what is no longer declared."""
        schema, _, name = step.name.partition(".")
        own = qualified(schema, name)
        if step.kind == "index":
            await with_patience(self.patience, lambda: drop_index(self.connection, schema, name))
        elif step.kind == "triggers" and await self.connection.fetchval("SELECT to_regclass($1)", own):
            await self._drop_triggers(own, set())
        elif step.kind == "rollup":
            await with_patience(self.patience, lambda: self._drop_rollup(schema, name))
        elif step.kind == "table":
            texts = await self.connection.fetchval(
                "SELECT removal FROM tailrace.objects WHERE kind = 'table' AND name = $1", step.name
            )
            await with_patience(self.patience, lambda: self._together(texts))
        await self.connection.execute(
            "DELETE FROM tailrace.objects WHERE kind = $1 AND name = $2", step.kind, step.name
        )
        self._tell(step)

    async def _drop_rollup(self, schema: str, name: str) -> None:
        async with self.connection.transaction():
            await keep_folders_out(self.connection)
            await retire_log_of(self.connection, f"{schema}.{name}")
            await drop_rollup(self.connection, schema, name)
        await drop_unused_logs(self.connection, self.rollups)

    async def _record(self, step: Step, state: str) -> None:
        await record(self.connection, step.kind, step.name, step.definition_hash, state)

    def _tell(self, step: Step) -> None:
        if self.report is not None:
            self.report(Progress(step.kind, step.name, step.action, 1, 1, "steps"))


def _written_tables(step: Step) -> Sequence[Table]:
    """The tables whose writers a step keeps out."""
    if isinstance(step.target, Rollup):
        return step.target.tables
    return [step.target.table] if isinstance(step.target, TableTriggers) else []
