"""Answers kept by what was asked rather than by how it was put. Touches: the cache, the embedder, its own memory.

1. *Scope*: an exact filter. Nothing of another tenant, identity, model or version is looked at.
2. *The same text*, but for case, spaces and closing punctuation: the cache itself, in whatever store it has.
3. *A similar question*: cosine of the vectors at or above the threshold, and no guard that has something against it.

Answers live in ``tailrace.cache`` under the stamps of what they depend on, like every other: one that was computed
before a commit never counts after it, a client that has just written is not answered from here, and a cache that cannot
be sure is bypassed. What this room adds is a way from a question to the key of another's answer.

The questions themselves are remembered by this process alone; the same text finds its answer on any.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Literal

from tailrace.cache import Answer, Cache, CachePolicy, Compute
from tailrace.semantic.embedder import Embedder
from tailrace.semantic.guards import Question, Veto, question, veto
from tailrace.semantic.scope import Scope
from tailrace.semantic.similar_questions import Kept, SimilarQuestions
from tailrace.semantic.wording import folded

__all__ = ["Candidate", "SemanticAnswer", "SemanticCache", "SemanticExplanation", "SemanticStatistics"]

Outcome = Literal["exact", "similar", "miss", "bypass"]

CANDIDATES = 4
"""Close questions that are looked at, the closest first."""
LONGEST_QUESTION = 1_000
"""Characters of a question whose like is looked for; a longer one has more to say than a vector."""


@dataclass(frozen=True, slots=True)
class SemanticAnswer:
    """An answer and how it was found.

    Attributes:
        answer: as the cache gives it.
        outcome: exact, similar, miss (computed for this caller or for another who asked the same) or bypass.
        similarity: of the question that it was computed for, 1 for the same text; None for what was computed.
        asked: that question in its folded form; None unless ``similar``.
    """

    answer: Answer
    outcome: Outcome
    similarity: float | None = None
    asked: str | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A close question, and why its answer would or would not be served: ``veto``, or no answer that is still valid."""

    asked: str
    similarity: float
    veto: Veto | None
    alive: bool


@dataclass(frozen=True, slots=True)
class SemanticExplanation:
    """What would happen to a question now, and why, in words; ``candidates`` the closest first."""

    outcome: Outcome
    why: str
    candidates: tuple[Candidate, ...] = ()


