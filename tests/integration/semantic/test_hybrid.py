"""Search by words and by meaning: what is found, and that it follows every write."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import asyncpg
import numpy as np
import pytest
from sqlalchemy import text as sql_text
from tests.integration.semantic.conftest import OWN_SEARCH, SEARCH, notes

from tailrace.db import Database
from tailrace.errors import SchemaError
from tailrace.schema import Progress, apply
from tailrace.semantic import Embedder, EmbeddingProgress, HybridSearch, Retriever, embed_texts, embed_waiting
from tailrace.semantic.embedder import Vector

TEXTS = [
    "How to make sourdough bread at home with nothing but flour, water and salt",
    "An index in PostgreSQL is not used when the planner expects a sequential scan to be cheaper",
    "Running shoes for long distances: what to look for before a marathon",
    "Why do cats purr? A veterinarian explains",
    "Interest rates and what they mean for first time home buyers",
]

WRONG = """
SELECT count(*) FROM (
    SELECT '' AS word, id FROM notes
    UNION ALL SELECT lexeme, id FROM notes, unnest(to_tsvector('english', title || E'\\n' || body))
) n FULL JOIN notes_postings p ON p.word = n.word AND p.document = n.id WHERE n.id IS NULL OR p.document IS NULL
"""
"""Postings that are missing or left over."""


def whose(search: HybridSearch) -> int | None:
    return None if search.tenant is None else 1


async def write(connection: asyncpg.Connection, *bodies: str, owner: int = 1) -> None:
    await connection.executemany("INSERT INTO notes (owner, body) VALUES ($1, $2)", [(owner, body) for body in bodies])


async def test_courtesy_moves_nothing(
    kept: asyncpg.Connection, database: Database, embedder: Embedder, search: HybridSearch
) -> None:
    """However politely the same is asked, the same is found in the same order, as near as it was."""
    await write(kept, *TEXTS, "Please wait exactly ten minutes")
    await embed_texts(database, search, embedder)
    retriever = Retriever(database, search, embedder)
    plain = await retriever.search("How do I bake a loaf", tenant=whose(search))
    for courteous in ("How do I bake a loaf please, exactly?", "Hello, how do I bake a loaf? Thank you!"):
        assert await retriever.search(courteous, tenant=whose(search)) == plain


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("index not used", 1),
        ("the database reads the whole table although there is a key on the column", 1),
        ("the sound of a happy kitten", 3),
        ("mortgage costs", 4),
        ("baking a loaf", 0),
    ],
)
async def test_words_and_meanings_are_found(
    kept: asyncpg.Connection, database: Database, embedder: Embedder, search: HybridSearch, question: str, answer: int
) -> None:
    """The text that answers comes first, whether it has the question's words or none of them."""
    await write(kept, *TEXTS)
    assert await embed_texts(database, search, embedder) == len(TEXTS)
    found = await Retriever(database, search, embedder, columns=["body"]).search(
        question, limit=3, tenant=whose(search)
    )
    assert found[0].columns["body"] == TEXTS[answer]
    assert [item.score for item in found] == sorted((item.score for item in found), reverse=True)


async def test_a_new_text_is_found_at_once(
    kept: asyncpg.Connection, database: Database, embedder: Embedder, search: HybridSearch
) -> None:
    """By its words, before it has a vector; one that is gone is not found."""
    await write(kept, *TEXTS)
    retriever = Retriever(database, search, embedder)
    found = await retriever.search("purring cats", tenant=whose(search))
    assert [(item.by_words, item.by_meaning) for item in found] == [(1, None)]
    await kept.execute("DELETE FROM notes WHERE id = $1", found[0].key)
    assert await retriever.search("purring cats", tenant=whose(search)) == []


