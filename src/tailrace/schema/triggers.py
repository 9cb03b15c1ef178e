"""The trigger functions of one table: cache tags into the outbox, contributions into rollups. Pure: SQL text only.

One function per table and event does everything that table needs, so that a single-row write pays for one call and a
handful of cached plans. Triggers are per statement with transition tables: a bulk write costs one pass, and rollups and
tags are written in key order, so that two multi-row writes cannot deadlock on them.

Why rollups stay exact, whatever runs at the same time
------------------------------------------------------
*One table.* A row's contribution depends on the row alone. The writer of the row adds new minus old in its own
transaction; additions commute, so any interleaving of commits gives the sum of the rows. It does not matter which
snapshot the transaction uses: nothing but its own rows is read.

*Source joined to a parent.* A contribution depends on two rows, so writers of the two must agree on who accounts for
what. The foreign key, which must exist and be checked at once, means a source row has its parent from its first moment
to its last; hence inserting a parent contributes nothing. Let C write source rows and U write parents:

- C locks the parents of its old and new rows ``FOR SHARE`` in key order, then reads them. An uncommitted U on one of
  them makes C wait and read what U left; U, coming later, waits for C to end.
- U (UPDATE of a used column) moves, after its statement, the contributions of the source rows it can see. Those by a C
  that held the lock first are committed and, under READ COMMITTED, visible to the trigger's new snapshot. Those by a C
  that comes later will be accounted by C itself against the new parent. A C that has changed a source row but not yet
  asked for the lock is invisible to U, which moves the row's old contribution; C then takes the old one from, and adds
  the new one to, the new parent. Every order gives the sum.
- Under REPEATABLE READ or SERIALIZABLE, C's lock fails with a serialization error when the parent changed after C's
  snapshot. U's snapshot, however, may miss source rows committed since, so U is refused with SQLSTATE 40001.
- DELETE of a parent only notes the parent's used columns in a side table, seen by no other transaction. The foreign
  key removes, re-points or forbids the source rows, in the same transaction and however late in it; the source's own
  trigger accounts for each, with the parent looked up among the living first and the departed second. The foreign key's
  own check catches source rows that a REPEATABLE READ snapshot does not show.
- UPDATE of the parent's key is refused: the two sides could not be matched.
- One statement that changes a parent's used columns and its source rows together (data-modifying CTEs) is refused:
  both triggers run when both changes are done, and neither could know what the other has accounted for. Two
  transaction-local settings, raised before and lowered after, tell.

*Kept by differences*, a rollup gets the same contributions, appended to a log instead of added (see `delta_log`).

*TRUNCATE* of either side empties the rollup; the table lock keeps everybody else away.

Two transactions of several statements each can still deadlock on rollup rows as they can on any rows; PostgreSQL then
ends one of them with 40P01. Nothing fires under ``session_replication_role = replica``.
"""

# ruff: noqa: S608 - statements are made here; every name in them went through sql_text.identifier

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Table

from tailrace.schema.declarations import Rollup, as_table, schema_of
from tailrace.schema.delta_log import append, logs_of
from tailrace.schema.plpgsql import EVENT_ROWS, REFERENCING, Function, block, branch, refuse_if
from tailrace.schema.rollup_sql import (
    PARENT,
    SIGN,
    SOURCE,
    Rows,
    add,
    contribution,
    contribution_of_one,
    folded_table,
    table_name,
)
from tailrace.schema.sql_text import identifier, literal, qualified, short_name
from tailrace.schema.tags import Tags, derived_tags, note, note_one, note_truncate, own_tags
from tailrace.schema.watches import Through, Watch

__all__ = ["TableTriggers", "triggers_of"]


