"""How answers are calculated, and kept for when that fails. Touches: nothing but memory."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from tailrace.errors import DatabaseError, DatabaseTimeoutError
from tailrace_services.voice_dashboard.api.dashboard import NoAnswerError

__all__ = ["LIFE", "Answers", "Kind"]

LIFE = 60.0
"""Seconds for which an answer that moves with time alone is kept. Writes end it at once."""

LONGEST_QUEUE = 20.0
"""Seconds that a calculation may wait for its slot."""

LAST_KNOWN_BYTES = 32 * 1024 * 1024
"""Most bytes of answers kept for when the database does not answer; the least recently calculated go first."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of answer.

    Args:
        name: part of keys; names it in messages.
        timeout: seconds that calculating one may take, from when it is begun.
    """

    name: str
    timeout: float

    def key(self, user_id: int, *rest: object) -> str:
        """Names one answer: whose it is, and what else it depends on."""
        return ":".join(["voice-dashboard", self.name, f"user={user_id}", *map(str, rest)])


class Answers:
    """Calculates answers in bounded time, keeps the last of each for bad days."""

    def __init__(self) -> None:
        self._last: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0

    async def calculate(
        self,
        kind: Kind,
        calculate: Callable[[], Awaitable[T]],
        key: str,
        body: Callable[[T], bytes],
        *,
        slots: asyncio.Semaphore | None = None,
    ) -> T:
        """What ``calculate`` gives, kept by others; ``body`` finds the JSON in it.

        Args:
            slots: each calculation takes one; callers queue for them in order, and their time limit does not run while
                they do. So a crowd makes answers late, and not all of them too late.

        Raises:
            NoAnswerError: the database did not answer, or not in time; carries the last known answer.
        """
        try:
            if slots is None:
                found = await self._within(kind, calculate)
            else:
                await self._queue(kind, slots)
                try:
                    found = await self._within(kind, calculate)
                finally:
                    slots.release()
        except DatabaseError as error:
            raise NoAnswerError(error, self._last.get(key)) from error
        self._remember(key, body(found))
        return found

    async def _queue(self, kind: Kind, slots: asyncio.Semaphore) -> None:
        """Return with a slot."""
        try:
            async with asyncio.timeout(LONGEST_QUEUE):
                await slots.acquire()
        except TimeoutError:
            raise DatabaseTimeoutError(f"{kind.name} was not begun in {LONGEST_QUEUE} seconds") from None

    async def _within(self, kind: Kind, calculate: Callable[[], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(kind.timeout):
                return await calculate()
        except TimeoutError:
            raise DatabaseTimeoutError(f"{kind.name} was not ready in {kind.timeout} seconds") from None

    def _remember(self, key: str, value: bytes) -> None:
        self._bytes += len(value) - len(self._last.pop(key, b""))
        self._last[key] = value
        while self._bytes > LAST_KNOWN_BYTES:
            self._bytes -= len(self._last.popitem(last=False)[1])
