"""Answers found by similar questions: when they are served, and when not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tailrace.cache import Cache, CachePolicy, tag
from tailrace.cache.consistency import ReadContext, current_reads
from tailrace.semantic import Embedder, Scope, SemanticCache
from tailrace.stores import MemoryStore
from tailrace.testing.clock import FakeClock

PAIRS = Path(__file__).resolve().parents[4] / "shared" / "data" / "question_pairs" / "adversarial_dev.jsonl"
EVERYBODY = Scope(shared=True)
NOTES = (tag("notes"),)
MOST_TRAPS = 0.02
"""Share of pairs with different answers that may be served one for the other."""
FEWEST_HITS = 0.25
"""Share of pairs with the same answer that must be."""


@pytest.fixture(scope="module")
def embedder() -> Iterator[Embedder]:
    """The real model, for the tests of this module."""
    made = Embedder()
    yield made
    asyncio.run(made.aclose())


@pytest.fixture
async def cache() -> AsyncIterator[Cache]:
    opened = Cache(MemoryStore(), clock=FakeClock())
    yield opened
    await opened.aclose()


@pytest.fixture
def semantic(cache: Cache, embedder: Embedder) -> SemanticCache:
    return SemanticCache(cache, embedder, CachePolicy("answers", 60.0))


def giving(text: str) -> Callable[[], Awaitable[bytes]]:
    async def compute() -> bytes:
        return text.encode()

    return compute


async def never() -> bytes:
    raise AssertionError("this should not have been computed")


async def test_a_question_put_otherwise_is_answered_from_the_cache(semantic: SemanticCache) -> None:
    """The same text and a similar one are hits; another question is computed."""
    first = await semantic.ask("How do I renew my passport?", giving("so"), scope=EVERYBODY, depends_on=NOTES)
    same = await semantic.ask("  how do I RENEW my passport", never, scope=EVERYBODY, depends_on=NOTES)
    like = await semantic.ask("How can I renew my passport, please?", never, scope=EVERYBODY, depends_on=NOTES)
    other = await semantic.ask("How do I cancel my passport?", giving("no"), scope=EVERYBODY, depends_on=NOTES)
    assert [found.outcome for found in (first, same, like, other)] == ["miss", "exact", "similar", "miss"]
    assert [found.answer.value for found in (first, same, like, other)] == [b"so", b"so", b"so", b"no"]
    assert like.asked == "how do i renew my passport"
    assert like.similarity is not None
    assert 0.95 <= like.similarity <= 1
    assert semantic.statistics.as_dict() == {
        "asked": 4,
        "hit_ratio": 0.5,
        "outcomes": {"miss": 2, "exact": 1, "similar": 1},
        "vetoes": dict(semantic.statistics.vetoes),
        "outdated": 0,
        "distrusted": 0,
        "compared": 0,
        "differed": 0,
        "audited": 0,
        "wrong": 0,
    }


async def test_a_guard_has_the_last_word(semantic: SemanticCache) -> None:
    """A similarity above the threshold is no answer where a number differs; statistics and explanation say why."""
    await semantic.ask("Can I take 2 pills every 4 hours?", giving("4"), scope=EVERYBODY)
    text = "Can I take 2 pills every 2 hours?"
    explained = await semantic.explain(text, scope=EVERYBODY)
    assert (explained.outcome, explained.candidates[0].veto, explained.candidates[0].alive) == ("miss", "numbers", True)
    assert "guard of numbers" in explained.why
    assert (await semantic.ask(text, giving("2"), scope=EVERYBODY)).answer.value == b"2"
    assert semantic.statistics.vetoes == {"numbers": 1}


async def test_an_answer_ends_with_what_it_was_made_from(semantic: SemanticCache, cache: Cache) -> None:
    """After a write nobody is served the old answer, neither for the same text nor for a similar one."""
    await semantic.ask("How do I renew my passport?", giving("old"), scope=EVERYBODY, depends_on=NOTES)
    await cache.invalidate(NOTES)
    explained = await semantic.explain("How can I renew my passport?", scope=EVERYBODY, depends_on=NOTES)
    assert (explained.outcome, explained.candidates[0].alive) == ("miss", False)
    for text in ("How can I renew my passport?", "How do I renew my passport?"):
        found = await semantic.ask(text, giving("new"), scope=EVERYBODY, depends_on=NOTES)
        assert found.answer.value == b"new"
    assert semantic.statistics.outdated == 1


async def test_an_answer_that_a_write_overtook_never_counts(semantic: SemanticCache, cache: Cache) -> None:
    """What was computed before a commit and stored after it is invalid from birth, for similar questions too."""

    async def overtaken() -> bytes:
        await cache.invalidate(NOTES)
        return b"old"

    await semantic.ask("How do I renew my passport?", overtaken, scope=EVERYBODY, depends_on=NOTES)
    for text in ("How can I renew my passport?", "How do I renew my passport?"):
        found = await semantic.ask(text, giving("new"), scope=EVERYBODY, depends_on=NOTES)
        assert (found.answer.value, found.outcome in ("miss", "similar")) == (b"new", True)


async def test_an_answer_ends_with_its_time(embedder: Embedder) -> None:
    """The policy's time to live holds for similar questions as well."""
    clock = FakeClock()
    cache = Cache(MemoryStore(), clock=clock)
    semantic = SemanticCache(cache, embedder, CachePolicy("answers", 60.0))
    await semantic.ask("How do I renew my passport?", giving("old"), scope=EVERYBODY)
    await clock.advance(61)
    found = await semantic.ask("How can I renew my passport?", giving("new"), scope=EVERYBODY)
    assert found.answer.value == b"new"
    await cache.aclose()


