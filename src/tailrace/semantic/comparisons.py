"""Kept answers beside fresh ones: whether they say the same, and what follows. Touches: tasks of its own.

What is learnt of one question is kept with it: where its answer was wrong, nothing as far away is answered with it
again. What is learnt of all together bounds how often any is served (``risk``).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from inspect import isawaitable
from typing import Any, TypeAlias

from tailrace.cache import Answer
from tailrace.events import Observer, SemanticCompared, SemanticComparison
from tailrace.semantic.outcomes import SemanticStatistics
from tailrace.semantic.risk import WrongAnswers
from tailrace.semantic.similar_questions import Kept, QuestionIndex

__all__ = ["Comparisons", "Same", "equal"]

Same: TypeAlias = Callable[[bytes, bytes], bool | Awaitable[bool]]
"""Whether a kept answer and a fresh one say the same."""

Fresh: TypeAlias = Callable[[], Awaitable[bytes]]

Find: TypeAlias = Callable[[Kept], Awaitable[Answer | None]]
"""The valid answer to a kept question."""

MOST_UNDER_WAY = 32
"""Comparisons at once; more are left out, which costs evidence and nothing else."""

_log = logging.getLogger("tailrace")


def equal(kept: bytes, fresh: bytes) -> bool:
    """True for the same bytes: right for answers that are made the same way each time."""
    return kept == fresh


class Comparisons:
    """Compares, and notes what comes of it.

    Args:
        questions: told where an answer was wrong.
        risk: told of every comparison that bears on it; None where nothing is bounded.
        same: judges.
        find: gives what is kept when the fresh answer is there. If that is no longer what was compared, because
            something it was made from was written meanwhile, nothing follows from the difference.
        name: of the cache, for events.
        statistics: counted in.
        observer: receives ``SemanticCompared``.
    """

    def __init__(
        self,
        questions: QuestionIndex,
        risk: WrongAnswers | None,
        same: Same,
        find: Find,
        name: str,
        statistics: SemanticStatistics,
        observer: Observer | None,
    ) -> None:
        self._questions = questions
        self._risk = risk
        self._same = same
        self._find = find
        self._name = name
        self._statistics = statistics
        self._observer = observer
        self._under_way: set[asyncio.Task[None]] = set()

    def explored(self, scope: str, kept: Kept, similarity: float, answer: bytes, fresh: bytes) -> None:
        """A question that could have been answered with ``answer`` was computed, and gave ``fresh``."""
        self._begin(self._explore(scope, kept, similarity, answer, fresh))

    def audit(self, scope: str, kept: Kept, similarity: float, answer: bytes, compute: Fresh) -> None:
        """A question was answered with ``answer``; compute it, and see."""
        self._begin(self._audit(scope, kept, similarity, answer, compute))

    async def rejected(self, scope: str, kept: Kept, similarity: float) -> None:
        """Somebody says that an answer that was served is wrong."""
        self._statistics.wrong += 1
        await self._note(scope, kept, similarity, right=False, how="rejected")

    async def settle(self) -> None:
        """Return when all that are under way have ended."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    async def aclose(self) -> None:
        """End what is under way."""
        for task in tuple(self._under_way):
            task.cancel()
        await self.settle()

    def _begin(self, comparison: Coroutine[Any, Any, None]) -> None:
        if len(self._under_way) >= MOST_UNDER_WAY:
            comparison.close()
            return
        task = asyncio.create_task(comparison, name="tailrace semantic comparison")
        self._under_way.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:  # it was nobody's request, so nobody else hears of it
            _log.error("an answer could not be compared: %s", type(error).__name__, exc_info=error)

    async def _explore(self, scope: str, kept: Kept, similarity: float, answer: bytes, fresh: bytes) -> None:
        if await self._stands(kept, answer):
            await self._note(scope, kept, similarity, right=await self._judged(answer, fresh), how="explored")

    async def _audit(self, scope: str, kept: Kept, similarity: float, answer: bytes, compute: Fresh) -> None:
        fresh = await compute()
        if not await self._stands(kept, answer):
            return
        right = await self._judged(answer, fresh)
        self._statistics.audited += 1
        self._statistics.wrong += not right
        await self._note(scope, kept, similarity, right=right, how="audited")

    async def _stands(self, kept: Kept, answer: bytes) -> bool:
        found = await self._find(kept)
        return found is not None and found.value == answer

    async def _judged(self, kept: bytes, fresh: bytes) -> bool:
        said = self._same(kept, fresh)
        return await said if isawaitable(said) else said

    async def _note(self, scope: str, kept: Kept, similarity: float, *, right: bool, how: SemanticComparison) -> None:
        self._statistics.compared += 1
        self._statistics.differed += not right
        if self._risk is not None:
            self._risk.compare(similarity, right=right)
        if self._observer is not None:
            self._observer(SemanticCompared(self._name, how, right))
        if not right:
            await self._questions.distrust(scope, kept.key, similarity)
