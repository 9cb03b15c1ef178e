"""Answers kept by what was asked rather than by how it was put. Touches: the cache, the embedder, an index.

1. *Scope*: an exact filter. Nothing of another tenant, identity, model or version is looked at.
2. *The same text*, but for case, spaces and closing punctuation: the cache itself, in whatever store it has.
3. *A similar question*: cosine of the vectors at or above the threshold, no guard that has something against it, and no
   question before for which its answer was wrong at such a distance. Where the share of wrong answers is bounded, also
   what comparisons with fresh answers allow (``risk``).

Answers live in ``tailrace.cache`` under the stamps of what they depend on, like every other: one that was computed
before a commit never counts after it, a client that has just written is not answered from here, and a cache that cannot
be sure is bypassed. What this room adds is a way from a question to the key of another's answer.

The questions are remembered by this process alone, or by all that share a table; the same text finds its answer on any.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from hashlib import blake2b

from tailrace.cache import Answer, Cache, CachePolicy, Compute
from tailrace.events import Observer, SemanticLookedUp, SemanticVetoed
from tailrace.semantic.comparisons import Comparisons, Same, equal
from tailrace.semantic.embedder import Embedder, Vector
from tailrace.semantic.guards import Question, question, veto
from tailrace.semantic.outcomes import Candidate, Outcome, SemanticAnswer, SemanticExplanation, SemanticStatistics
from tailrace.semantic.risk import WrongAnswers
from tailrace.semantic.scope import Scope
from tailrace.semantic.similar_questions import Kept, QuestionIndex, SimilarQuestions
from tailrace.semantic.wording import folded

__all__ = ["SemanticCache"]

CANDIDATES = 4
"""Close questions that are looked at, the closest first."""
LONGEST_QUESTION = 1_000
"""Characters of a question whose like is looked for; a longer one has more to say than a vector."""
STATIC_THRESHOLD = 0.95
VERIFIED_THRESHOLD = 0.75
"""Least cosine where comparisons decide what is served from there on."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question on its way."""

    scope: str
    key: str
    tags: tuple[str, ...]
    question: Question
    vector: Vector


@dataclass(frozen=True, slots=True)
class _Close:
    """A close question whose answer is valid, and nothing against it."""

    similarity: float
    kept: Kept
    answer: Answer