async def test_who_has_just_written_is_not_answered_from_here(semantic: SemanticCache) -> None:
    """A client whose write may not be known yet gets an answer computed now, and that does not become others'."""
    await semantic.ask("How do I renew my passport?", giving("old"), scope=EVERYBODY, depends_on=NOTES)
    token = current_reads.set(ReadContext(bypass=True))
    try:
        text = "How can I renew my passport?"
        found = await semantic.ask(text, giving("own"), scope=EVERYBODY, depends_on=NOTES)
        assert (found.outcome, found.answer.value) == ("bypass", b"own")
        assert (await semantic.explain(text, scope=EVERYBODY, depends_on=NOTES)).outcome == "bypass"
    finally:
        current_reads.reset(token)
    assert (await semantic.ask(text, never, scope=EVERYBODY, depends_on=NOTES)).answer.value == b"old"


async def test_many_who_ask_at_once_are_answered_once(semantic: SemanticCache) -> None:
    """A thousand callers of one text: one computation."""
    computed = 0

    async def compute() -> bytes:
        nonlocal computed
        computed += 1
        await asyncio.sleep(0)
        return b"so"

    asked = [semantic.ask("What is asked by all?", compute, scope=EVERYBODY) for _ in range(1000)]
    assert {found.answer.value for found in await asyncio.gather(*asked)} == {b"so"}
    assert computed == 1


async def test_what_is_remembered_is_bounded(cache: Cache, embedder: Embedder) -> None:
    """Who has not been asked for longest is forgotten; a novel is not looked up by its like at all."""
    semantic = SemanticCache(cache, embedder, CachePolicy("answers", 60.0), limit=3)
    for number in range(6):
        await semantic.ask(f"What is {number}?", giving(str(number)), scope=Scope(identity=str(number)))
    assert len(semantic._questions) == 3
    await semantic.ask("word " * 1000, giving("long"), scope=EVERYBODY)
    assert len(semantic._questions) == 3


async def test_an_error_is_the_askers_own(semantic: SemanticCache) -> None:
    """What fails is not kept, and the next one computes."""

    async def fail() -> bytes:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        await semantic.ask("What fails?", fail, scope=EVERYBODY)
    assert (await semantic.ask("What fails?", giving("yes"), scope=EVERYBODY)).answer.value == b"yes"


def test_it_must_be_said_whose_an_answer_is() -> None:
    """Nothing is everybody's by oversight."""
    with pytest.raises(ValueError, match="whose"):
        Scope(tenant="a")
    with pytest.raises(ValueError, match="whose"):
        Scope(identity="a", shared=True)


@pytest.mark.skipif(not PAIRS.exists(), reason="the published pairs are not at ../shared/data/question_pairs")
async def test_traps_are_not_served(cache: Cache, embedder: Embedder) -> None:
    """Of pairs that look alike, those with different answers are told apart; enough of the others are hits."""
    hits: dict[bool, list[str]] = {True: [], False: []}
    pairs = [json.loads(line) for line in PAIRS.read_text().splitlines()]
    for number, pair in enumerate(pairs):
        semantic = SemanticCache(cache, embedder, CachePolicy("answers", 60.0))
        scope = Scope(identity=str(number))
        await semantic.ask(pair["a"], giving("a"), scope=scope)
        found = await semantic.ask(pair["b"], giving("b"), scope=scope)
        if found.answer.value == b"a":
            hits[pair["same_answer"]].append(pair["id"])
    same = sum(pair["same_answer"] for pair in pairs)
    assert len(hits[False]) <= MOST_TRAPS * (len(pairs) - same), hits[False]
    assert len(hits[True]) >= FEWEST_HITS * same