@dataclass(slots=True)
class TableTriggers:
    """Everything declared that concerns writes to one table."""

    table: Table
    watches: list[Watch] = field(default_factory=list)
    through: list[tuple[Watch, Through, bool]] = field(default_factory=list)
    """Children whose key lives here; True: a foreign key guarantees that a new parent has no children yet."""
    rollups: list[Rollup] = field(default_factory=list)
    """Rollups of this table's rows."""
    children: list[Rollup] = field(default_factory=list)
    """Rollups that join this table as the parent."""

    @property
    def name(self) -> str:
        return f"{schema_of(self.table)}.{self.table.name}"

    @property
    def sql_name(self) -> str:
        return qualified(schema_of(self.table), self.table.name)

    @property
    def departed(self) -> str:
        """Where deleted parents are noted until their transaction ends."""
        return qualified("tailrace", short_name(f"departed {self.name}"))

    @property
    def parent_columns(self) -> list[str]:
        """Columns of this table that rollups of its children use; joining columns included."""
        return sorted({c for r in self.children for c in r.used_columns(self.table)})

    def departed_table(self) -> str | None:
        """DDL of `departed`; made anew whenever the triggers are, since it never outlives a transaction."""
        if not self.children:
            return None
        columns = ", ".join(identifier(c) for c in self.parent_columns)
        links = ", ".join(identifier(c) for c in self._links())
        return (
            f"DROP TABLE IF EXISTS {self.departed};\n"
            f"CREATE UNLOGGED TABLE {self.departed} AS SELECT pg_current_xact_id() AS tailrace_xid, {columns} "
            f"FROM {self.sql_name} WITH NO DATA;\n"
            f"CREATE UNIQUE INDEX ON {self.departed} (tailrace_xid, {links})"
        )

    def _links(self) -> list[str]:
        return sorted({r.parent_link.parent_column for r in self.children if r.parent_link})

    def functions(self) -> list[Function]:
        """All triggers of the table, each with its function; those with nothing to do are left out."""
        made = [self._after(event) for event in ("insert", "update", "delete", "truncate")]
        if self.children:
            made += self._parent_row_functions()
        for event in ("insert", "update", "delete"):
            if self._flags():
                body = block([f"PERFORM set_config({literal(flag)}, 'on', true)" for flag in self._flags()])
                made.append(
                    self._function(f"before_{event}", body, f"BEFORE {event.upper()} ON {{table}} FOR EACH STATEMENT")
                )
        return [function for function in made if function is not None]

    def _function(self, event: str, body: str, when: str) -> Function:
        trigger = f"tailrace_{event}" if not event.startswith("row_") else f"zzz_tailrace_{event}"
        return Function(trigger, short_name(f"{self.name} {event}"), body, when)

    def _after(self, event: str) -> Function | None:
        body = self._truncate() if event == "truncate" else self._statements(event)
        if not body:
            return None
        when = f"AFTER {event.upper()} ON {{table}}{REFERENCING[event]} FOR EACH STATEMENT"
        return self._function(event, block(body), when)

    def _statements(self, event: str) -> list[str]:
        body: list[str] = []
        if self._flags():
            body += [
                refuse_if(f"current_setting({literal(_moving(p))}, true) = 'on'", _BOTH, "0A000")
                for p in self._parents()
            ]
        body += [_lock_parents(table, column, key, event) for table, column, key in self._parent_links()]
        body += self._account(event)
        if event == "update" and self.children:
            body.append(self._move_children())
        if event == "delete" and self.children:
            body.append(self._forget_departed())
        body += [f"PERFORM set_config({literal(flag)}, '', true)" for flag in self._flags()]
        return body

    def _account(self, event: str) -> list[str]:
        """Tags and contributions of the statement's rows; in a shorter way where it has one row, as most have."""
        tags = self._tags(event)
        own = [(keep, rollup, self._own_rows(rollup, event)) for keep, rollup in _accounts(self.rollups)]
        many = [note(tags)] if tags else []
        many += [keep(rollup, contribution(rollup, rows)) for keep, rollup, rows in own]
        if event == "update" or not (own or any(t.keyed for t in tags)):
            return many
        one = [note_one(tags)] if tags else []
        one += [keep(rollup, contribution_of_one(rollup, rows)) for keep, rollup, rows in own]
        return [branch(f"EXISTS (SELECT FROM {EVENT_ROWS[event][0]} OFFSET 1)", many, one)]

    def _parents(self) -> list[Table]:
        found = {
            schema_of(r.parent_link.parent) + "." + r.parent_link.parent.name: r.parent_link.parent
            for r in self.rollups
            if r.parent_link
        }
        return [found[name] for name in sorted(found)]

    def _flags(self) -> list[str]:
        return [_writing(parent) for parent in self._parents()]

    def _parent_links(self) -> list[tuple[Table, str, str]]:
        links = {
            (r.parent_link.parent, r.parent_link.column, r.parent_link.parent_column)
            for r in self.rollups
            if r.parent_link
        }
        for watch in self.watches:
            links |= {(as_table(k.parent), k.column, k.parent_column) for k in watch.keys if isinstance(k, Through)}
        return sorted(links, key=lambda link: (schema_of(link[0]), link[0].name, link[1:]))

    def _own_rows(self, rollup: Rollup, event: str) -> Rows:
        columns = [identifier(c) for c in rollup.used_columns(self.table)]
        if event == "update":
            sides = [
                f"SELECT {sign} AS {SIGN}, {', '.join(columns)} FROM {rows}"
                for sign, rows in ((1, "new_rows"), (-1, "old_rows"))
            ]
            source, sign = f"({' UNION ALL '.join(sides)}) {SOURCE}", None
        else:
            source, sign = f"{EVENT_ROWS[event][0]} {SOURCE}", 1 if event == "insert" else -1
        if rollup.parent_link is None:
            return Rows(source, sign)
        link = rollup.parent_link
        parent = TableTriggers(link.parent)
        chosen = ", ".join(identifier(c) for c in rollup.used_columns(link.parent))
        match = f"{identifier(link.parent_column)} = {SOURCE}.{identifier(link.column)}"
        living = f"SELECT {chosen} FROM {parent.sql_name} WHERE {match}"
        if event != "insert":
            gone = f"SELECT {chosen} FROM {parent.departed} WHERE tailrace_xid = pg_current_xact_id() AND {match}"
            living = f"({living}) UNION ALL ({gone})"
        # LIMIT keeps the look-up one index probe a row, however few or many rows the plan was made for.
        return Rows(f"{source} CROSS JOIN LATERAL ({living} LIMIT 1) {PARENT}", sign)

    def _tags(self, event: str) -> list[Tags]:
        return [own_tags(watch, event) for watch in self.watches] + [
            derived_tags(watch, key, event)
            for watch, key, guaranteed in self.through
            if not (event == "insert" and guaranteed)
        ]

    def _truncate(self) -> list[str]:
        # A foreign key makes TRUNCATE cascade, and then the child has a trigger of its own.
        through = [watch for watch, _, guaranteed in self.through if not guaranteed]
        body = [note_truncate(self.watches, through)] if self.watches or through else []
        concerned = (*self.rollups, *self.children)
        emptied = sorted(log.table for log in logs_of(concerned)) + sorted({folded_table(r) for r in concerned})
        return body + ([f"TRUNCATE {', '.join(emptied)}"] if emptied else [])

    # --- as the parent of a join -----------------------------------------------------------------

    def _parent_row_functions(self) -> list[Function]:
        changed = " OR ".join(f"OLD.{identifier(c)} IS DISTINCT FROM NEW.{identifier(c)}" for c in self.parent_columns)
        columns = ", ".join(identifier(c) for c in self.parent_columns)
        links = ", ".join(identifier(c) for c in self._links())
        updates = ", ".join(f"{identifier(c)} = excluded.{identifier(c)}" for c in self.parent_columns)
        note = (
            f"INSERT INTO {self.departed} (tailrace_xid, {columns})\n"
            f"VALUES (pg_current_xact_id(), {', '.join(f'OLD.{identifier(c)}' for c in self.parent_columns)})\n"
            f"ON CONFLICT (tailrace_xid, {links}) DO UPDATE SET {updates}"
        )
        moving = f"PERFORM set_config({literal(_moving(self.table))}, 'on', true)"
        return [
            self._function("row_delete", block([note], "OLD"), "BEFORE DELETE ON {table} FOR EACH ROW"),
            self._function(
                "row_update", block([moving], "NEW"), f"BEFORE UPDATE ON {{table}} FOR EACH ROW WHEN ({changed})"
            ),
        ]

    def _move_children(self) -> str:
        columns = ", ".join(identifier(c) for c in self.parent_columns)
        links = ", ".join(identifier(c) for c in self._links())
        changed = f"EXISTS (SELECT {columns} FROM old_rows EXCEPT ALL SELECT {columns} FROM new_rows)"
        rekeyed = f"EXISTS (SELECT {links} FROM old_rows EXCEPT ALL SELECT {links} FROM new_rows)"
        inner = [
            refuse_if(rekeyed, f"{self.name}: the key that a rollup joins by cannot be updated", "0A000"),
            refuse_if(
                "current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted')",
                f"{self.name}: a column that a rollup uses was updated under a snapshot that cannot show the newest "
                "joined rows: use READ COMMITTED",
                "40001",
            ),
            refuse_if(f"current_setting({literal(_writing(self.table))}, true) = 'on'", _BOTH, "0A000"),
        ]
        inner += [keep(r, contribution(r, self._moved_rows(r))) for keep, r in _accounts(self.children)]
        inner.append(f"PERFORM set_config({literal(_moving(self.table))}, '', true)")
        return branch(changed, inner)

    def _moved_rows(self, rollup: Rollup) -> Rows:
        link = rollup.parent_link
        assert link is not None
        columns = ", ".join(identifier(c) for c in rollup.used_columns(self.table))
        sides = [
            f"SELECT {sign} AS {SIGN}, x.* FROM (SELECT {columns} FROM {a} EXCEPT ALL SELECT {columns} FROM {b}) x"
            for sign, a, b in ((1, "new_rows", "old_rows"), (-1, "old_rows", "new_rows"))
        ]
        child = qualified(schema_of(rollup.source), rollup.source.name)
        chosen = ", ".join(f"c.{identifier(c)}" for c in rollup.used_columns(rollup.source))
        lateral = (
            f"SELECT {PARENT}.{SIGN}, {chosen} FROM {child} c "
            f"WHERE c.{identifier(link.column)} = {PARENT}.{identifier(link.parent_column)} OFFSET 0"
        )
        return Rows(f"({' UNION ALL '.join(sides)}) {PARENT} CROSS JOIN LATERAL ({lateral}) {SOURCE}", None)

    def _forget_departed(self) -> str:
        return (
            "IF current_setting('transaction_isolation') = 'read committed' THEN\n"
            f"    DELETE FROM {self.departed} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {self.departed}\n"
            "        WHERE tailrace_xid < pg_snapshot_xmin(pg_current_snapshot())\n"
            "        LIMIT 1000 FOR UPDATE SKIP LOCKED));\n"
            "END IF"
        )


