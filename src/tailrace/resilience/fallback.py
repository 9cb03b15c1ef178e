"""Answer with something else when a dependency cannot, and say so. Touches: nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from tailrace.errors import TailraceError
from tailrace.events import FallbackUsed, Observer

__all__ = ["Answered", "with_fallback"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answered(Generic[T]):
    """A value, and whether it is the real one. ``reason`` is the code of the error that a fallback stands in for."""

    value: T
    reason: str | None = None

    @property
    def degraded(self) -> bool:
        """True if a fallback answered."""
        return self.reason is not None


async def with_fallback(
    name: str,
    call: Callable[[], Awaitable[T]],
    fallback: Callable[[TailraceError], Awaitable[T]],
    *,
    observer: Observer | None = None,
) -> Answered[T]:
    """Await ``call()``; if it raises one of Tailrace's errors, ``fallback(error)`` in its place.

    A mistake in the program is not covered up: any other exception passes, and so does a cancellation. What the
    fallback itself raises passes with the first error as its context.

    Args:
        name: the dependency, as it appears in events.
    """
    try:
        return Answered(await call())
    except TailraceError as error:
        value = await fallback(error)
        if observer is not None:
            observer(FallbackUsed(name, error.code))
        return Answered(value, error.code)
