"""Words of texts as rows, so that BM25 is a sum in SQL. Pure: SQL text.

A posting says how much a word says in a text; that of the word ``''`` stands for the text itself.

    weight = f * (k1 + 1) / (f + k1 * (1 - b + b * length / typical length))

with ``f`` how often the word is in the text. What it is worth to have a rare word (``idf``) is reckoned when asked.

The rows are kept by the transactions that write the texts. While the table is being filled, the filling holds a share
lock on the rows it reads, so a write comes wholly before or wholly after; it takes no row that is locked, so nobody
waits for it crosswise.

**Source:** Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009).
"""

# ruff: noqa: S608 - statements are made here; every name in them goes through sql_text.identifier

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tailrace.schema.sql_text import identifier, literal, qualified, short_name

__all__ = ["SELF", "Source"]

K1 = 1.2
B = 0.75
SELF = ""
"""The word that stands for the text itself."""
LONGEST = 200_000
"""Characters of a text that are read; PostgreSQL refuses documents whose words take more than a megabyte."""
PIECE = 2_000
"""Texts that are filled in at a time."""

_EVENTS = {
    "insert": "REFERENCING NEW TABLE AS new_rows",
    "update": "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
    "delete": "REFERENCING OLD TABLE AS old_rows",
    "truncate": "",
}


