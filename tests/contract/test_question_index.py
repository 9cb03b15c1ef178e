"""What every memory of a semantic cache promises, run against each of them, alone and below the cache."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime

import numpy as np
import pytest
from sqlalchemy import text

from tailrace.cache import Cache, CachePolicy, tag
from tailrace.db import Database
from tailrace.errors import SchemaError
from tailrace.semantic import Embedder, Scope, SemanticCache, StoredQuestions, prepare_questions
from tailrace.semantic.embedder import Vector
from tailrace.semantic.guards import question
from tailrace.semantic.similar_questions import Kept, QuestionIndex, SimilarQuestions
from tailrace.semantic.stored_questions import prepare_extension
from tailrace.stores import MemoryStore
from tailrace.testing.clock import FakeClock

MakeIndex = Callable[[int], QuestionIndex]
EVERYBODY = Scope(shared=True)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url)
    yield opened
    await opened.aclose()


@pytest.fixture(params=["memory", "postgresql"])
async def make(request: pytest.FixtureRequest) -> AsyncIterator[MakeIndex]:
    """Makes an index that holds as many questions as it is told."""
    if request.param == "memory":
        yield SimilarQuestions
        return
    database = Database(request.getfixturevalue("database_url"))
    await asyncio.gather(*(prepare_questions(database) for _ in range(3)))  # as processes that start together do
    yield lambda limit: StoredQuestions(database, "answers", limit=limit, used_again=0.0)
    await database.aclose()


@pytest.fixture
def index(make: MakeIndex) -> QuestionIndex:
    return make(100)


def towards(*parts: float) -> Vector:
    """A unit vector of the model's length."""
    vector = np.zeros(384, np.float32)
    vector[: len(parts)] = parts
    return vector / np.float32(np.linalg.norm(vector))


def kept(key: str, *tags: str) -> Kept:
    return Kept(key, question(f"what about {key}"), tags)


async def keys(index: QuestionIndex, scope: str, vector: Vector, at_least: float = 0.0, count: int = 9) -> list[str]:
    return [each.key for _, each in await index.nearest(scope, vector, at_least=at_least, count=count)]


# --- alone ---------------------------------------------------------------------------------------


async def test_the_closest_come_first_with_all_that_was_kept(index: QuestionIndex) -> None:
    """In order of their cosines, no more than wanted and none below the least, as they were given."""
    for key, vector in (("far", towards(0, 1)), ("near", towards(3, 1)), ("nearest", towards(30, 1))):
        await index.add("s", kept(key, "notes", "notes:1"), vector)
    found = await index.nearest("s", towards(1), at_least=0.5, count=9)
    assert [each for _, each in found] == [kept("nearest", "notes", "notes:1"), kept("near", "notes", "notes:1")]
    assert [cosine for cosine, _ in found] == pytest.approx([0.99944, 0.94868], abs=1e-4)
    assert await keys(index, "s", towards(1), count=1) == ["nearest"]
    assert await keys(index, "s", towards(0, 0, 1), at_least=0.1) == []


async def test_scopes_do_not_see_each_other(index: QuestionIndex) -> None:
    """The same key and vector in two scopes are two questions; removing one leaves the other."""
    for scope in ("one", "other"):
        await index.add(scope, kept("k", scope), towards(1))
    ((_, found),) = await index.nearest("one", towards(1), at_least=0, count=9)
    assert found.depends_on == ("one",)
    await index.remove("one", "k")
    await index.remove("one", "never there")
    assert await keys(index, "one", towards(1)) == []
    assert await keys(index, "other", towards(1)) == ["k"]


async def test_a_question_asked_again_takes_its_own_place(index: QuestionIndex) -> None:
    """There is one of each key: with the new vector and tags, and what was held against the old one forgotten."""
    await index.add("s", kept("k", "old"), towards(1))
    await index.distrust("s", "k", 0.9)
    await index.add("s", kept("k", "new"), towards(0, 1))
    ((cosine, found),) = await index.nearest("s", towards(0, 1), at_least=-1, count=9)
    assert (found, round(cosine, 3)) == (kept("k", "new"), 1.0)


async def test_what_was_wrong_stays_wrong(index: QuestionIndex) -> None:
    """The most similar wrong answer counts, in whatever order they were noted; nothing else of the question changes."""
    await index.add("s", kept("k"), towards(1))
    for similarity in (0.8, 0.9, 0.85):
        await index.distrust("s", "k", similarity)
    await index.distrust("s", "gone", 0.9)
    ((_, found),) = await index.nearest("s", towards(1), at_least=0, count=9)
    assert found.wrong_at == 0.9


async def test_the_longest_unused_go_first(make: MakeIndex) -> None:
    """Of all scopes together: what was asked for again outlives what was not."""
    index = make(3)
    for key in ("a", "b", "c"):
        await index.add("s" + key, kept(key), towards(1))
    await index.used("sa", "a")
    await index.used("sa", "never there")
    await index.add("s", kept("d"), towards(1))
    assert [await keys(index, scope, towards(1)) for scope in ("sa", "sb", "sc", "s")] == [["a"], [], ["c"], ["d"]]


