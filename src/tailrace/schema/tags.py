"""Cache tags of a statement, as one INSERT into the outbox. Pure: SQL text only.

A row leaves the tags of its keys (``calls:user_id=42``); whoever writes stamps knows from them that the table changed.
The bare tag of the table is written only where there is no key to name, ``calls:*`` in place of very many.
"""

# ruff: noqa: S608 - statements are made here; every name in them went through sql_text.identifier

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tailrace.schema.declarations import as_table, schema_of
from tailrace.schema.plpgsql import EVENT_ROWS
from tailrace.schema.sql_text import identifier, literal, qualified, render
from tailrace.schema.watches import Key, Through, Watch, Where

__all__ = ["MANY_KEYS", "Tags", "derived_tags", "note", "note_one", "note_truncate", "own_tags"]

MANY_KEYS = 100
"""A statement that touches more keys than this writes one wide tag in place of theirs."""


@dataclass(frozen=True, slots=True)
class Tags:
    """What one watch wants to be written.

    Args:
        table: the watched table's tag.
        keyed: SELECTs of keyed tags, each with as many rows as its transition table, or fewer.
        rows: a transition table that has a row when the watched table was written; None if the table may be unchanged.
        certain: every row yields a keyed tag.
        single: one row yields no tag twice.
    """

    table: str
    keyed: Sequence[str]
    rows: str | None
    certain: bool
    single: bool


def own_tags(watch: Watch, event: str) -> Tags:
    """Tags of writes to the watched table itself."""
    sides = EVENT_ROWS[event]
    keyed = [_keyed(watch, key, rows) for key in watch.keys for rows in sides]
    certain = any(isinstance(key, str) for key in watch.keys)
    return Tags(watch.tag, keyed, sides[0], certain, len(sides) == 1)


def derived_tags(watch: Watch, key: Through, event: str) -> Tags:
    """Tags of the watched table's rows whose key changes because their parent's does."""
    return Tags(watch.tag, [_derived(watch, key, event)], None, False, event != "update")


def note(wanted: Sequence[Tags]) -> str:
    """Write the tags of any number of rows, each once."""
    return _insert([_many(tags) for tags in wanted])


def note_one(wanted: Sequence[Tags]) -> str:
    """Write the tags of at most one row: there is nothing to tell apart or to count."""
    selects: list[str] = []
    for tags in wanted:
        simple = tags.keyed and tags.single and (tags.certain or tags.rows is None)
        selects += tags.keyed if simple else [_many(tags)]
    return _insert(selects)


def note_truncate(own: Sequence[Watch], through: Sequence[Watch]) -> str:
    """Write that any row may be gone: ``own`` lose theirs, ``through`` the parents that name their keys."""
    names = [f"{watch.tag}:*" if watch.keys else watch.tag for watch in own] + [f"{watch.tag}:*" for watch in through]
    return "INSERT INTO tailrace.outbox (tag) VALUES " + ", ".join(f"({literal(n)})" for n in dict.fromkeys(names))


def _insert(selects: Sequence[str]) -> str:
    return "INSERT INTO tailrace.outbox (tag)\n" + "\nUNION ALL ".join(selects)


def _many(tags: Tags) -> str:
    changed = f"WHERE EXISTS (SELECT FROM {tags.rows})"
    if not tags.keyed:
        return f"SELECT {literal(tags.table)} {changed}"
    union = "\n        UNION ALL ".join(tags.keyed)
    unnamed = tags.rows is not None and not tags.certain
    return (
        "SELECT unnest(CASE"
        + (f" WHEN k = '{{}}' THEN ARRAY[{literal(tags.table)}]" if unnamed else "")
        + f" WHEN cardinality(k) <= {MANY_KEYS} THEN k ELSE ARRAY[{literal(f'{tags.table}:*')}] END)\n"
        f"FROM (SELECT coalesce(array_agg(tag), '{{}}') AS k FROM (SELECT DISTINCT tag FROM (\n        {union}) u\n"
        f"    LIMIT {MANY_KEYS + 1}) d) g" + (f" {changed}" if unnamed else "")
    )


def _tag(prefix: str, column: str, value: str) -> str:
    return f"{literal(f'{prefix}:{column}=')} || coalesce({value}::text, 'None') AS tag"


def _tag_where(prefix: str, where: Where) -> str:
    return f"{literal(f'{prefix}:{where.name}=true')} AS tag"


def _holds(where: Where, table: object, alias: str) -> str:
    return f"({render(where.condition, {as_table(table): alias})})"


def _keyed(watch: Watch, key: Key, rows: str) -> str:
    if isinstance(key, str):
        return f"SELECT {_tag(watch.tag, key, f's.{identifier(key)}')} FROM {rows} s"
    if isinstance(key, Where):
        return f"SELECT {_tag_where(watch.tag, key)} FROM {rows} s WHERE {_holds(key, watch.table, 's')}"
    source = as_table(key.parent)
    parent = qualified(schema_of(source), source.name)
    match = f"{identifier(key.parent_column)} = s.{identifier(key.column)}"
    if isinstance(key.key, Where):
        look_up = f"SELECT FROM {parent} p WHERE p.{match} AND {_holds(key.key, source, 'p')} LIMIT 1"
        return f"SELECT {_tag_where(watch.tag, key.key)} FROM {rows} s CROSS JOIN LATERAL ({look_up}) p"
    look_up = f"SELECT {identifier(key.key)} AS k FROM {parent} WHERE {match} LIMIT 1"
    return f"SELECT {_tag(watch.tag, key.key, 'p.k')} FROM {rows} s CROSS JOIN LATERAL ({look_up}) p"


def _derived(watch: Watch, key: Through, event: str) -> str:
    columns = identifier(key.parent_column)
    if isinstance(key.key, Where):
        name, among = _tag_where(watch.tag, key.key), f" s WHERE {_holds(key.key, key.parent, 's')}"
    else:
        name, among = _tag(watch.tag, key.key, f"s.{identifier(key.key)}"), ""
        columns += f", {identifier(key.key)}"
    if event != "update":
        return f"SELECT {name} FROM {EVENT_ROWS[event][0]}{among or ' s'}"
    sides = [
        f"(SELECT {columns} FROM {a}{among} EXCEPT ALL SELECT {columns} FROM {b}{among})"
        for a, b in (("new_rows", "old_rows"), ("old_rows", "new_rows"))
    ]
    return f"SELECT {name} FROM ({' UNION ALL '.join(sides)}) s"
