"""Where the events of streams are kept for clients that were cut off. Pure: the protocol and its values.

A log belongs to one response: whoever made it is the only one that adds to it, so nothing is ever contended for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

__all__ = ["Recorded", "ReplayLog"]


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a stream has sent so far.

    Attributes:
        bodies: its events from the first on, as sent but for their ids.
        ended: nothing follows.
    """

    bodies: tuple[bytes, ...]
    ended: bool


class ReplayLog(Protocol):
    """Keeps streams for some minutes."""

    async def append(self, stream: str, number: int, body: bytes) -> None:
        """Add an event; ``number`` counts from 1, without gaps.

        Raises:
            StoreUnavailableError: it could not be kept.
        """
        ...

    async def end(self, stream: str, number: int) -> None:
        """Note that nothing follows; ``number`` is what the next event's would be.

        Raises:
            StoreUnavailableError: it could not be noted.
        """
        ...

    async def forget(self, stream: str) -> None:
        """Let go of a stream.

        Raises:
            StoreUnavailableError: it is still there, until its time is up.
        """
        ...

    async def read(self, stream: str) -> Recorded | None:
        """What is kept of a stream, None if that is not all of it.

        Raises:
            StoreUnavailableError: nobody knows.
        """
        ...

    async def aclose(self) -> None:
        """Let go of everything that this process holds."""
        ...
