"""What one request may read from the cache. Pure: a context variable and its value.

The front door makes a ``ReadContext`` for each request, the database session notes writes in it, the cache obeys it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

__all__ = ["ReadContext", "current_reads", "reading_context"]


@dataclass(slots=True)
class ReadContext:
    """One request's standing.

    Attributes:
        fenced: this process caught up with every other before the request was served.
        bypass: the cache must not be used.
        wrote: the request committed a write; its client gets a token.
        wrote_unstamped: the commit's stamps could not be written; the token makes others bypass the cache.
        stamped_in: names the store and the database in which the commit's stamps were written.
        ended: the request is over.
        writing: how many transactions that have written are open; the cache would not show their writes.
    """

    fenced: bool = False
    bypass: bool = False
    wrote: bool = False
    wrote_unstamped: bool = False
    stamped_in: str | None = None
    ended: bool = False
    writing: int = 0

    def stamped(self, life: str | None) -> None:
        """Note that a commit's stamps were written in ``life``; one token cannot speak for two of them."""
        self.wrote_unstamped |= self.stamped_in not in (None, life)
        self.stamped_in = life


current_reads: ContextVar[ReadContext | None] = ContextVar("tailrace_current_reads", default=None)


@contextmanager
def reading_context() -> Iterator[None]:
    """Outside requests (workers, scripts) a session is a request of its own: it does not read past its own writes."""
    if current_reads.get() is not None:
        yield
        return
    own = ReadContext()
    current_reads.set(own)
    try:
        yield
    finally:
        if current_reads.get() is own:  # else the session ends in another task than it began in
            current_reads.set(None)
