"""Embedding beside the event loop."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import numpy as np
import pytest
from tests.waiting import wait_until

from tailrace.errors import OverloadedError
from tailrace.semantic import Embedder, Vector


class Held:
    """A model that waits for leave, and tells what it was asked."""

    name = "held"

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.leave = threading.Event()

    def embed(self, texts: Sequence[str]) -> Vector:
        self.asked.append(list(texts))
        assert self.leave.wait(30)
        return np.array([[len(text), 1.0] for text in texts], np.float32)


@asynccontextmanager
async def embedding(model: Held, **options: int) -> AsyncIterator[Embedder]:
    embedder = Embedder(lambda: model, **options)
    try:
        yield embedder
    finally:
        model.leave.set()
        await embedder.aclose()


async def test_one_question_is_embedded_once() -> None:
    """However many ask the same at the same time, and again later."""
    model = Held()
    async with embedding(model) as embedder:
        asked = [asyncio.create_task(embedder.embed("what?")) for _ in range(20)]
        await wait_until(lambda: bool(model.asked))
        model.leave.set()
        vectors = await asyncio.gather(*asked)
        assert {tuple(vector) for vector in vectors} == {(5.0, 1.0)}
        assert (await embedder.embed("what?"))[0] == 5
        assert model.asked == [["what?"]]


async def test_questions_that_wait_go_together() -> None:
    """Nobody waits for company; whoever comes while one is embedded goes with the others who do."""
    model = Held()
    async with embedding(model) as embedder:
        first = asyncio.create_task(embedder.embed("one"))
        await wait_until(lambda: bool(model.asked))
        others = [asyncio.create_task(embedder.embed(f"question {number}")) for number in range(10)]
        await wait_until(lambda: len(embedder._flights) == 11)
        model.leave.set()
        vectors = await asyncio.gather(first, *others)
    assert [vector[0] for vector in vectors] == [3, *[10] * 10]
    assert [len(each) for each in model.asked] == [1, 8, 2]


async def test_who_left_is_not_embedded() -> None:
    """A question that nobody waits for any more is taken out of the line."""
    model = Held()
    async with embedding(model) as embedder:
        first = asyncio.create_task(embedder.embed("one"))
        await wait_until(lambda: bool(model.asked))
        leaving, staying = (asyncio.create_task(embedder.embed(text)) for text in ("leaving", "staying"))
        await wait_until(lambda: len(embedder._flights) == 3)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        model.leave.set()
        await asyncio.gather(first, staying)
    assert model.asked == [["one"], ["staying"]]


async def test_a_long_question_keeps_no_short_one() -> None:
    """All that go together take as long as the longest, so the short ones of a line go by themselves."""
    model = Held()
    async with embedding(model) as embedder:
        first = asyncio.create_task(embedder.embed("one"))
        await wait_until(lambda: bool(model.asked))
        texts = ["a" * 40, "b" * 900, "c" * 38, "d" * 901]
        others = [asyncio.create_task(embedder.embed(text)) for text in texts]
        await wait_until(lambda: len(embedder._flights) == 5)
        model.leave.set()
        await asyncio.gather(first, *others)
    assert [[text[0] for text in each] for each in model.asked] == [["o"], ["a", "c"], ["b"], ["d"]]


async def test_a_failure_is_told_to_all_and_ends_nothing() -> None:
    """Those who went together hear of it; the next question is embedded."""

    class Failing(Held):
        def embed(self, texts: Sequence[str]) -> Vector:
            vectors = super().embed(texts)
            if "bad" in texts:
                raise RuntimeError("no")
            return vectors

    model = Failing()
    model.leave.set()
    async with embedding(model) as embedder:
        found = await asyncio.gather(embedder.embed("bad"), embedder.embed("one"), return_exceptions=True)
        assert [str(each) for each in found] == ["no", "no"]
        assert (await embedder.embed("two"))[0] == 3


async def test_closing_ends_who_waits() -> None:
    """Nobody waits for ever for an embedder that is closed."""
    model = Held()
    embedder = Embedder(lambda: model)
    asked = [asyncio.create_task(embedder.embed(text)) for text in ("one", "two")]
    await wait_until(lambda: bool(model.asked))
    closing = asyncio.create_task(embedder.aclose())
    assert await asyncio.gather(*asked, return_exceptions=True)
    assert all(task.cancelled() for task in asked)
    model.leave.set()
    await closing


async def test_what_is_remembered_is_bounded() -> None:
    """The least recently used question is forgotten first."""
    model = Held()
    model.leave.set()
    async with embedding(model, remembered=2) as embedder:
        for question in ("a", "b", "a", "c", "a", "b"):
            await embedder.embed(question)
    assert model.asked == [["a"], ["b"], ["c"], ["b"]]


async def test_too_many_are_refused() -> None:
    """The line has an end: who would join it then is told so at once."""
    model = Held()
    async with embedding(model, max_waiting=3) as embedder:
        asked = [asyncio.create_task(embedder.embed(str(number))) for number in range(3)]
        await wait_until(lambda: bool(model.asked))
        with pytest.raises(OverloadedError):
            await embedder.embed("one more")
        model.leave.set()
        await asyncio.gather(*asked)
        await embedder.embed("one more")


async def test_a_question_does_not_wait_for_a_batch() -> None:
    """Ingestion and questions have lanes of their own."""
    model = Held()
    async with embedding(model) as embedder:
        batch = asyncio.create_task(embedder.embed_many([str(number) for number in range(30)]))
        question = asyncio.create_task(embedder.embed("what?"))
        await wait_until(lambda: len(model.asked) == 2)  # both are under way
        model.leave.set()
        await asyncio.gather(batch, question)


async def test_many_texts_keep_their_order() -> None:
    """Batches are made by length; the vectors come back in the order of the texts."""
    model = Held()
    model.leave.set()
    async with embedding(model) as embedder:
        texts = ["x" * (number * 7 % 23) for number in range(50)]
        assert (await embedder.embed_many(texts))[:, 0].tolist() == [len(text) for text in texts]
        assert (await embedder.embed_many([])).shape[0] == 0
    assert max(map(len, model.asked)) == 4


async def test_a_caller_that_leaves_spoils_nothing() -> None:
    """The others who ask the same get their answer, and it is remembered."""
    model = Held()
    async with embedding(model) as embedder:
        first, second = (asyncio.create_task(embedder.embed("what?")) for _ in range(2))
        await wait_until(lambda: bool(model.asked))
        first.cancel()
        model.leave.set()
        assert (await second)[0] == 5
        assert first.cancelled()
        assert (await embedder.embed("what?"))[0] == 5
    assert model.asked == [["what?"]]


async def test_the_loop_goes_on_while_the_model_is_loaded() -> None:
    """Loading blocks a thread of its own, once for all who wait for it: who asks something else is answered."""
    loop_thread, leave, loaded_in = threading.get_ident(), threading.Event(), list[int]()

    def load() -> Held:
        loaded_in.append(threading.get_ident())
        assert leave.wait(30)  # until the loop has got round to saying so
        model = Held()
        model.leave.set()
        return model

    embedder = Embedder(load)
    try:
        asked = [asyncio.create_task(embedder.embed(question)) for question in ("a", "bc")]
        await wait_until(lambda: bool(loaded_in))
        assert not any(task.done() for task in asked)
        leave.set()
        assert [vector[0] for vector in await asyncio.gather(*asked)] == [1, 2]
        assert len(loaded_in) == 1
        assert loaded_in[0] != loop_thread
    finally:
        leave.set()
        await embedder.aclose()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads have no priority of their own")
async def test_many_texts_give_way() -> None:
    """Their thread alone is nicer than the process; what is asked meanwhile is not."""
    found: dict[str, int] = {}

    class Told(Held):
        def embed(self, texts: Sequence[str]) -> Vector:
            found[texts[0]] = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
            return super().embed(texts)

    model, own = Told(), os.getpriority(os.PRIO_PROCESS, 0)
    model.leave.set()
    async with embedding(model, niceness=min(19, own + 3)) as embedder:
        await embedder.embed_many(["text"])
        await embedder.embed("question")
    assert found == {"text": min(19, own + 3), "question": own}
    assert os.getpriority(os.PRIO_PROCESS, 0) == own
