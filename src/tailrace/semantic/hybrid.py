"""Search by words and by meaning in PostgreSQL, declared beside the table. Pure: declarations and SQL text.

    PASSAGES = HybridSearch(contents, texts=("title", "body"), vector="embedding")
    objects = [*PASSAGES.objects()]  # for ``tailrace schema apply``
    found = await Retriever(database, PASSAGES, embedder).search("why are indexes not used?", limit=5)

Words are ranked by BM25 over postings, meanings by the distance of vectors in an HNSW index; the two lists are fused by
reciprocal rank, in one statement.

**Source:** Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion" (2009); pgvector's documentation of HNSW.
"""

# ruff: noqa: S608 - statements are made here; every name in them goes through sql_text.identifier

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import REAL, Column, MetaData, PrimaryKeyConstraint, Table, Text

from tailrace.errors import SchemaError
from tailrace.schema import Declaration, Index, KeptTable
from tailrace.schema.declarations import as_table, schema_of
from tailrace.schema.sql_text import identifier, literal, qualified, short_name, type_name
from tailrace.semantic.postings import Source

__all__ = ["CANDIDATES", "SCANNED", "HybridSearch"]

CANDIDATES = 100
"""Texts that each of the two lists contributes, at most."""
COMMON = 10_000
"""A word that is in as many texts says little, and reading where it is takes long: it is left out."""
FUSION = 60
"""The constant of reciprocal rank fusion: how little the first places weigh more than the next ones."""
VECTOR_TYPES = ("halfvec", "vector")
# As many candidates as are wanted, and further ones where a tenant's are rare among the nearest. It depends on no row,
# so PostgreSQL looks at it once, before the first row is asked for, which is when pgvector reads what it sets; until
# the end of the transaction.
SCANNED = (
    f"(SELECT set_config('hnsw.ef_search', '{CANDIDATES}', true)"
    " || set_config('hnsw.iterative_scan', 'relaxed_order', true)) IS NOT NULL"
)
"""A condition of statements that read an HNSW index: it is always true, and sets how thoroughly they do."""


