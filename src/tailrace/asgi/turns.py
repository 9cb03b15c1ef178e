"""Work that has begun goes before requests that have not. Touches: the event loop.

An event loop runs whatever is ready, so five hundred clients who ask at once make turns of five hundred requests, and
everything that needs several turns (a statement, a fence, a pass over the outbox) waits for all of them at each one.
Here only so many requests begin in one turn. The others wait in the order they came; nothing is refused, and the
machine does the same work. What is under way ends sooner, and what keeps answers fresh is not starved.
"""

from __future__ import annotations

import asyncio
from collections import deque

__all__ = ["MOST_IN_A_TURN", "Turns"]

MOST_IN_A_TURN = 16
"""Requests that begin in one turn of the event loop: some milliseconds of hits, and no more than that of misses."""


class Turns:
    """Lets requests begin, a bounded number in each turn of the event loop, first come, first served.

    Args:
        most: in one turn.

    Turns are counted only where it may come to that: while few have begun since the count was last renewed, in however
    many turns, nothing is asked of the event loop, which would go round once more for it.

    Cost: 0.1 microseconds for a request that need not wait, and at most one call of the event loop in a turn.
    """

    __slots__ = ("_few", "_left", "_most", "_renewing", "_waiting")

    def __init__(self, most: int = MOST_IN_A_TURN) -> None:
        self._most = most
        self._left = most
        self._few = most // 2
        self._renewing = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        """Requests that wait."""
        return len(self._waiting)

    def take(self) -> bool:
        """True if one more may begin at once; else wait with :meth:`wait`."""
        left = self._left
        if left <= self._few and not self._renewing:
            self._renew_next_turn()
        if left <= 0:
            return False
        self._left = left - 1
        return True

    async def wait(self) -> None:
        """Return when it is the caller's turn."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._left = 0  # nobody overtakes who waits
        if not self._renewing:
            self._renew_next_turn()
        await turn

    def _renew_next_turn(self) -> None:
        self._renewing = True
        asyncio.get_running_loop().call_soon(self._renew)

    def _renew(self) -> None:
        """The next turn: those who wait longest begin."""
        self._left = self._most
        waiting = self._waiting
        while waiting and self._left:
            turn = waiting.popleft()
            if not turn.done():  # else its client has left
                turn.set_result(None)
                self._left -= 1
        self._renewing = False
        if waiting or self._left <= self._few:  # those who begin now use this turn up for whoever comes in it
            self._renew_next_turn()
