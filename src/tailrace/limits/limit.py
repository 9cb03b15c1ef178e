"""What is limited, what is asked, and what was decided: the words the room speaks. Pure: values and one protocol.

One contract suite (``tests/contract/test_limiter.py``) runs against every limiter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from tailrace.core.gcra import Decision, Rate

__all__ = ["Claim", "DecidedBy", "Limit", "Limiter", "Mode", "OnOutage", "Verdict", "of_fields"]

Mode = Literal["exact", "leased"]
"""``exact``: every decision is the store's. ``leased``: a process takes units in advance and asks no more until they
are used."""

OnOutage = Literal["share", "open", "closed"]
"""What happens while the store is down: each process keeps its share of the limit by itself, all are admitted, or none
is."""

DecidedBy = Literal["memory", "valkey", "lease", "share", "open", "closed"]
"""Who decided, for metrics."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A rate and what it is called.

    Attributes:
        name: says which buckets are meant: limits of one name share theirs. From code, never from input; it is a metric
            label and part of keys.
        rate: for each caller.
        mode, on_outage: how it is kept where there is a store.

    Raises:
        ValueError: the name is empty or not printable ASCII without quotes and backslashes, or longer than 128.
    """

    name: str
    rate: Rate
    mode: Mode = "exact"
    on_outage: OnOutage = "share"

    def __post_init__(self) -> None:
        name = self.name
        if not (0 < len(name) <= 128 and name.isascii() and name.isprintable()) or '"' in name or "\\" in name:
            raise ValueError(f"{name[:128]!r} cannot name a limit")


class Claim(NamedTuple):
    """Units of one limit that a caller asks for.

    Attributes:
        limit: which.
        caller: whose bucket; short, and never a credential.
        cost: units, at least 1.
    """

    limit: Limit
    caller: str
    cost: int = 1


class Verdict(NamedTuple):
    """What became of claims that were decided together: all were granted, or nothing was taken for any.

    Attributes:
        allowed: all buckets had room.
        decisions: one for each claim, in order; None where nobody could tell.
        decided_by: who decided; of several, the one that was asked last.
    """

    allowed: bool
    decisions: tuple[Decision | None, ...]
    decided_by: DecidedBy

    @property
    def retry_after(self) -> int:
        """Microseconds after which all of them would be granted if nobody else asked; 0 where that is not known."""
        return max((decision.retry_after for decision in self.decisions if decision is not None), default=0)


of_fields = tuple.__new__
"""``of_fields(Verdict, fields)``: a named tuple at half the price of calling its class, for hot paths."""


class Limiter(Protocol):
    """Decides claims. Never raises for want of a store, unless its class says so."""

    @property
    def held(self) -> int:
        """Callers for whom something is kept in this process."""
        ...

    @property
    def evictions(self) -> int:
        """Buckets that left this process's memory while in use, for want of room."""
        ...

    def take_now(self, claims: Sequence[Claim]) -> Verdict | None:
        """The verdict, if it takes no waiting; None: nothing was taken, ``take`` has to be asked."""
        ...

    def ready(self, claims: Sequence[Claim]) -> Callable[[], Verdict | None]:
        """``take_now`` of the same claims, for who makes them again and again."""
        ...

    async def take(self, claims: Sequence[Claim]) -> Verdict:
        """The verdict: every claim is granted, or nothing is taken for any of them."""
        ...

    async def connect(self) -> bool:
        """Be ready before the first decision; False if the store, where there is one, cannot be reached now."""
        ...

    async def aclose(self) -> None:
        """Let go of connections and tasks. Idempotent."""
        ...
