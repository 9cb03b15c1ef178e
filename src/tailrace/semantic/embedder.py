"""Embedding beside the event loop: questions at once and once, many texts in small batches.

Touches: two threads. Questions have one of their own, so that none waits for a batch; a batch yields after each part.
Questions that come while others are embedded are one batch when those are done (``dynamic_batcher``).
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from tailrace.cache import SingleFlight
from tailrace.errors import OverloadedError
from tailrace.semantic.dynamic_batcher import DynamicBatcher
from tailrace.semantic.minilm import MiniLm

__all__ = ["Embedder", "Model", "Vector"]

Vector = npt.NDArray[np.float32]
T = TypeVar("T")

TOGETHER = 4
"""Texts of a batch of many: of more each takes longer, as what is worked on leaves the processor's cache."""
LONGEST_REMEMBERED = 1000
"""Characters of a question whose vector is remembered."""


class Model(Protocol):
    """What makes vectors, blocking. ``name`` is that of the kind of its vectors."""

    @property
    def name(self) -> str: ...

    def embed(self, texts: Sequence[str]) -> Vector:
        """Unit vectors, ``(texts, dimensions)``; a text's own does not depend on the others."""
        ...


class Embedder:
    """Texts to unit vectors, for one event loop.

    Args:
        load: makes the model, blocking; called once, in a thread, when first needed.
        remembered: questions whose vectors are kept, the last used ones (1.5 KB each).
        max_waiting: questions under way; more are refused at once.
        niceness: by how much the thread of many texts gives way to others, 0..19; where the system can tell threads
            apart (Linux), else it does not.
    """

    def __init__(
        self,
        load: Callable[[], Model] = MiniLm,
        *,
        remembered: int = 2048,
        max_waiting: int = 256,
        niceness: int = 0,
    ) -> None:
        self._load = load
        self._model: Model | None = None
        self._loading: SingleFlight[Model] = SingleFlight()
        self._remembered = remembered
        self._max_waiting = max_waiting
        self._vectors: OrderedDict[str, Vector] = OrderedDict()
        self._flights: SingleFlight[Vector] = SingleFlight()
        self._batcher = DynamicBatcher(self._embed_questions)
        self._questions = ThreadPoolExecutor(1, "embed-question")
        self._batches = ThreadPoolExecutor(1, "embed-batch", initializer=_give_way, initargs=(niceness,))

    async def model(self) -> Model:
        """The model, loaded; at the start of a service, so that the first question does not wait for it.

        Raises:
            MissingExtraError, SettingsError: it cannot be loaded.
        """
        if self._model is None:
            self._model, _ = await self._loading.join("model", partial(self._in, self._questions, self._load))
        return self._model

    async def embed(self, question: str) -> Vector:
        """The unit vector of one text, ``(dimensions,)``, not to be written to; of equal texts computed once.

        Raises:
            OverloadedError: too many wait already.

        Cost: 2-3 ms of a thread, half of that where many ask at once; microseconds for what is remembered.
        """
        known = self._vectors.get(question)
        if known is not None:
            self._vectors.move_to_end(question)
            return known
        if len(self._flights) >= self._max_waiting:
            raise OverloadedError(f"{self._max_waiting} questions wait to be embedded")

        async def compute() -> Vector:
            vector: Vector = await self._batcher.submit(question)
            self._remember(question, vector)
            return vector

        return (await self._flights.join(question, compute))[0]

    async def embed_many(self, texts: Sequence[str], *, rest: float = 0.0) -> Vector:
        """Unit vectors, ``(texts, dimensions)``. Can be cancelled between batches; questions do not wait for it.

        Args:
            rest: seconds of pause for each second of work: 1 leaves half of a core to others.

        Cost: some 6 ms of a thread for a text of 64 tokens.
        """
        model, now = await self.model(), asyncio.get_running_loop().time
        order = sorted(range(len(texts)), key=lambda at: len(texts[at]))  # a batch takes the time of its longest
        made: list[Vector | None] = [None] * len(texts)
        for start in range(0, len(order), TOGETHER):
            part = order[start : start + TOGETHER]
            began = now()
            vectors = await self._in(self._batches, partial(model.embed, [texts[at] for at in part]))
            for at, vector in zip(part, vectors, strict=True):
                made[at] = vector
            await asyncio.sleep(rest * (now() - began))
        return np.array(made, np.float32)

    async def aclose(self) -> None:
        """End the threads; what they are at is finished first."""
        await self._batcher.aclose()
        for lane in (self._questions, self._batches):
            await asyncio.to_thread(lane.shutdown, cancel_futures=True)

    async def _embed_questions(self, questions: Sequence[str]) -> list[Vector]:
        model = await self.model()
        vectors: list[Vector] = [
            each.copy() for each in await self._in(self._questions, partial(model.embed, questions))
        ]
        for vector in vectors:  # each by itself: one that is remembered does not keep the others
            vector.flags.writeable = False
        return vectors

    async def _in(self, lane: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(lane, work)

    def _remember(self, question: str, vector: Vector) -> None:
        if len(question) > LONGEST_REMEMBERED:
            return
        self._vectors[question] = vector
        if len(self._vectors) > self._remembered:
            self._vectors.popitem(last=False)


def _give_way(niceness: int) -> None:
    """Of this thread alone, which on Linux has a priority of its own."""
    if niceness and sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)