@dataclass(frozen=True, slots=True)
class Source:
    """Where the texts are and how they are read.

    Args:
        schema, table, key: of the texts.
        texts: columns that make up a text, in order.
        vector: the column of its vector, emptied when the text changes.
        tenant: the column that says whose it is; None where all are everybody's.
        postings: the table of postings, in the same schema.
        language: a text search configuration.
        typical_length: words of a text of ordinary length.
    """

    schema: str
    table: str
    key: str
    texts: tuple[str, ...]
    vector: str
    tenant: str | None
    postings: str
    language: str
    typical_length: int

    def document(self, row: str) -> str:
        """The text of ``row``, as an expression."""
        columns = ", ".join(f"{row}.{identifier(name)}" for name in self.texts)
        return f"left(concat_ws(E'\\n', {columns}), {LONGEST})"

    def keep(self) -> list[str]:
        """What keeps the postings right."""
        made = [text for event in _EVENTS for text in self._trigger(event)]
        return [*made, *self._forgetting()]

    def undo(self) -> list[str]:
        """What takes that away."""
        return [f"DROP FUNCTION IF EXISTS {self._function(name)} CASCADE" for name in (*_EVENTS, "outdated")]

    def fill(self) -> str:
        """Add the postings of some texts that have none, and return how many it found, those that it skipped too."""
        missing = f"FROM {self._texts} s WHERE NOT EXISTS (SELECT FROM {self._postings} p WHERE {self._own('s')})"
        return f"""
WITH missing AS MATERIALIZED (SELECT s.* {missing} LIMIT {PIECE} FOR SHARE OF s SKIP LOCKED),
begun AS ({self._insert_own("missing")} RETURNING document),
filled AS ({self._insert_words("missing", f"WHERE s.{self._key} IN (SELECT document FROM begun)")})
SELECT count(*) FROM (SELECT {missing} LIMIT {PIECE}) found
"""

    @property
    def _texts(self) -> str:
        return qualified(self.schema, self.table)

    @property
    def _postings(self) -> str:
        return qualified(self.schema, self.postings)

    @property
    def _key(self) -> str:
        return identifier(self.key)

    def _own(self, row: str) -> str:
        """Which posting ``p`` stands for the text ``row`` itself."""
        own = f"p.word = '{SELF}' AND p.document = {row}.{self._key}"
        return own if self.tenant is None else f"{own} AND p.tenant = {row}.{identifier(self.tenant)}"

    def _columns(self, row: str) -> tuple[str, str]:
        """Columns that every posting has beside its word and weight, and what ``row`` has for them."""
        if self.tenant is None:
            return "document", f"{row}.{self._key}"
        return "document, tenant", f"{row}.{self._key}, {row}.{identifier(self.tenant)}"

    def _insert_own(self, rows: str, where: str = "") -> str:
        columns, values = self._columns("s")
        return (
            f"INSERT INTO {self._postings} (word, weight, {columns}) "
            f"SELECT '{SELF}', 0, {values} FROM {rows} s {where} ON CONFLICT DO NOTHING"
        )

    def _insert_words(self, rows: str, where: str = "") -> str:
        columns, values = self._columns("s")
        words = f"to_tsvector({literal(self.language)}::regconfig, {self.document('s')})"
        length = "(SELECT sum(cardinality(u.positions)) FROM unnest(d.words) u)"
        weight = f"w.f * {K1 + 1} / (w.f + {K1} * ({1 - B} + {B} * l.length / {float(self.typical_length)}))"
        return f"""INSERT INTO {self._postings} (word, weight, {columns})
    SELECT w.lexeme, {weight}, {values}
    FROM {rows} s CROSS JOIN LATERAL (SELECT {words} AS words OFFSET 0) d
    CROSS JOIN LATERAL (SELECT {length}::float8 AS length OFFSET 0) l
    CROSS JOIN LATERAL (SELECT lexeme, cardinality(positions)::float8 AS f FROM unnest(d.words)) w
    {where}"""

    def _trigger(self, event: str) -> Iterator[str]:
        """A trigger of the texts and its function, which works whoever writes and wherever that one looks for names."""
        yield from self._new_function(event, f"BEGIN\n    {self._follow(event)}\n    RETURN NULL;\nEND")
        yield (
            f"CREATE TRIGGER {self._trigger_name(event)} AFTER {event.upper()} ON {self._texts} "
            f"{_EVENTS[event]} FOR EACH STATEMENT EXECUTE FUNCTION {self._function(event)}"
        )

    def _follow(self, event: str) -> str:
        if event == "insert":
            return f"{self._insert_own('new_rows')};\n    {self._insert_words('new_rows')};"
        if event == "delete":
            return f"DELETE FROM {self._postings} p USING old_rows o WHERE p.document = o.{self._key};"
        if event == "truncate":
            return f"TRUNCATE {self._postings};"
        names = (*self.texts, *(() if self.tenant is None else (self.tenant,)))
        unchanged = (
            f"SELECT n.{self._key} FROM new_rows n JOIN old_rows o USING ({self._key}) "
            f"WHERE {_row('o', names)} IS NOT DISTINCT FROM {_row('n', names)}"
        )
        changed = f"s.{self._key} NOT IN ({unchanged})"
        return f"""DELETE FROM {self._postings} p USING old_rows s WHERE p.document = s.{self._key} AND {changed};
    {self._insert_own("new_rows", f"WHERE {changed}")};
    {self._insert_words("new_rows", f"WHERE {changed}")};"""

    def _forgetting(self) -> Iterator[str]:
        """Empty the vector of a text that changes, unless a new one is given with it."""
        vector = identifier(self.vector)
        yield from self._new_function(
            "outdated",
            f"BEGIN\n    IF OLD.{vector}::text IS NOT DISTINCT FROM NEW.{vector}::text THEN NEW.{vector} := NULL; "
            "END IF;\n    RETURN NEW;\nEND",
        )
        columns = ", ".join(identifier(name) for name in self.texts)
        yield (
            f"CREATE TRIGGER {self._trigger_name('outdated')} BEFORE UPDATE OF {columns} ON {self._texts} FOR EACH ROW "
            f"WHEN ({_row('OLD', self.texts)} IS DISTINCT FROM {_row('NEW', self.texts)}) "
            f"EXECUTE FUNCTION {self._function('outdated')}"
        )

    def _new_function(self, name: str, body: str) -> Iterator[str]:
        yield (
            f"CREATE FUNCTION {self._function(name)} RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER\n"
            f"SET search_path = pg_catalog, pg_temp AS $body$\n{body}\n$body$"
        )
        yield f"REVOKE ALL ON FUNCTION {self._function(name)} FROM PUBLIC"

    def _function(self, name: str) -> str:
        return qualified(self.schema, short_name(f"{self.postings}_{name}")) + "()"

    def _trigger_name(self, name: str) -> str:
        return identifier(short_name(f"zz_{self.postings}_{name}"))


def _row(alias: str, names: tuple[str, ...]) -> str:
    return "(" + ", ".join(f"{alias}.{identifier(name)}" for name in names) + ")"