@dataclass(frozen=True, eq=False)
class HybridSearch:
    """One table whose texts are searched.

    Args:
        table: a ``Table`` or mapped class with one primary key column.
        texts: columns that together are a text, in order.
        vector: its column of type ``halfvec`` or ``vector``; NULL until it is embedded.
        tenant: the column, never NULL, that says whose a text is; searches then are within one tenant.
        language: the text search configuration that makes words of texts and questions.
        typical_length: words of an ordinary text; a longer one has to say a word more often.
    """

    table: Any
    texts: Sequence[str]
    vector: str
    tenant: str | None = None
    language: str = "english"
    typical_length: int = 100

    def __post_init__(self) -> None:
        for name in (*self.texts, self.vector, *(() if self.tenant is None else (self.tenant,))):
            if name not in self.source.c:
                raise SchemaError(f"{self.source.name} has no column {name}")
        if not self.texts or len(self.source.primary_key.columns) != 1:
            raise SchemaError(f"search in {self.source.name}: needs a text and a primary key of one column")
        if self.vector_type not in VECTOR_TYPES:
            raise SchemaError(
                f"{self.source.name}.{self.vector} is {self.vector_type}, not {' or '.join(VECTOR_TYPES)}"
            )

    @property
    def source(self) -> Table:
        """The table of the texts."""
        return as_table(self.table)

    @property
    def key(self) -> Column[Any]:
        """What a text is known by."""
        return next(iter(self.source.primary_key.columns))

    @property
    def vector_type(self) -> str:
        """``halfvec`` or ``vector``."""
        return type_name(self.source.c[self.vector]).partition("(")[0].lower()

    @cached_property
    def postings(self) -> Table:
        """Which text has which words."""
        tenant = [] if self.tenant is None else [Column("tenant", self.source.c[self.tenant].type, nullable=False)]
        key = PrimaryKeyConstraint(
            *(column.name for column in tenant), "word", "document", postgresql_include=["weight"]
        )
        return Table(
            short_name(f"{self.source.name}_postings"),
            MetaData(),
            *tenant,
            Column("word", Text, nullable=False),
            Column("document", self.key.type, nullable=False, autoincrement=False),
            Column("weight", REAL, nullable=False),
            key,
            schema=self.source.schema,
        )

    def objects(self) -> tuple[Declaration, ...]:
        """What the database keeps for it: postings, kept by the transactions that write, and indexes.

        Texts that wait for their vectors have one of their own: else whoever looks for the last ones reads all others.
        """
        name = self.source.name
        described = self._described
        return (
            KeptTable(self.postings, keep=described.keep(), undo=described.undo(), fill=described.fill()),
            Index(short_name(f"{name}_postings_document"), self.postings, ["document"]),
            Index(
                short_name(f"{name}_{self.vector}_hnsw"),
                self.source,
                [self.vector],
                using="hnsw",
                operator_class=f"{self.vector_type}_cosine_ops",
            ),
            Index(
                short_name(f"{name}_{self.vector}_waiting"),
                self.source,
                [self.key],
                where=self.source.c[self.vector].is_(None),
            ),
        )

    def statement(self, columns: Sequence[str]) -> str:
        """The search, with the parameters ``question``, ``vector`` (as text), ``limit`` and, with tenants, ``tenant``.

        Args:
            columns: of the texts' table, returned after ``key``, ``score``, the places in the two lists, and what is
                the same in each row: the cosine of the nearest text, the words that say something, whether any text
                has one.
        """
        texts, key = self._names
        of_tenant = "" if self.tenant is None else "p.tenant = :tenant AND "
        own = "" if self.tenant is None else f" AND s.{identifier(self.tenant)} = :tenant"
        vector = f"CAST(CAST(:vector AS text) AS {self.vector_type})"
        distance = f"s.{identifier(self.vector)} <=> {vector}"
        table = literal(texts)
        postings = f"FROM {qualified(schema_of(self.postings), self.postings.name)} p WHERE {of_tenant}p.word ="
        return f"""
WITH words AS MATERIALIZED (
    SELECT l.lexeme AS word, ln(1 + (greatest(t.texts - c.found_in, 0) + 0.5) / (c.found_in + 0.5::float8)) AS worth
    FROM unnest(to_tsvector(CAST({literal(self.language)} AS regconfig), :question)) l
    CROSS JOIN LATERAL (SELECT count(*) AS found_in FROM (SELECT {postings} l.lexeme LIMIT {COMMON}) held) c
    CROSS JOIN (SELECT reltuples::float8 AS texts FROM pg_class WHERE oid = CAST({table} AS regclass)) t
    WHERE c.found_in < {COMMON}
), by_words AS (
    SELECT document, row_number() OVER (ORDER BY said DESC, document) AS place FROM (
        SELECT document, CAST(sum(worth * weight) * 10000 AS bigint) AS said
        FROM words w CROSS JOIN LATERAL (SELECT p.document, p.weight {postings} w.word OFFSET 0) held
        GROUP BY document ORDER BY said DESC, document LIMIT {CANDIDATES}
    ) best
), nearest AS MATERIALIZED (
    SELECT s.{key} AS document, {distance} AS distance FROM {texts} s
    WHERE {SCANNED} AND s.{identifier(self.vector)} IS NOT NULL{own} ORDER BY {distance} LIMIT {CANDIDATES}
), by_meaning AS (
    SELECT document, row_number() OVER (ORDER BY distance, document) AS place FROM nearest
), fused AS (
    SELECT document, coalesce(1 / ({FUSION}.0::float8 + w.place), 0) + coalesce(1 / ({FUSION}.0::float8 + m.place), 0)
        AS score, w.place AS by_words, m.place AS by_meaning
    FROM by_words w FULL JOIN by_meaning m USING (document) ORDER BY score DESC, document LIMIT :limit
)
SELECT f.document AS key, f.score, f.by_words, f.by_meaning, (SELECT 1 - min(distance) FROM nearest) AS nearest,
    (SELECT count(*) FROM words) AS words, EXISTS (SELECT FROM by_words) AS worded
    {"".join(f", s.{identifier(name)}" for name in columns)}
FROM fused f JOIN {texts} s ON s.{key} = f.document ORDER BY f.score DESC, f.document
"""

    def unembedded(self) -> str:
        """Some texts without a vector, locked against other embedders; the parameter ``limit``."""
        return f"{self._unembedded()} FOR NO KEY UPDATE SKIP LOCKED"

    def unembedded_versions(self, *, after: bool = False) -> str:
        """The same with their rows' ``version``, and nothing is locked; if ``after``, those that follow that key."""
        key = identifier(self.key.name)
        further = f" AND s.{key} < CAST(CAST(:after AS text) AS {type_name(self.key)})" if after else ""
        return self._unembedded(", s.xmin::text AS version", further)

    def _unembedded(self, more: str = "", further: str = "") -> str:
        texts, key = self._names
        return (
            f"SELECT s.{key} AS key, {self._described.document('s')} AS text{more} FROM {texts} s "
            f"WHERE s.{identifier(self.vector)} IS NULL{further} ORDER BY s.{key} DESC LIMIT :limit"
        )

    def embedded(self, *, versioned: bool = False) -> str:
        """Give texts their vectors; the parameters ``keys`` and ``vectors``, arrays of texts.

        If ``versioned``, there are ``versions``, too, and rows that were written since have others: they are left out.
        """
        texts, key = self._names
        kind = type_name(self.key)
        # Whoever writes a row gives it another xmin; whoever only locks it does not.
        names = {"key": "keys", "vector": "vectors"} | ({"version": "versions"} if versioned else {})
        arrays = ", ".join(f"CAST(:{given} AS text[])" for given in names.values())
        return (
            f"UPDATE {texts} s SET {identifier(self.vector)} = CAST(n.vector AS {self.vector_type}) FROM "
            f"unnest({arrays}) AS n ({', '.join(names)}) "
            f"WHERE s.{key} = CAST(n.key AS {kind}){' AND s.xmin::text = n.version' if versioned else ''}"
        )

    def waiting(self) -> str:
        """How many texts have no vector."""
        return f"SELECT count(*) FROM {self._names[0]} s WHERE s.{identifier(self.vector)} IS NULL"

    @property
    def _names(self) -> tuple[str, str]:
        return qualified(schema_of(self.source), self.source.name), identifier(self.key.name)

    @property
    def _described(self) -> Source:
        return Source(
            schema=schema_of(self.source),
            table=self.source.name,
            key=self.key.name,
            texts=tuple(self.texts),
            vector=self.vector,
            tenant=self.tenant,
            postings=self.postings.name,
            language=self.language,
            typical_length=self.typical_length,
        )
