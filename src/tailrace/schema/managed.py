"""An object that another room declares: it says itself what has to be done, and does it. Touches: nothing.

`plan`, `apply` and `reconcile` treat it as one of their own: under their lock, with their patience and progress.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Table

from tailrace.schema.backfill import Report
from tailrace.schema.connection import Connection, Patience
from tailrace.schema.index import Index
from tailrace.schema.watches import Watch

if TYPE_CHECKING:
    from tailrace.schema.planner import Step
    from tailrace.schema.reconciliation import Drift

__all__ = ["Managed", "Undertaken"]


@dataclass(frozen=True, slots=True)
class Undertaken:
    """Declarations that need nothing else, and the steps that keep them."""

    items: Sequence[Watch | Index] = ()
    steps: Sequence[Step] = ()


class Managed(ABC):
    """What it has to know of itself. ``prune`` never removes it: it may hold what nothing else does."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Its table's name."""

    @property
    @abstractmethod
    def source(self) -> Table:
        """Its table."""

    @property
    @abstractmethod
    def tables(self) -> Sequence[str]:
        """``schema.name`` of every table that it makes, so that watches of them can be planned with it."""

    @abstractmethod
    async def steps(self, connection: Connection) -> list[Step]:
        """What has to be done so that the database holds it, in order. Reads only.

        Raises:
            SchemaError: it cannot be kept; the message says why.
        """

    async def undertaken(self, connection: Connection, others: Sequence[Watch | Index]) -> Undertaken:
        """Which of the watches and indexes that are declared of its tables it keeps itself, and what that takes.

        The others are kept as those of any table; which is all of them, unless it says otherwise.

        Raises:
            SchemaError: one cannot be kept; the message says why.
        """
        return Undertaken()

    @abstractmethod
    async def carry_out(
        self, connection: Connection, step: Step, patience: Patience, report: Report | None = None
    ) -> None:
        """Do one of its steps, whether or not an earlier attempt did part of it."""

    @abstractmethod
    async def check(self, connection: Connection, *, repair: bool) -> list[Drift]:
        """Compare what is kept of its rows with the rows; with ``repair``, put right what differs."""