async def test_postings_follow_every_write(kept: asyncpg.Connection, search: HybridSearch) -> None:
    """Inserts, changes of texts, keys and owners, deletions, and what changes no text."""
    await write(kept, *TEXTS, "", "the and of", "x" * 3000)
    assert await kept.fetchval(WRONG) == 0
    for statement in (
        "UPDATE notes SET body = body || ' afterwards', title = 'New' WHERE id % 2 = 0",
        "UPDATE notes SET id = id + 100 WHERE id < 3",
        "UPDATE notes SET owner = 2 WHERE id = 4",
        "UPDATE notes SET title = title",
        "DELETE FROM notes WHERE id IN (4, 5)",
        "INSERT INTO notes (id, body) VALUES (101, 'again') ON CONFLICT (id) DO UPDATE SET body = excluded.body",
    ):
        await kept.execute(statement)
        assert await kept.fetchval(WRONG) == 0, statement
    if search.tenant is not None:
        wrong = "SELECT count(*) FROM notes_postings p JOIN notes n ON n.id = p.document WHERE n.owner <> p.tenant"
        assert await kept.fetchval(wrong) == 0
    await kept.execute("TRUNCATE notes")
    assert await kept.fetchval("SELECT count(*) FROM notes_postings") == 0


async def test_a_changed_text_loses_its_vector(
    kept: asyncpg.Connection, database: Database, embedder: Embedder, search: HybridSearch
) -> None:
    """The old text's vector would find the new one; what changes beside the text, or with its vector, keeps it."""
    await write(kept, *TEXTS)
    await embed_texts(database, search, embedder)
    unembedded = "SELECT array_agg(id ORDER BY id) FROM notes WHERE embedding IS NULL"
    await kept.execute("UPDATE notes SET owner = owner, title = title")
    assert await kept.fetchval(unembedded) is None
    await kept.execute("UPDATE notes SET body = 'other' WHERE id = 2")
    assert await kept.fetchval(unembedded) == [2]
    new = str(np.ones(384).tolist())
    await kept.execute("UPDATE notes SET body = 'other', embedding = $1::text::halfvec WHERE id = 3", new)
    assert await kept.fetchval(unembedded) == [2]
    assert await embed_texts(database, search, embedder) == 1


async def test_what_was_there_is_filled_in_while_others_write(
    database_url: str, connection: asyncpg.Connection, search: HybridSearch
) -> None:
    """Writers meet the filling anywhere: nothing is missing, left over or there twice, and nobody waits for ever."""
    await connection.execute(
        "INSERT INTO notes (body) SELECT 'word' || n || ' and others ' || n % 7 FROM generate_series(1, 6000) n"
    )
    writing: list[asyncio.Task[None]] = []

    async def change(number: int) -> None:
        writer = await asyncpg.connect(database_url)
        await writer.execute("UPDATE notes SET body = body || ' changed' || $1 WHERE id % 9 = $2", str(number), number)
        await writer.execute("DELETE FROM notes WHERE id % 31 = $1", number)
        await writer.execute("INSERT INTO notes (body) VALUES ('born meanwhile')")
        await writer.close()

    def meanwhile(step: Progress) -> None:
        if step.kind == "table" and len(writing) < 8:
            writing.append(asyncio.create_task(change(len(writing))))

    await apply(database_url, search.objects(), progress=meanwhile)
    await asyncio.gather(*writing)
    assert len(writing) > 2
    assert await connection.fetchval(WRONG) == 0
    assert not await apply(database_url, search.objects())


async def test_tenants_are_apart(connection: asyncpg.Connection, database: Database, embedder: Embedder) -> None:
    """Nobody finds another's texts, however few are their own among very many."""
    await apply(database.url, OWN_SEARCH.objects())
    await write(connection, *[f"{text} ({number})" for text in TEXTS for number in range(60)], owner=2)
    await write(connection, "My cat purrs", owner=1)
    await embed_texts(database, OWN_SEARCH, embedder)
    retriever = Retriever(database, OWN_SEARCH, embedder, columns=["owner"])
    for question in ("why do cats purr", "bread", "planner"):
        found = await retriever.search(question, tenant=1)
        assert [(item.columns["owner"], item.by_meaning) for item in found] == [(1, 1)]
    with pytest.raises(ValueError, match="tenant"):
        await retriever.search("why do cats purr")


