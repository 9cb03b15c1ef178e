"""What has to be done so that the database holds what is declared. Pure, given the catalogue.

Definitions are compared by hash, and what they should have made is compared with what is there: a trigger that somebody
dropped or disabled, a function that was edited and an index left invalid are found, not only changed declarations.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from tailrace.errors import SchemaError
from tailrace.schema.catalogue import Catalogue, refuse_unfit
from tailrace.schema.declarations import Rollup, schema_of
from tailrace.schema.delta_log import logs_of
from tailrace.schema.extension import Extension
from tailrace.schema.index import Index
from tailrace.schema.kept_table import KeptTable
from tailrace.schema.managed import Managed
from tailrace.schema.rollup_sql import add, contribution, create_table, folded_name, live_rows, table_name
from tailrace.schema.sql_text import definition_hash, identifier, qualified
from tailrace.schema.triggers import TableTriggers, triggers_of
from tailrace.schema.watches import Watch

__all__ = ["Declaration", "Plan", "Step", "index_hash", "index_sql", "make_plan", "rollup_hash", "triggers_hash"]

Declaration = Watch | Rollup | KeptTable | Index | Extension | Managed
"""What `plan` and `apply` take."""
Kind = Literal["installation", "extension", "triggers", "rollup", "table", "index", "series", "summary"]
Action = Literal["create", "replace", "rebuild", "resume", "remove", "abandon"]
_MAKING = ("create", "rebuild")
"""Actions after which a table is there, and bare."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do. ``sql`` is what will run, or for builds in pieces, what it amounts to."""

    kind: Kind
    name: str
    action: Action
    reason: str
    sql: tuple[str, ...] = ()
    definition_hash: str = ""
    target: TableTriggers | Rollup | KeptTable | Index | Extension | Managed | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What `apply` would do, in order. ``unneeded`` are removals, done only when asked for."""

    steps: tuple[Step, ...]
    unneeded: tuple[Step, ...] = ()
    warnings: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.steps)

    def render(self, *, sql: bool = False) -> str:
        """One line a step; with ``sql``, its statements below."""
        lines: list[str] = []
        for step in self.steps:
            lines.append(f"{step.action:8} {step.kind:12} {step.name}  ({step.reason})")
            lines += [f"    {line}" for statement in step.sql if sql for line in (statement + ";").split("\n")]
        lines += [f"unneeded {s.kind:12} {s.name}  ({s.reason})" for s in self.unneeded]
        lines += [f"warning: {warning}" for warning in self.warnings]
        return "\n".join(lines) or "nothing to do"


def make_plan(catalogue: Catalogue, declared: Iterable[Declaration], managed: Sequence[Step] = ()) -> Plan:
    """Compare ``declared`` with the database.

    Args:
        catalogue: what the database holds.
        declared: what it shall hold.
        managed: the steps of those that know themselves what has to be done (`Managed`).

    Raises:
        SchemaError: a declaration cannot be kept; the message says which and why.
    """
    items = list(declared)
    _refuse_repeats(items)
    _refuse_watched_parts(items)
    rollups = sorted((i for i in items if isinstance(i, Rollup)), key=table_name)
    watched = [i for i in items if isinstance(i, Watch)]
    indexes = [i for i in items if isinstance(i, Index)]
    kept = [i for i in items if isinstance(i, KeptTable)]
    kept_steps = [step for table in kept for step in _kept_table_steps(catalogue, table)]
    catalogue = catalogue.with_new([step.name for step in (*kept_steps, *managed) if step.action in _MAKING])
    tables = triggers_of([*watched, *rollups], catalogue.guaranteed)
    refuse_unfit(catalogue, [t.table for t in tables] + [i.source for i in indexes])
    steps = [
        Step("extension", item.name, "create", "new", (item.sql,), target=item)
        for item in items
        if isinstance(item, Extension) and item.name not in catalogue.extensions
    ]
    if not catalogue.installed:
        steps.append(Step("installation", "tailrace", "create", "Tailrace's own tables"))
    steps += [*kept_steps, *managed]
    warnings: list[str] = []
    for rollup in rollups:
        warnings += _check_join(catalogue, rollup)
        steps += _rollup_steps(catalogue, rollup)
    for target in tables:
        steps += _trigger_steps(catalogue, target)
    for index in indexes:
        steps += _index_steps(catalogue, index)
    unneeded = _unneeded(catalogue, tables, rollups, kept, indexes)
    return Plan(tuple(steps), tuple(unneeded), tuple(warnings))


def rollup_hash(rollup: Rollup) -> str:
    """Changes when the table or the meaning of its figures does."""
    return definition_hash(create_table(rollup), add(rollup, contribution(rollup, live_rows(rollup))))


def triggers_hash(target: TableTriggers) -> str:
    """Changes when a trigger or function of the table does."""
    texts = [text for function in target.functions() for text in function.create(target.sql_name)]
    logs = [text for log in logs_of([*target.rollups, *target.children]) for text in log.create()]
    return definition_hash(target.departed_table() or "", *logs, *texts)


def index_sql(index: Index) -> str:
    """The statement that builds it."""
    text = f"CREATE {'UNIQUE ' if index.unique else ''}INDEX CONCURRENTLY {identifier(index.name)}"
    text += f" ON {qualified(schema_of(index.source), index.source.name)} USING {identifier(index.using)}"
    text += f" ({', '.join(index.column_texts())})"
    if index.include:
        text += f" INCLUDE ({', '.join(identifier(name) for name in index.include)})"
    where = index.where_text()
    return text + (f" WHERE {where}" if where else "")


def index_hash(index: Index) -> str:
    """Changes when the index's definition does."""
    return definition_hash(index_sql(index))


