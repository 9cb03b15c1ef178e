"""What a benchmark compares: contenders in tables. Each says how it is made, proves that it works, and can be measured.

A contender is proved and measured in processes of its own (``bench.arena``): several of the packages keep their state
in their classes, and nobody's garbage or caches may be charged to another.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

__all__ = ["ROOMY", "TIGHT", "Contender", "Fact", "NotWorkingError", "Spend", "Surroundings", "Table"]

TIGHT = 100
"""Requests that a contender allows a caller while it is proved."""

ROOMY = 900_000_000
"""Requests that it allows while it is measured: nothing is refused, since a refusal is another path."""

Fact = tuple[str, float, str]
"""What is known of a contender without timing it: name, value, unit."""

Spend = Callable[[int], Awaitable[float]]
"""Does so many operations; returns the CPU microseconds of one."""


class NotWorkingError(Exception):
    """A contender does not do what it is compared for, so that its figures would compare nothing."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What contenders are made in.

    Attributes:
        allowed: requests that limits allow a caller in a period.
        period: ``day`` or ``minute``; a day is so long that nothing flows in anew while somebody looks.
        valkey_url, database_url: servers; empty where the table has no use for them.
    """

    allowed: int = ROOMY
    period: str = "day"
    valkey_url: str = ""
    database_url: str = ""

    @property
    def rate(self) -> str:
        """What is allowed, as most packages have it: ``100/day``."""
        return f"{self.allowed}/{self.period}"


class Contender(Protocol):
    """One line of a table.

    Attributes:
        name: as it stands in the results.
        peers: the packages that it needs beside the project's own.
        needs: servers, of ``valkey`` and ``database``.
    """

    @property
    def name(self) -> str: ...

    @property
    def peers(self) -> tuple[str, ...]: ...

    @property
    def needs(self) -> frozenset[str]: ...

    async def prove(self, surroundings: Surroundings) -> Sequence[Fact]:
        """See that it works, and say what else was seen.

        Raises:
            NotWorkingError: it does not.
        """

    def ready(self, surroundings: Surroundings) -> AbstractAsyncContextManager[Spend]:
        """Started, to be measured.

        Raises:
            NotWorkingError: it stopped doing its work while it was measured.
        """


@dataclass(frozen=True, slots=True)
class Table:
    """Contenders that are measured together, their rounds interleaved.

    Attributes:
        name: as it stands in the results.
        contenders: the first is the bare one, of which ratios tell.
        baseline: the contender over which added cost is told; it is in the table.
        operation: what is counted.
    """

    name: str
    contenders: tuple[Contender, ...]
    baseline: str
    operation: str = "request"

    def __post_init__(self) -> None:
        names = [contender.name for contender in self.contenders]
        if len(set(names)) != len(names) or self.baseline not in names:
            raise ValueError(f"table {self.name}: {', '.join(names)} over {self.baseline}")