async def test_embedding_can_be_stopped_anywhere(
    kept: asyncpg.Connection, database: Database, embedder: Embedder, search: HybridSearch
) -> None:
    """What is cancelled in the middle leaves whole batches; two that run again share what is left."""
    await write(kept, *TEXTS * 30)
    told: list[EmbeddingProgress] = []
    stopped = asyncio.create_task(embed_texts(database, search, embedder, progress=told.append))

    def stop_after_two(step: EmbeddingProgress) -> None:
        told.append(step)
        if len(told) == 2:
            stopped.cancel()

    stopped.cancel()
    await asyncio.gather(stopped, return_exceptions=True)
    stopped = asyncio.create_task(embed_texts(database, search, embedder, progress=stop_after_two))
    await asyncio.gather(stopped, return_exceptions=True)
    left = await kept.fetchval("SELECT count(*) FROM notes WHERE embedding IS NULL")
    assert stopped.cancelled()
    assert left == told[-1].waiting == 150 - told[-1].done > 0
    assert sum(await asyncio.gather(*[embed_texts(database, search, embedder) for _ in range(2)])) == left


async def test_vectors_that_are_made_beside_requests_are_the_same(
    kept: asyncpg.Connection, database: Database, embedder: Embedder, search: HybridSearch
) -> None:
    """The newest first, no more than are asked for, and seldom written: the first alone, then many together."""
    await write(kept, *TEXTS * 120)
    told: list[EmbeddingProgress] = []
    assert await embed_waiting(database, search, embedder, most=590, progress=told.append) == 590
    assert told == [EmbeddingProgress(250, 350), EmbeddingProgress(590, 10)]
    writes = "SELECT xmin::text, count(*), min(id) FROM notes WHERE embedding IS NOT NULL GROUP BY 1 ORDER BY 3 DESC"
    assert [row["count"] for row in await kept.fetch(writes)] == [250, 340]
    assert await kept.fetchval("SELECT max(id) FROM notes WHERE embedding IS NULL") == 10
    vectors = "SELECT array_agg(embedding::text ORDER BY id) FROM notes WHERE id > 580"
    beside = await kept.fetchval(vectors)
    await kept.execute("UPDATE notes SET embedding = NULL WHERE id > 580")
    assert await embed_texts(database, search, embedder) == 30
    assert await kept.fetchval(vectors) == beside
    assert await embed_waiting(database, search, embedder) == 0


async def test_what_is_being_written_is_not_lost(
    kept: asyncpg.Connection, database: Database, embedder: Embedder, search: HybridSearch
) -> None:
    """Whoever is cancelled while vectors wait for a lock leaves them written, and no work under way behind."""
    await write(kept, *TEXTS * 60)
    held = asyncio.Event()

    async def hold() -> None:
        async with kept.transaction():
            await kept.execute("SELECT FROM notes WHERE id = 300 FOR UPDATE")
            held.set()
            while await kept.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted") == 0:
                await asyncio.sleep(0.01)
            stopped.cancel()

    holding = asyncio.create_task(hold())
    await held.wait()
    stopped = asyncio.create_task(embed_waiting(database, search, embedder))
    await asyncio.gather(holding, stopped, return_exceptions=True)
    assert stopped.cancelled()
    assert await kept.fetchval("SELECT count(*) FROM notes WHERE embedding IS NOT NULL AND id > 50") == 250
    assert await embed_waiting(database, search, embedder) == 50


async def test_several_that_make_the_same_vectors_do_no_harm(
    kept: asyncpg.Connection, database: Database, embedder: Embedder, search: HybridSearch
) -> None:
    """Each text counts for whoever wrote its vector."""
    await write(kept, *TEXTS * 60)
    assert sum(await asyncio.gather(*[embed_waiting(database, search, embedder) for _ in range(3)])) == 300