def _refuse_repeats(items: Sequence[Declaration]) -> None:
    seen: dict[tuple[str, str], Declaration] = {}
    for item in items:
        if isinstance(item, Watch | Extension):
            continue
        key = (item.schema if isinstance(item, Rollup) else schema_of(item.source), item.name)
        if key in seen and seen[key] is not item:
            raise SchemaError(f"{'.'.join(key)} is declared twice")
        seen[key] = item


def _refuse_watched_parts(items: Sequence[Declaration]) -> None:
    """Refuse triggers on what another room keeps in parts: it has its own there, which know of the parts."""
    kept = {f"{schema_of(item.source)}.{item.name}" for item in items if isinstance(item, Managed)}
    for item in items:
        if isinstance(item, Watch | Rollup) and (name := f"{schema_of(item.source)}.{item.source.name}") in kept:
            raise SchemaError(f"{name} is kept in parts: watch one of its summaries in its place")


def _check_join(catalogue: Catalogue, rollup: Rollup) -> list[str]:
    link = rollup.parent_link
    if link is None:
        return []
    child, parent = (f"{schema_of(t)}.{t.name}" for t in (rollup.source, link.parent))
    if (child, link.column, parent) not in catalogue.guaranteed:
        raise SchemaError(
            f"rollup {rollup.name}: {child}.{link.column} needs a foreign key to {parent}.{link.parent_column} that is "
            "valid and not deferrable; without it a parent could appear after its rows and nothing would notice"
        )
    if (child, link.column) in catalogue.leading_columns:
        return []
    return [
        f"{child}.{link.column} has no index: every change of {parent} that concerns {rollup.name} reads all of {child}"
    ]


def _rollup_steps(catalogue: Catalogue, rollup: Rollup) -> list[Step]:
    full_name = f"{rollup.schema}.{rollup.name}"
    wanted = rollup_hash(rollup)
    recorded = catalogue.recorded.get(("rollup", full_name))
    exists = full_name in catalogue.tables
    if rollup.maintenance == "deltas":
        exists = exists and f"tailrace.{folded_name(rollup.schema, rollup.name)}" in catalogue.tables
    if recorded is None and full_name in catalogue.tables:
        raise SchemaError(f"rollup {rollup.name}: a table {full_name} exists already and is not Tailrace's")
    if recorded and exists and recorded.definition_hash == wanted and recorded.state == "ready":
        return []
    if recorded is None or not exists:
        action, reason = ("create", "new") if recorded is None else ("rebuild", "its table is gone")
    elif recorded.state == "building":
        action, reason = "rebuild", "a build was interrupted"
    elif recorded.state == "abandoned":
        action, reason = "rebuild", "it was not kept for a while"
    else:
        action, reason = "rebuild", "its definition changed"
    sql = (create_table(rollup), add(rollup, contribution(rollup, live_rows(rollup))))
    return [Step("rollup", full_name, action, reason, sql, wanted, rollup)]  # type: ignore[arg-type]


