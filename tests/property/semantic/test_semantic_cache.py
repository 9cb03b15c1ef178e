"""Any sequence of questions, writes and scopes: nobody gets another's answer, or one that a write has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tailrace.cache import Cache, CachePolicy, tag
from tailrace.semantic import Embedder, Scope, SemanticCache, Vector
from tailrace.semantic.guards import question, veto
from tailrace.stores import MemoryStore

TEXTS = ("how do I pay", "How can I pay?", "how do I pay please", "how do I not pay", "how do I pay 5", "pay")
SCOPES = (
    Scope(tenant="a", shared=True),
    Scope(tenant="b", shared=True),
    Scope(tenant="a", identity="1"),
    Scope(tenant="a", identity="2"),
    Scope(tenant="a", shared=True, model="other"),
    Scope(tenant="a", shared=True, index_version="2"),
    Scope(tenant="a", shared=True, conversation="before"),
    Scope(tenant="a", shared=True, more={"locale": "de"}),
    Scope(tenant='a",null', shared=True),
    Scope(shared=True),
)


class Alike:
    """A model to which all texts are nearly the same, so that nothing but the rest of the cache tells them apart."""

    name = "alike"

    def embed(self, texts: Sequence[str]) -> Vector:
        vectors = np.array([[1.0, len(text) / 1000] for text in texts], np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


step = st.one_of(
    st.tuples(st.sampled_from(range(len(SCOPES))), st.sampled_from(TEXTS)),
    st.just("write"),
)


@given(st.lists(step, max_size=25), st.integers(1, 8))
def test_answers_never_cross_scopes_and_end_with_writes(steps: list[tuple[int, str] | str], limit: int) -> None:
    """Each answer says what it was computed for and when: the scope and the writes before it must be the asker's."""

    async def run() -> None:
        cache, embedder = Cache(MemoryStore()), Embedder(Alike)
        semantic = SemanticCache(cache, embedder, CachePolicy("answers", 60.0), limit=limit)
        writes = 0
        for taken in steps:
            if isinstance(taken, str):
                writes += 1
                await cache.invalidate([tag("notes")])
                continue
            scope, text = taken

            async def compute(scope: int = scope, text: str = text, seen: int = writes) -> bytes:
                return f"{scope}|{seen}|{text}".encode()

            found = await semantic.ask(text, compute, scope=SCOPES[scope], depends_on=[tag("notes")])
            of_scope, seen, of_text = found.answer.value.decode().split("|")
            assert (int(of_scope), int(seen)) == (scope, writes)
            assert veto(question(of_text), question(text)) is None
        await embedder.aclose()

    asyncio.run(run())


@given(st.text(max_size=60), st.text(max_size=60))
def test_guards_are_symmetric(one: str, other: str) -> None:
    """Which of two questions was asked first makes no difference, and each is itself."""
    assert veto(question(one), question(other)) == veto(question(other), question(one))
    assert veto(question(one), question(one)) is None


def test_scopes_have_digests_of_their_own() -> None:
    """No two of the scopes above are one."""
    assert len({scope.digest for scope in SCOPES}) == len(SCOPES)