class Meanwhile(Embedder):
    """Somebody writes while it works."""

    def __init__(self, write: Callable[[], Awaitable[object]]) -> None:
        super().__init__()
        self.write = write

    async def embed_many(self, texts: Sequence[str], *, rest: float = 0.0) -> Vector:
        await self.write()
        return await super().embed_many(texts, rest=rest)


async def test_what_is_written_to_meanwhile_gets_no_vector_of_before(
    kept: asyncpg.Connection, database: Database, search: HybridSearch
) -> None:
    """A text that was changed after it was read keeps no vector of what it was; it gets that of what it is."""
    await write(kept, *TEXTS)
    embedder = Meanwhile(lambda: kept.execute("UPDATE notes SET body = 'other' WHERE id = 2 AND body <> 'other'"))
    try:
        assert await embed_waiting(database, search, embedder, most=len(TEXTS)) == len(TEXTS) - 1
        assert await kept.fetchval("SELECT array_agg(id) FROM notes WHERE embedding IS NULL") == [2]
        assert await embed_waiting(database, search, embedder) == 1
    finally:
        await embedder.aclose()


async def test_hostile_questions(connection: asyncpg.Connection, database: Database, embedder: Embedder) -> None:
    """Whatever is asked is a text: operators, quotes, NUL, lone surrogates, nothing, very much."""
    await apply(database.url, SEARCH.objects())
    await write(connection, *TEXTS)
    await embed_texts(database, SEARCH, embedder)
    retriever = Retriever(database, SEARCH, embedder)
    for question in ("'; DROP TABLE notes; --", "a & | ! <-> :*", "\0", "\ud800", "", "cat " * 50_000, ":x ::y %s $1"):
        assert len(await retriever.search(question, limit=5)) == 5


async def test_the_index_is_used(
    kept: asyncpg.Connection, database: Database, embedder: Embedder, search: HybridSearch
) -> None:
    """The nearest vectors are taken from the HNSW index, as many as are wanted, postings from their key alone."""
    await kept.execute(
        "INSERT INTO notes (owner, body, embedding) SELECT 1, 'text ' || n, (SELECT array_agg(random() + (n + k) * 0) "
        "FROM generate_series(1, 384) k)::halfvec(384) FROM generate_series(1, 3000) n"
    )
    await kept.execute("VACUUM ANALYZE notes, notes_postings")
    sql = search.statement([]).replace(":question", "'text 5'").replace(":limit", "5").replace(":tenant", "1")
    plan = await kept.fetch("EXPLAIN " + sql.replace(":vector", f"'{[0.5] * 384}'"))
    lines = "\n".join(row[0] for row in plan)
    assert "notes_embedding_hnsw" in lines
    assert "Index Only Scan using notes_postings_pkey" in lines
    waiting = await kept.fetch(
        "EXPLAIN " + search.unembedded_versions(after=True).replace(":after", "'99'").replace(":limit", "9")
    )
    assert "notes_embedding_waiting" in "\n".join(row[0] for row in waiting)
    found = await Retriever(database, search, embedder).search("zzz", limit=200, tenant=whose(search))
    assert [item.by_meaning for item in found] == [*range(1, 101)]
    assert (await database.fetch(sql_text("SELECT current_setting('hnsw.ef_search')")))[0][0] == "40"  # as it was


def test_a_declaration_that_cannot_be_kept_is_refused() -> None:
    """A column that is missing, of another type, or no text at all."""
    with pytest.raises(SchemaError, match="no column"):
        HybridSearch(notes, texts=("text",), vector="embedding")
    with pytest.raises(SchemaError, match="halfvec or vector"):
        HybridSearch(notes, texts=("body",), vector="title")
    with pytest.raises(SchemaError, match="needs a text"):
        HybridSearch(notes, texts=(), vector="embedding")