class SemanticCache:
    """One kind of answers to questions.

    Args:
        policy: how long they live; its name is part of their keys.
        threshold: least cosine of a similar question, 0 to 1; by default 0.95, or 0.75 with ``wrong_at_most``.
        limit: questions remembered, of all scopes (some 2.5 KB each); for the index of this process.
        wrong_at_most: share of the answers to similar questions that may be wrong. Until comparisons with fresh answers
            show that it is kept, such questions are computed, and a few of them ever after; None: all are answered from
            the cache, and the threshold alone decides.
        audit: share of the similar hits that are computed again afterwards, in the background, and compared. What
            computes them must be able to run when the request is over.
        same: whether two answers, the kept one and a fresh one, say the same; may be awaited. Equal bytes by default.
        questions: where they are remembered; by default this process.
        observer: receives ``SemanticLookedUp``, ``SemanticVetoed`` and ``SemanticCompared``.
        draw: a number from 0 to 1, for what happens to a share.

    Raises:
        ValueError: the threshold is no cosine, or a share is none.
    """

    def __init__(
        self,
        cache: Cache,
        embedder: Embedder,
        policy: CachePolicy,
        *,
        threshold: float | None = None,
        limit: int = 10_000,
        wrong_at_most: float | None = None,
        audit: float = 0.0,
        same: Same = equal,
        questions: QuestionIndex | None = None,
        observer: Observer | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        if threshold is None:
            threshold = STATIC_THRESHOLD if wrong_at_most is None else VERIFIED_THRESHOLD
        if not 0 < threshold <= 1:
            raise ValueError(f"the threshold is a cosine above 0 and at most 1, not {threshold}")
        if not 0 <= audit <= 1:
            raise ValueError(f"the share that is audited is 0 to 1, not {audit}")
        self._cache = cache
        self._embedder = embedder
        self._policy = policy
        self._threshold = threshold
        self._audit = audit
        self._draw = draw
        self._observer = observer
        self._questions = questions or SimilarQuestions(limit)
        self._risk = None if wrong_at_most is None else WrongAnswers(wrong_at_most)
        self.statistics = SemanticStatistics()
        self._comparisons = Comparisons(
            self._questions, self._risk, same, self._find, policy.name, self.statistics, observer
        )

    async def ask(self, text: str, compute: Compute, *, scope: Scope, depends_on: Iterable[str] = ()) -> SemanticAnswer:
        """The answer to a question, kept or computed; once for all who ask the same at the same time.

        Args:
            text: the question.
            compute: gives the answer to just this question.
            scope: whose answer it is and what it is made from.
            depends_on: tags of what it is made from; a write to any of it ends the answer.

        Raises:
            Whatever ``compute`` raises, and ``OverloadedError`` if too many questions wait to be embedded.

        Cost: nothing more for the same text; an embedding for another, and 0.3 ms for 10,000 questions.
        """
        found = await self._ask(text, compute, self._scope(scope), tuple(depends_on))
        self.statistics.outcomes[found.outcome] += 1
        if self._observer is not None:
            self._observer(SemanticLookedUp(self._policy.name, found.outcome, found.similarity))
        return found

    async def reject(self, text: str, *, scope: Scope, depends_on: Iterable[str] = ()) -> Outcome:
        """Somebody who got the answer to this question says that it is wrong.

        An answer to the same text is deleted. One to a similar question stays, but is not served again to questions
        as far from it.

        Returns:
            How the question would have been answered; nothing is changed by a miss or a bypass.
        """
        where, tags = self._scope(scope), tuple(depends_on)
        key = self._key(where, text)
        exact = self._cache.prepare(key, policy=self._policy, depends_on=tags)
        if exact.refusal() is not None:
            return "bypass"
        if await exact.find() is not None:
            await self._cache.forget(key)
            await self._questions.remove(where, key)
            self.statistics.wrong += 1
            return "exact"
        close = None if len(text) > LONGEST_QUESTION else await self._close(await self._prepared(where, text, tags))
        if close is None:
            return "miss"
        await self._comparisons.rejected(where, close.kept, close.similarity)
        return "similar"

    async def explain(self, text: str, *, scope: Scope, depends_on: Iterable[str] = ()) -> SemanticExplanation:
        """What would happen to a question now. Nothing is computed, counted or changed."""
        where, tags = self._scope(scope), tuple(depends_on)
        exact = self._cache.prepare(self._key(where, text), policy=self._policy, depends_on=tags)
        refusal = exact.refusal()
        if refusal is not None:
            return SemanticExplanation("bypass", f"the cache must not be used just now: {refusal}")
        if await exact.find() is not None:
            return SemanticExplanation(
                "exact", "the same text was answered, and nothing it depends on was written since"
            )
        if len(text) > LONGEST_QUESTION:
            return SemanticExplanation("miss", f"it is longer than {LONGEST_QUESTION} characters")
        asked = await self._prepared(where, text, tags)
        seen = await self._questions.nearest(where, asked.vector, at_least=0.0, count=CANDIDATES)
        candidates = tuple([await self._candidate(asked, cosine, kept) for cosine, kept in seen])
        for each in candidates:
            if each.similarity >= self._threshold and each.veto is None and each.alive and not each.distrusted:
                if each.share == 0:
                    return SemanticExplanation(
                        "miss", "too little was compared to trust a similar question", candidates
                    )
                often = "" if each.share == 1 else f"; this is so for {each.share:.0%} of those who ask"
                return SemanticExplanation("similar", f"a similar question was answered{often}", candidates)
        return SemanticExplanation("miss", self._why_not(candidates), candidates)

    async def clear(self) -> None:
        """Forget every question; answers stay under their own texts until they end."""
        await self._questions.clear()

    async def aclose(self) -> None:
        """End the comparisons that are under way."""
        await self._comparisons.aclose()

    async def settle(self) -> None:
        """Return when every comparison that is under way has ended."""
        await self._comparisons.settle()

    async def _ask(self, text: str, compute: Compute, scope: str, tags: tuple[str, ...]) -> SemanticAnswer:
        key = self._key(scope, text)
        exact = self._cache.prepare(key, policy=self._policy, depends_on=tags)
        asked = close = None
        if exact.refusal() is None:
            answer = await exact.find()
            if answer is not None:
                await self._questions.used(scope, key)
                return SemanticAnswer(answer, "exact", 1.0)
            if len(text) <= LONGEST_QUESTION:
                asked = await self._prepared(scope, text, tags)
                close = await self._close(asked)
                if close is not None and self._may_serve(close.similarity):
                    await self._questions.used(scope, close.kept.key)
                    if self._audit and self._draw() < self._audit:
                        self._comparisons.audit(
                            scope, close.kept, close.similarity, close.answer.value, self._computing(asked, compute)
                        )
                    return SemanticAnswer(close.answer, "similar", close.similarity, close.kept.question.folded)
        answer = await self._compute(key, asked, compute, tags)
        if answer.status == "bypass":
            return SemanticAnswer(answer, "bypass")
        if close is not None:
            self._comparisons.explored(scope, close.kept, close.similarity, close.answer.value, answer.value)
        return SemanticAnswer(answer, "exact" if answer.status in ("hit", "stale") else "miss")

    async def _compute(self, key: str, asked: _Asked | None, compute: Compute, tags: tuple[str, ...]) -> Answer:
        """The answer to just this question, which is then remembered."""
        answer = await self._cache.read_through(key, compute, policy=self._policy, depends_on=tags)
        if asked is not None and answer.status != "bypass" and answer.ttl > 0:
            await self._questions.add(asked.scope, Kept(key, asked.question, tags), asked.vector)
        return answer

    def _computing(self, asked: _Asked, compute: Compute) -> Callable[[], Awaitable[bytes]]:
        async def fresh() -> bytes:
            return (await self._compute(asked.key, asked, compute, asked.tags)).value

        return fresh

    def _may_serve(self, similarity: float) -> bool:
        return self._risk is None or self._draw() < self._risk.share(similarity)

    async def _prepared(self, scope: str, text: str, tags: tuple[str, ...]) -> _Asked:
        asked = question(text)
        return _Asked(scope, self._key(scope, text), tags, asked, await self._embedder.embed(asked.folded))

    async def _close(self, asked: _Asked) -> _Close | None:
        """The closest question with a valid answer and nothing against it."""
        seen = await self._questions.nearest(asked.scope, asked.vector, at_least=self._threshold, count=CANDIDATES)
        for cosine, kept in seen:
            reason = veto(asked.question, kept.question)
            if reason is not None:
                self.statistics.vetoes[reason] += 1
                if self._observer is not None:
                    self._observer(SemanticVetoed(self._policy.name, reason))
                continue
            if cosine <= kept.wrong_at:
                self.statistics.distrusted += 1
                continue
            if not _depends_on_all(asked, kept):
                continue
            answer = await self._find(kept)
            if answer is not None:
                return _Close(cosine, kept, answer)
            self.statistics.outdated += 1
            await self._questions.remove(asked.scope, kept.key)
        return None

    async def _candidate(self, asked: _Asked, cosine: float, kept: Kept) -> Candidate:
        return Candidate(
            kept.question.folded,
            cosine,
            veto(asked.question, kept.question),
            _depends_on_all(asked, kept) and await self._find(kept) is not None,
            cosine <= kept.wrong_at,
            1.0 if self._risk is None else self._risk.share(cosine),
        )

    async def _find(self, kept: Kept) -> Answer | None:
        return await self._cache.prepare(kept.key, policy=self._policy, depends_on=kept.depends_on).find()

    def _scope(self, scope: Scope) -> str:
        return f"{self._policy.name}:{scope.digest}"

    def _key(self, scope: str, text: str) -> str:
        digest = blake2b(folded(text).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        return f"semantic:{scope}:{digest}"

    def _why_not(self, candidates: tuple[Candidate, ...]) -> str:
        if not candidates:
            return "nothing was asked in this scope yet"
        closest = candidates[0]
        if closest.similarity < self._threshold:
            return f"the closest question has a similarity of {closest.similarity:.3f}, less than {self._threshold}"
        if closest.veto is not None:
            return f"a similar question was asked, and the guard of {closest.veto} is against its answer"
        if closest.distrusted:
            return "a similar question was answered, and the answer was wrong for a question as close as this one"
        return (
            "a similar question was answered, and what the answer depends on was written since or is not all that this "
            "one depends on, or its time is up"
        )


def _depends_on_all(asked: _Asked, kept: Kept) -> bool:
    """False if a write to something that an answer to ``asked`` depends on would leave the kept one valid."""
    return set(asked.tags) <= set(kept.depends_on)