@dataclass(slots=True)
class SemanticStatistics:
    """Counted since the start. ``vetoes``: close questions whose answer was not served, by reason."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    vetoes: Counter[Veto] = field(default_factory=Counter)
    outdated: int = 0
    """Close questions whose answer had ended."""

    @property
    def asked(self) -> int:
        """Questions in all."""
        return self.outcomes.total()

    @property
    def hit_ratio(self) -> float:
        """Share that was not computed, 0 to 1."""
        return (self.outcomes["exact"] + self.outcomes["similar"]) / max(1, self.asked)

    def as_dict(self) -> Mapping[str, object]:
        """For a page of figures."""
        return {
            "asked": self.asked,
            "hit_ratio": self.hit_ratio,
            "outcomes": dict(self.outcomes),
            "vetoes": dict(self.vetoes),
            "outdated": self.outdated,
        }


class SemanticCache:
    """One kind of answers to questions.

    Args:
        policy: how long they live; its name is part of their keys.
        threshold: least cosine of a similar question, 0 to 1.
        limit: questions remembered, of all scopes (some 2.5 KB each).
    """

    def __init__(
        self,
        cache: Cache,
        embedder: Embedder,
        policy: CachePolicy,
        *,
        threshold: float = 0.95,
        limit: int = 10_000,
    ) -> None:
        if not 0 < threshold <= 1:
            raise ValueError(f"the threshold is a cosine above 0 and at most 1, not {threshold}")
        self._cache = cache
        self._embedder = embedder
        self._policy = policy
        self._threshold = threshold
        self._questions = SimilarQuestions(limit)
        self.statistics = SemanticStatistics()

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
        found = await self._ask(text, compute, scope.digest, tuple(depends_on))
        self.statistics.outcomes[found.outcome] += 1
        return found

    async def explain(self, text: str, *, scope: Scope, depends_on: Iterable[str] = ()) -> SemanticExplanation:
        """What would happen to a question now. Nothing is computed, counted or changed."""
        digest, tags = scope.digest, tuple(depends_on)
        exact = self._cache.prepare(self._key(digest, text), policy=self._policy, depends_on=tags)
        refusal = exact.refusal()
        if refusal is not None:
            return SemanticExplanation("bypass", f"the cache must not be used just now: {refusal}")
        if await exact.find() is not None:
            return SemanticExplanation(
                "exact", "the same text was answered, and nothing it depends on was written since"
            )
        if len(text) > LONGEST_QUESTION:
            return SemanticExplanation("miss", f"it is longer than {LONGEST_QUESTION} characters")
        asked = question(text)
        vector = await self._embedder.embed(asked.folded)
        seen = self._questions.nearest(digest, vector, at_least=0.0, count=CANDIDATES)
        candidates = [
            Candidate(kept.question.folded, cosine, veto(asked, kept.question), await self._find(kept) is not None)
            for cosine, kept in seen
        ]
        for candidate in candidates:
            if candidate.similarity >= self._threshold and candidate.veto is None and candidate.alive:
                return SemanticExplanation("similar", "a similar question was answered", tuple(candidates))
        return SemanticExplanation("miss", self._why_not(candidates), tuple(candidates))

    def clear(self) -> None:
        """Forget every question; answers stay under their own texts until they end."""
        self._questions.clear()

    async def _ask(self, text: str, compute: Compute, scope: str, tags: tuple[str, ...]) -> SemanticAnswer:
        key = self._key(scope, text)
        exact = self._cache.prepare(key, policy=self._policy, depends_on=tags)
        asked = vector = None
        if exact.refusal() is None:
            answer = await exact.find()
            if answer is not None:
                self._questions.used(scope, key)
                return SemanticAnswer(answer, "exact", 1.0)
            if len(text) <= LONGEST_QUESTION:
                asked = question(text)
                vector = await self._embedder.embed(asked.folded)
                for cosine, kept in self._questions.nearest(scope, vector, at_least=self._threshold, count=CANDIDATES):
                    answer = await self._serve(scope, asked, kept)
                    if answer is not None:
                        return SemanticAnswer(answer, "similar", cosine, kept.question.folded)
        answer = await self._cache.read_through(key, compute, policy=self._policy, depends_on=tags)
        if answer.status == "bypass":
            return SemanticAnswer(answer, "bypass")
        if asked is not None and vector is not None and answer.ttl > 0:
            self._questions.add(scope, Kept(key, asked, tags), vector)
        return SemanticAnswer(answer, "exact" if answer.status in ("hit", "stale") else "miss")

    async def _serve(self, scope: str, asked: Question, kept: Kept) -> Answer | None:
        """The answer to a close question, unless something is against it."""
        reason = veto(asked, kept.question)
        if reason is not None:
            self.statistics.vetoes[reason] += 1
            return None
        answer = await self._find(kept)
        if answer is None:
            self.statistics.outdated += 1
            self._questions.remove(scope, kept.key)
        else:
            self._questions.used(scope, kept.key)
        return answer

    async def _find(self, kept: Kept) -> Answer | None:
        return await self._cache.prepare(kept.key, policy=self._policy, depends_on=kept.depends_on).find()

    def _key(self, scope: str, text: str) -> str:
        digest = blake2b(folded(text).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        return f"semantic:{self._policy.name}:{scope}:{digest}"

    def _why_not(self, candidates: list[Candidate]) -> str:
        if not candidates:
            return "nothing was asked in this scope yet"
        closest = candidates[0]
        if closest.similarity < self._threshold:
            return f"the closest question has a similarity of {closest.similarity:.3f}, less than {self._threshold}"
        if closest.veto is not None:
            return f"a similar question was asked, and the guard of {closest.veto} is against its answer"
        return "a similar question was answered, and what the answer depends on was written since, or its time is up"