_BOTH = "one statement changes rows of a rollup and the parents they join: write two statements"


def triggers_of(
    declared: Iterable[Watch | Rollup], guaranteed: frozenset[tuple[str, str, str]] = frozenset()
) -> list[TableTriggers]:
    """Group declarations by the tables whose writes concern them, sorted by name.

    Args:
        declared: watches and rollups.
        guaranteed: (child table, child column, parent table) of foreign keys that are checked at once.
    """
    tables: dict[str, TableTriggers] = {}

    def of(table: Table) -> TableTriggers:
        made = TableTriggers(table)
        return tables.setdefault(made.name, made)

    for item in declared:
        if isinstance(item, Rollup):
            of(item.source).rollups.append(item)
            if item.parent is not None:
                of(item.parent).children.append(item)
            continue
        own = of(item.source)
        own.watches = [Watch(item.table, tuple(dict.fromkeys(k for w in (*own.watches, item) for k in w.keys)))]
        for key in item.keys:
            if isinstance(key, Through):
                parent = of(as_table(key.parent))
                parent.through.append((item, key, (own.name, key.column, parent.name) in guaranteed))
    return [tables[name] for name in sorted(tables)]


def _accounts(rollups: Sequence[Rollup]) -> list[tuple[Callable[[Rollup, str], str], Rollup]]:
    """Where contributions go and how: to rollups kept at once, in the order in which all lock them, and to logs."""
    kept = sorted((rollup for rollup in rollups if rollup.maintenance == "immediate"), key=table_name)
    return [(add, rollup) for rollup in kept] + [(append, log.rows) for log in logs_of(rollups)]


def _flag(kind: str, table: Table) -> str:
    return f"tailrace.{kind}_{hashlib.sha256(f'{schema_of(table)}.{table.name}'.encode()).hexdigest()[:12]}"


def _moving(table: Table) -> str:
    return _flag("moving", table)


def _writing(table: Table) -> str:
    return _flag("writing", table)


def _lock_parents(parent: Table, column: str, key: str, event: str) -> str:
    wanted = " UNION ALL ".join(f"SELECT {identifier(column)} FROM {rows}" for rows in EVENT_ROWS[event])
    table = TableTriggers(parent).sql_name
    name = f"p.{identifier(key)}"
    return f"PERFORM 1 FROM {table} p WHERE {name} = ANY (ARRAY({wanted})) ORDER BY {name} FOR SHARE"
