"""Dynamic batching: texts that wait at the same time are embedded in one batch. Pure but for the tasks that wait.

One batch is under way at a time. Whoever comes while none is waits for nobody; whoever comes meanwhile is in the next
one, with others who did. A batch takes the time of its longest text for each, so texts much shorter wait for their own.

**Source:** the scheduler of NVIDIA's Triton Inference Server, "dynamic batcher", here without a delay.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

__all__ = ["MOST", "DynamicBatcher", "chosen"]

MOST = 8
"""Texts of a batch; larger ones take as long for each text."""
MOST_CHARACTERS = 1_000
"""Of a batch, each text counted as the longest: so it takes no longer than one long question."""
PADDING = 1 / 3
"""Characters that are only there for the sake of the longest, beside those that are asked."""

Compute: TypeAlias = Callable[[Sequence[str]], Awaitable[Sequence[Any]]]
_Waiting: TypeAlias = tuple[str, "asyncio.Future[Any]"]


class DynamicBatcher:
    """Calls ``compute`` with what waits.

    Args:
        compute: gives something for each of some texts, in their order.
    """

    def __init__(self, compute: Compute) -> None:
        self._compute = compute
        self._waiting: deque[_Waiting] = deque()
        self._running: asyncio.Task[None] | None = None

    async def submit(self, text: str) -> Any:
        """What ``compute`` gives for ``text``.

        Raises:
            Whatever ``compute`` raises, to all of the batch.
        """
        given: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((text, given))
        if self._running is None:  # the task begins after those who ask in this turn of the loop, too
            self._running = asyncio.create_task(self._run(), name="tailrace embedding")
        return await given

    async def aclose(self) -> None:
        """Whoever waits is cancelled; what is under way is waited for by nobody."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def _run(self) -> None:
        batch: list[_Waiting] = []
        try:
            while batch := self._next():
                try:
                    found = await self._compute([text for text, _ in batch])
                except Exception as error:
                    for _, given in batch:
                        if not given.done():
                            given.set_exception(error)
                    continue
                for (_, given), value in zip(batch, found, strict=True):
                    if not given.done():
                        given.set_result(value)
        finally:
            self._running = None
            for _, given in (*batch, *self._waiting):
                given.cancel()
            self._waiting.clear()

    def _next(self) -> list[_Waiting]:
        """Those who go next; nobody who has left meanwhile."""
        waiting = [each for each in self._waiting if not each[1].done()]
        going = chosen([len(text) for text, _ in waiting])
        self._waiting = deque(each for at, each in enumerate(waiting) if at not in going)
        return [waiting[at] for at in going]


def chosen(lengths: Sequence[int]) -> list[int]:
    """Which of the texts that wait are the next batch, given their lengths in the order in which they came.

    The first always goes. Others do while not too much is padding.

    >>> chosen([40, 45, 900, 38]), chosen([900, 40]), chosen([])
    ([0, 1, 3], [0], [])
    """
    going: list[int] = []
    total = longest = 0
    for at, length in enumerate(lengths):
        if len(going) == MOST:
            break
        padded = max(longest, length) * (len(going) + 1)
        if going and (padded > MOST_CHARACTERS or padded > (1 + PADDING) * (total + length)):
            continue
        going.append(at)
        total, longest = total + length, max(longest, length)
    return going