async def test_everything_is_forgotten(index: QuestionIndex) -> None:
    """Of every scope; what is asked afterwards is remembered as before."""
    for scope in ("one", "other"):
        await index.add(scope, kept("k"), towards(1))
    await index.clear()
    assert await keys(index, "one", towards(1)) == await keys(index, "other", towards(1)) == []
    await index.add("one", kept("k"), towards(1))
    assert await keys(index, "one", towards(1)) == ["k"]


async def test_many_questions_and_rare_scopes(index: QuestionIndex) -> None:
    """Questions of other scopes, however close, do not hide those of this one."""
    wanted = make_many(7)
    for at, vector in enumerate(wanted):
        await index.add("rare", kept(f"rare{at}"), vector)
    for at in range(90):
        await index.add("common", kept(f"common{at}"), towards(1, 0.001 * at))
    found = await index.nearest("rare", towards(1), at_least=-1, count=4)
    cosines = sorted((float(vector @ towards(1)) for vector in wanted), reverse=True)
    assert [cosine for cosine, _ in found] == pytest.approx(cosines[:4], abs=1e-5)


def make_many(count: int) -> list[Vector]:
    draw = np.random.default_rng(1)
    return [towards(*draw.normal(size=384)) for _ in range(count)]


# --- below the cache -----------------------------------------------------------------------------


@pytest.fixture
async def embedder() -> AsyncIterator[Embedder]:
    made = Embedder()
    yield made
    await made.aclose()


def giving(said: str) -> Callable[[], Awaitable[bytes]]:
    async def compute() -> bytes:
        return said.encode()

    return compute


async def test_a_cache_gives_the_same_answers(index: QuestionIndex, embedder: Embedder) -> None:
    """Similar questions, traps, tenants, versions of an index, writes to a source and feedback, whatever remembers."""
    cache = Cache(MemoryStore(), clock=FakeClock())
    semantic = SemanticCache(cache, embedder, CachePolicy("answers", 60.0), threshold=0.8, questions=index)
    seen = []

    async def ask(asked: str, scope: Scope = EVERYBODY) -> str:
        found = await semantic.ask(asked, giving(asked), scope=scope, depends_on=[tag("notes")])
        seen.append(found.outcome)
        return found.answer.value.decode()

    try:
        first = "How do I renew my passport?"
        assert await ask(first) == first
        assert await ask("How can I renew my passport, please?") == first
        assert await ask("How do I cancel my passport?") != first
        for other in (Scope(tenant="t", shared=True), Scope(identity="7"), Scope(shared=True, index_version="2")):
            assert await ask("How could I renew my passport?", other) != first
        assert await semantic.reject("How can I renew my passport?", scope=EVERYBODY, depends_on=[tag("notes")]) == (
            "similar"
        )
        again = "Please, how can I renew my passport?"
        assert await ask("How can I renew my passport?") != first
        assert (await semantic.explain(again, scope=EVERYBODY, depends_on=[tag("notes")])).outcome == "similar"
        await cache.invalidate([tag("notes")])
        assert await ask(again) == again
        assert seen == ["miss", "similar", "miss", "miss", "miss", "miss", "miss", "miss"]
    finally:
        await semantic.aclose()
        await cache.aclose()


# --- in the database -----------------------------------------------------------------------------


async def test_processes_share_what_they_were_asked(database: Database, database_url: str) -> None:
    """Another connection finds it at once; another name never does; a use is noted once in a while."""
    await prepare_questions(database)
    clock, elsewhere = FakeClock(), Database(database_url)
    try:
        mine = StoredQuestions(database, "answers", clock=clock)
        others = StoredQuestions(elsewhere, "answers")
        await mine.add("s", kept("k"), towards(1))
        assert await keys(others, "s", towards(1)) == ["k"]
        assert await keys(StoredQuestions(elsewhere, "else"), "s", towards(1)) == []
        await StoredQuestions(elsewhere, "else").clear()
        moments = []
        for wait in (0, 30, 31):
            clock.step(wait)
            await mine.used("s", "k")
            moments.append(await used_at(database))
        assert moments[0] == moments[1] < moments[2]
    finally:
        await elsewhere.aclose()


async def used_at(database: Database) -> datetime:
    moment: datetime = (await database.fetch(text("SELECT used_at FROM semantic.questions")))[0][0]
    return moment


async def test_a_database_that_fails_finds_nothing(caplog: pytest.LogCaptureFixture, embedder: Embedder) -> None:
    """Questions are computed, nobody gets an error, and the log has one line of it."""
    gone = Database("postgresql://nobody@127.0.0.1:1/nothing")
    index = StoredQuestions(gone, "answers")
    cache = Cache(MemoryStore(), clock=FakeClock())
    semantic = SemanticCache(cache, embedder, CachePolicy("answers", 60.0), questions=index)
    with caplog.at_level(logging.WARNING, "tailrace"):
        for asked in ("How do I renew my passport?", "How can I renew my passport?"):
            assert (await semantic.ask(asked, giving(asked), scope=EVERYBODY)).outcome == "miss"
    assert [record.message[:30] for record in caplog.records] == ["kept questions cannot be looke"]
    await semantic.aclose()
    await gone.aclose()
    await cache.aclose()


async def test_a_server_without_pgvector_is_told_of(database: Database) -> None:
    """What is missing and where to get it is said when the table is made, not when a question comes."""
    with pytest.raises(SchemaError, match="has no extension no_such_vector: install pgvector"):
        await database.run(lambda session: prepare_extension(session, "no_such_vector"))
