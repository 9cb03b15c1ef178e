"""Shares what callers compute in their own tasks, within one event loop. Touches: asyncio futures.

``SingleFlight`` computes in a task of its own, which outlives the caller that began it. A computation that uses what is
its caller's, such as a database connection, must end with it; then the next of those who wait takes over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["InPlace"]

T = TypeVar("T")


class InPlace(Generic[T]):
    """Computations under way. Memory: what is under way."""

    __slots__ = ("_flights",)

    def __init__(self) -> None:
        self._flights: dict[Hashable, asyncio.Future[T | None]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    async def join(self, key: Hashable, compute: Callable[[], Awaitable[T]]) -> tuple[T | None, bool]:
        """The result and whether this caller computed it; None if another one tried and failed.

        Raises:
            Whatever ``compute`` raises, to the caller that ran it.
        """
        while (flight := self._flights.get(key)) is not None:
            await asyncio.wait([flight])
            if not flight.cancelled():
                return flight.result(), False
        flight = self._flights[key] = asyncio.get_running_loop().create_future()
        try:
            result = await compute()
        except Exception:
            flight.set_result(None)
            raise
        except BaseException:
            flight.cancel()
            raise
        else:
            flight.set_result(result)
            return result, True
        finally:
            del self._flights[key]
