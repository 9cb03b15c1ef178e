"""Wrong answers: bounded, found by audits, rejected by whoever got them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import numpy as np
import pytest

from tailrace.cache import Cache, CachePolicy, tag
from tailrace.events import Event, SemanticCompared, SemanticLookedUp, SemanticVetoed
from tailrace.observe import Metrics
from tailrace.semantic import Embedder, Scope, SemanticCache, Vector
from tailrace.semantic.guards import question
from tailrace.semantic.similar_questions import Kept, SimilarQuestions
from tailrace.stores import MemoryStore
from tailrace.testing.clock import FakeClock

EVERYBODY = Scope(shared=True)
NOTES = (tag("notes"),)
POLICY = CachePolicy("answers", 60.0)


class Turned:
    """A model for which every question that begins alike is as similar as the number of words in it says.

    Words that say nothing to the guards turn the vector: one degree each.
    """

    name = "turned"

    def embed(self, texts: Sequence[str]) -> Vector:
        turns = [np.radians(text.count(" please")) for text in texts]
        return np.array([[np.cos(turn), np.sin(turn)] for turn in turns], np.float32)


def put(turns: int) -> str:
    return "renew passport" + " please" * turns


@pytest.fixture
async def cache() -> AsyncIterator[Cache]:
    opened = Cache(MemoryStore(), clock=FakeClock())
    yield opened
    await opened.aclose()


@pytest.fixture
async def embedder() -> AsyncIterator[Embedder]:
    made = Embedder(Turned)
    yield made
    await made.aclose()


def giving(text: str) -> Callable[[], object]:
    async def compute() -> bytes:
        return text.encode()

    return compute


async def ask(semantic: SemanticCache, turns: int, answer: str) -> tuple[str, str]:
    found = await semantic.ask(put(turns), giving(answer), scope=EVERYBODY, depends_on=NOTES)  # type: ignore[arg-type]
    await semantic.settle()
    return found.outcome, found.answer.value.decode()


async def test_answers_must_prove_themselves_first(cache: Cache, embedder: Embedder) -> None:
    """With a bound, similar questions are computed and compared until there is reason to trust; then most are hits."""
    seen: list[Event] = []
    semantic = SemanticCache(cache, embedder, POLICY, wrong_at_most=0.05, observer=seen.append, draw=lambda: 0.5)
    await ask(semantic, 0, "so")

    async def compared(number: int) -> str:
        scope = Scope(identity=str(number))
        for turns in (0, 5):
            found = await semantic.ask(put(turns), giving("so"), scope=scope)  # type: ignore[arg-type]
        await semantic.settle()
        return found.outcome

    assert {await compared(number) for number in range(200)} == {"miss"}
    [candidate] = (await semantic.explain(put(4), scope=EVERYBODY, depends_on=NOTES)).candidates
    assert candidate.share == 0
    assert {await compared(number) for number in range(200, 300)} == {"miss", "similar"}
    [candidate] = (await semantic.explain(put(4), scope=EVERYBODY, depends_on=NOTES)).candidates
    assert 0.9 < candidate.share < 1
    assert await ask(semantic, 4, "never") == ("similar", "so")
    assert await ask(semantic, 6, "so") == ("miss", "so")  # nothing that far was compared
    assert semantic.statistics.differed == 0
    assert SemanticCompared("answers", "explored", True) in seen
    assert SemanticLookedUp("answers", "similar", candidate.similarity) in seen


async def test_what_was_wrong_once_is_not_served_that_far_again(cache: Cache, embedder: Embedder) -> None:
    """An audit that finds a hit wrong ends such hits of that answer, and leaves closer ones."""
    semantic = SemanticCache(cache, embedder, POLICY, audit=1.0)
    assert await ask(semantic, 0, "a") == ("miss", "a")
    assert await ask(semantic, 10, "b") == ("similar", "a")
    assert (semantic.statistics.audited, semantic.statistics.wrong) == (1, 1)
    assert await ask(semantic, 10, "never") == ("exact", "b")
    assert await semantic.reject(put(10), scope=EVERYBODY, depends_on=NOTES) == "exact"
    explained = await semantic.explain(put(12), scope=EVERYBODY, depends_on=NOTES)
    assert [each.distrusted for each in explained.candidates if each.asked == put(0)] == [True]
    assert await ask(semantic, 12, "c") == ("miss", "c")
    assert semantic.statistics.distrusted == 1
    assert await ask(semantic, 3, "a") == ("similar", "a")
    assert semantic.statistics.wrong == 2


async def test_an_audit_that_fails_hurts_nobody(
    cache: Cache, embedder: Embedder, caplog: pytest.LogCaptureFixture
) -> None:
    """The hit was served; that it could not be compared is in the log."""
    semantic = SemanticCache(cache, embedder, POLICY, audit=1.0)

    async def fail() -> bytes:
        raise RuntimeError("no")

    await ask(semantic, 0, "a")
    found = await semantic.ask(put(1), fail, scope=EVERYBODY, depends_on=NOTES)
    await semantic.settle()
    assert found.answer.value == b"a"
    assert semantic.statistics.audited == 0
    assert "could not be compared" in caplog.text


@pytest.mark.parametrize("bounds", [{"audit": 1.0}, {"wrong_at_most": 0.05}])
async def test_a_source_that_was_written_proves_nothing(
    cache: Cache, embedder: Embedder, bounds: dict[str, float]
) -> None:
    """A fresh answer that differs because of a write since the kept one was looked up is no evidence against it."""
    semantic = SemanticCache(cache, embedder, POLICY, **bounds)  # type: ignore[arg-type]
    await ask(semantic, 0, "before")

    async def written_meanwhile() -> bytes:
        await cache.invalidate(NOTES)
        return b"after"

    await semantic.ask(put(1), written_meanwhile, scope=EVERYBODY, depends_on=NOTES)
    await semantic.settle()
    assert (semantic.statistics.compared, semantic.statistics.wrong) == (0, 0)


async def test_an_answer_that_would_outlive_what_is_asked_is_not_served(cache: Cache, embedder: Embedder) -> None:
    """Who asks with more sources than the kept answer was made from would not hear of writes to the others."""
    semantic = SemanticCache(cache, embedder, POLICY)
    await ask(semantic, 0, "a")
    more = (*NOTES, tag("prices"))
    found = await semantic.ask(put(1), giving("b"), scope=EVERYBODY, depends_on=more)  # type: ignore[arg-type]
    assert (found.outcome, found.answer.value) == ("miss", b"b")
    assert await ask(semantic, 2, "never") == ("similar", "b")


async def test_memory_goes_with_the_questions() -> None:
    """A scope that had many questions and has few keeps no room for the many; what is left is found."""
    questions = SimilarQuestions(1_000)
    for number in range(500):
        vector = np.eye(500, dtype=np.float32)[number]
        await questions.add("s", Kept(str(number), question(str(number)), ()), vector)
    for number in range(499):
        await questions.remove("s", str(number))
    assert len(questions._scopes["s"].matrix) <= 4
    [(similarity, kept)] = await questions.nearest("s", vector, at_least=0.5, count=4)
    assert (similarity, kept.key) == (1.0, "499")


async def test_no_more_audits_at_once_than_the_process_can_bear(cache: Cache, embedder: Embedder) -> None:
    """Hits are served while audits hang, and closing ends these."""
    semantic = SemanticCache(cache, embedder, POLICY, audit=1.0)
    running = 0

    async def hang() -> bytes:
        nonlocal running
        running += 1
        await asyncio.Event().wait()
        return b""

    for number in range(40):
        scope = Scope(identity=str(number))
        await semantic.ask(put(0), giving("a"), scope=scope)  # type: ignore[arg-type]
        assert (await semantic.ask(put(1), hang, scope=scope)).outcome == "similar"
    await asyncio.sleep(0)
    await semantic.aclose()
    assert running <= 32
    assert len(asyncio.all_tasks()) == 1


async def test_who_got_a_wrong_answer_can_say_so(cache: Cache, embedder: Embedder) -> None:
    """A rejected answer to the same text is deleted; one to a similar question is kept for those who are closer."""
    metrics = Metrics()
    semantic = SemanticCache(cache, embedder, POLICY, observer=metrics)
    await ask(semantic, 0, "a")
    assert await ask(semantic, 5, "never") == ("similar", "a")
    assert await semantic.reject(put(5), scope=EVERYBODY, depends_on=NOTES) == "similar"
    assert await ask(semantic, 5, "b") == ("miss", "b")
    assert await ask(semantic, 1, "never") == ("similar", "a")
    assert await semantic.reject(put(0), scope=EVERYBODY, depends_on=NOTES) == "exact"
    assert await ask(semantic, 0, "c") == ("similar", "b")
    assert await semantic.reject(put(0), scope=Scope(identity="a stranger"), depends_on=NOTES) == "miss"
    assert await semantic.reject("x" * 2_000, scope=EVERYBODY) == "miss"
    assert semantic.statistics.wrong == 2
    assert metrics["tailrace.semantic.comparisons"].series == {("answers", "rejected", "wrong"): [1.0]}
    assert metrics["tailrace.semantic.requests"].series == {("answers", "miss"): [2.0], ("answers", "similar"): [3.0]}


async def test_a_judge_may_take_its_time(cache: Cache, embedder: Embedder) -> None:
    """What says the same in other words is right, if whoever was asked to judge says so; the client does not wait."""
    judged = asyncio.Event()

    async def same(kept: bytes, fresh: bytes) -> bool:
        await judged.wait()
        return kept.lower() == fresh.lower()

    semantic = SemanticCache(cache, embedder, POLICY, audit=1.0, same=same)
    await ask(semantic, 0, "Yes")
    found = await semantic.ask(put(1), giving("YES"), scope=EVERYBODY, depends_on=NOTES)  # type: ignore[arg-type]
    assert found.outcome == "similar"
    judged.set()
    await semantic.settle()
    assert (semantic.statistics.audited, semantic.statistics.wrong) == (1, 0)


async def test_vetoes_are_told(cache: Cache, embedder: Embedder) -> None:
    """A guard's word is counted by reason."""
    seen: list[Event] = []
    semantic = SemanticCache(cache, embedder, POLICY, observer=seen.append)
    await ask(semantic, 0, "a")
    await semantic.ask("renew 2 passport", giving("b"), scope=EVERYBODY, depends_on=NOTES)  # type: ignore[arg-type]
    assert SemanticVetoed("answers", "numbers") in seen


@pytest.mark.parametrize("wrong", [{"audit": 1.5}, {"wrong_at_most": 0.0}, {"threshold": 0.0}])
def test_shares_are_checked(cache: Cache, embedder: Embedder, wrong: dict[str, float]) -> None:
    """A share that is none is a mistake."""
    with pytest.raises(ValueError):
        SemanticCache(cache, embedder, POLICY, **wrong)  # type: ignore[arg-type]
