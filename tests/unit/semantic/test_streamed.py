"""Answers that are streamed while they are made, and replayed from the cache."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.asgi.sse import ServerSentEvent
from tailrace.cache import Answer, Cache, CachePolicy, tag
from tailrace.cache.entry import decode, encode
from tailrace.semantic import Embedder, Scope, SemanticAnswer, SemanticCache, Vector, streamed_answer
from tailrace.semantic.streamed import events_of
from tailrace.stores import MemoryStore

EVERYBODY = Scope(shared=True)
NOTES = (tag("notes"),)


class Same:
    """A model for which all questions are alike, so that the guards alone tell them apart."""

    name = "same"

    def embed(self, texts: object) -> Vector:
        return np.ones((len(texts), 1), np.float32)  # type: ignore[arg-type]


@pytest.fixture
async def semantic() -> AsyncIterator[SemanticCache]:
    cache, embedder = Cache(MemoryStore()), Embedder(Same)
    yield SemanticCache(cache, embedder, CachePolicy("answers", 60.0), audit=1.0)
    await embedder.aclose()
    await cache.aclose()


class Maker:
    """Makes an answer of three words, each when it may."""

    def __init__(self, *, fails: bool = False) -> None:
        self.may = asyncio.Semaphore(0)
        self.fails = fails
        self.runs = 0
        self.ended = 0

    async def __call__(self) -> AsyncIterator[ServerSentEvent]:
        self.runs += 1
        try:
            yield ServerSentEvent("", "start")
            for word in ("one", "two", "three"):
                await self.may.acquire()
                yield ServerSentEvent(word, "chunk")
            if self.fails:
                raise RuntimeError("no")
        finally:
            self.ended += 1

    def let(self, words: int) -> None:
        for _ in range(words):
            self.may.release()


def listen(semantic: SemanticCache, text: str, maker: Maker) -> AsyncIterator[ServerSentEvent]:
    def found(answer: SemanticAnswer) -> ServerSentEvent:
        return ServerSentEvent(answer.outcome, "cache")

    return streamed_answer(semantic, text, maker, scope=EVERYBODY, depends_on=NOTES, found=found)


WHOLE = [ServerSentEvent("", "start"), *(ServerSentEvent(word, "chunk") for word in ("one", "two", "three"))]


async def test_comes_as_it_is_made_and_again_from_the_cache(semantic: SemanticCache) -> None:
    """Each event is passed on before the next is made; the same text and a like one get all of them without work."""
    maker = Maker()
    stream = listen(semantic, "renew passport", maker)
    assert await anext(stream) == WHOLE[0]
    for expected in WHOLE[1:]:
        maker.let(1)
        assert await anext(stream) == expected
    assert [event async for event in stream] == []
    for text, outcome in (("Renew passport?", "exact"), ("renew passport please", "similar")):
        maker.let(3)
        again = [event async for event in listen(semantic, text, maker)]
        assert again == [ServerSentEvent(outcome, "cache"), *WHOLE]
    await semantic.settle()
    assert maker.runs == 2  # the second one audits the similar hit
    assert (semantic.statistics.audited, semantic.statistics.wrong) == (1, 0)


class ForgedStore(MemoryStore):
    """Gives other values than were kept in it."""

    value = b""

    def peek(self, keys: Sequence[str]) -> list[bytes | None]:
        """As the store does."""
        found = super().peek(keys)
        entry = None if found is None or not self.value else decode(found[0])
        return found if entry is None else [encode(replace(entry, value=self.value)), *found[1:]]


@pytest.mark.parametrize(
    "value", [b"[", b"7", b"[7]", b"[[7, 8]]", b'["ab"]', b'[["chunk","one","two"]]', b'[["a\\nb","x"]]', b"[" * 90_000]
)
async def test_what_is_no_answer_is_made_anew(value: bytes) -> None:
    """Whatever a store gives, listeners get an answer, live."""
    store, embedder, maker = ForgedStore(), Embedder(Same), Maker()
    cache = Cache(store)
    semantic = SemanticCache(cache, embedder, CachePolicy("answers", 60.0))
    maker.let(9)
    assert [event async for event in listen(semantic, "renew passport", maker)] == WHOLE
    store.value = value
    for text in ("renew passport", "renew passport please"):
        assert [event async for event in listen(semantic, text, maker)] == WHOLE
    await semantic.settle()
    assert maker.runs == 3
    await embedder.aclose()
    await cache.aclose()


@given(
    st.binary(max_size=40)
    | st.recursive(st.none() | st.text(max_size=4), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_events_are_read_or_refused(value: bytes) -> None:
    """Whatever was kept, it is events or one kind of mistake."""
    try:
        found = events_of(SemanticAnswer(Answer(value, "hit", 0.0, 0.0, 1.0), "exact"))
    except ValueError:
        return
    assert all(isinstance(event.encode(), bytes) for event in found)


async def test_ends_with_what_it_was_made_from(semantic: SemanticCache) -> None:
    """After a write the answer is made anew, live."""
    maker = Maker()
    maker.let(6)
    assert [event async for event in listen(semantic, "renew passport", maker)] == WHOLE
    await semantic._cache.invalidate(NOTES)
    assert [event async for event in listen(semantic, "renew passport", maker)] == WHOLE
    assert maker.runs == 2


async def test_who_stops_listening_stops_the_work(semantic: SemanticCache) -> None:
    """The maker is ended with its only listener, and half an answer is not kept."""
    maker = Maker()
    stream = listen(semantic, "renew passport", maker)
    await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]
    assert (maker.runs, maker.ended) == (1, 1)
    maker.let(3)
    assert [event async for event in listen(semantic, "renew passport", maker)] == WHOLE


async def test_others_who_wait_keep_the_work_alive(semantic: SemanticCache) -> None:
    """One computation for all; when the one who hears it live leaves, those who wait for it still get all of it."""
    maker = Maker()
    first, second = listen(semantic, "renew passport", maker), listen(semantic, "renew passport", maker)
    await anext(first)
    waiting = asyncio.create_task(anext(second))
    for _ in range(10):
        await asyncio.sleep(0)
    await first.aclose()  # type: ignore[attr-defined]
    maker.let(3)
    assert (await waiting).event == "cache"
    assert [event async for event in second] == WHOLE
    assert maker.runs == 1


async def test_a_failure_is_told_and_not_kept(semantic: SemanticCache) -> None:
    """What was made until then has been heard; the next one begins anew."""
    maker = Maker(fails=True)
    maker.let(3)
    stream = listen(semantic, "renew passport", maker)
    assert [await anext(stream) for _ in WHOLE] == WHOLE
    with pytest.raises(RuntimeError):
        await anext(stream)
    maker.fails = False
    maker.let(3)
    assert [event async for event in listen(semantic, "renew passport", maker)] == WHOLE
    assert maker.runs == 2