def _trigger_steps(catalogue: Catalogue, target: TableTriggers) -> list[Step]:
    wanted = triggers_hash(target)
    recorded = catalogue.recorded.get(("triggers", target.name))
    functions = target.functions()
    expected = {function.trigger: function.body for function in functions}
    found = {trigger: held for (table, trigger), held in catalogue.triggers.items() if table == target.name}
    logs = logs_of(target.rollups)
    sql = tuple(text for log in logs for text in (*log.create(), *map(log.view, log.rollups)))
    sql += tuple(text for function in functions for text in function.create(target.sql_name))
    whole = (
        {log.name for log in logs} <= catalogue.logs
        and set(found) == set(expected)
        and all(found[name][0].strip("\n") == body and found[name][1] for name, body in expected.items())
    )
    if recorded and recorded.definition_hash == wanted and whole:
        return []
    if recorded is None:
        return [Step("triggers", target.name, "create", "new", sql, wanted, target)]
    reason = "changed or disabled in the database" if recorded.definition_hash == wanted else "its definition changed"
    return [Step("triggers", target.name, "replace", reason, sql, wanted, target)]


def _index_steps(catalogue: Catalogue, index: Index) -> list[Step]:
    schema = schema_of(index.source)
    full_name = f"{schema}.{index.name}"
    wanted = index_hash(index)
    recorded = catalogue.recorded.get(("index", full_name))
    found = catalogue.indexes.get((schema, index.name))
    if found and found.table != index.source.name:
        raise SchemaError(f"index {full_name} exists already, on {found.table}")
    if recorded is None and found and found.valid:
        raise SchemaError(f"index {full_name} exists already and is not Tailrace's: choose another name or drop it")
    if recorded and found and found.valid and recorded.definition_hash == wanted:
        if recorded.state == "ready":
            return []
        # It was recorded as being built when the older one was gone, so this is the new one, whole.
        return [Step("index", full_name, "resume", "built, and not yet analysed", (), wanted, index)]
    if found is None:
        action, reason = "create", "new" if recorded is None else "it is gone"
    elif not found.valid:
        action, reason = "rebuild", "a build was interrupted"
    else:
        action, reason = "rebuild", "its definition changed"
    return [Step("index", full_name, action, reason, (index_sql(index),), wanted, index)]  # type: ignore[arg-type]


def _kept_table_steps(catalogue: Catalogue, kept: KeptTable) -> list[Step]:
    wanted = kept.definition_hash()
    recorded = catalogue.recorded.get(("table", kept.name))
    exists = kept.name in catalogue.tables
    if recorded is None and exists:
        raise SchemaError(f"{kept.name} exists already and is not Tailrace's: choose another name or drop it")
    sql = (*kept.creation(), kept.fill)
    if recorded is None:
        return [Step("table", kept.name, "create", "new", sql, wanted, kept)]
    if not exists:
        return [Step("table", kept.name, "rebuild", "it is gone", sql, wanted, kept)]
    if recorded.definition_hash != wanted:
        return [Step("table", kept.name, "rebuild", "its definition changed", (*kept.removal(), *sql), wanted, kept)]
    if recorded.state != "ready":
        return [Step("table", kept.name, "resume", "its filling was interrupted", (kept.fill,), wanted, kept)]
    return []


def _unneeded(
    catalogue: Catalogue,
    tables: Sequence[TableTriggers],
    rollups: Sequence[Rollup],
    kept_tables: Sequence[KeptTable],
    indexes: Sequence[Index],
) -> list[Step]:
    kept = {("triggers", t.name) for t in tables}
    kept |= {("rollup", f"{r.schema}.{r.name}") for r in rollups}
    kept |= {("table", k.name) for k in kept_tables}
    kept |= {("index", f"{schema_of(i.source)}.{i.name}") for i in indexes}
    # Triggers go before the tables they write to.
    order = {"index": 0, "triggers": 1, "rollup": 2, "table": 3}
    recorded = {key for key in catalogue.recorded if key[0] in order}
    gone = sorted(recorded - kept, key=lambda key: (order[key[0]], key[1]))
    return [Step(kind, name, "remove", "no longer declared") for kind, name in gone]  # type: ignore[arg-type]
