"""What can be proved: a service, what is asked of it, by whom, and who writes meanwhile. Plain values.

Each service says it of itself, in its own ``proof``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from tailrace.verify.client import Request
from tailrace.verify.http1 import Response
from tailrace_services.data.loading import Progress
from tailrace_services.data.service import ServiceData
from tailrace_services.up.service_databases import Report

if TYPE_CHECKING:
    from tailrace_services.prove.phases import Proving

__all__ = [
    "Completion",
    "Endpoint",
    "Execute",
    "Person",
    "Report",
    "Simulator",
    "SqlWrite",
    "Subject",
    "Writer",
    "draw",
]

Execute = Callable[..., Awaitable[Any]]
"""Runs one statement, committed."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who asks. ``headers`` show who it is; ``weight`` is how many rows the answers are about."""

    id: int
    headers: Mapping[str, str]
    weight: int


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A read. Times in milliseconds at p95.

    Args:
        request: makes the request of a person, who is of the service's own kind. Where a person may ask for several
            things, the number says for which; -1 is the last.
        asked: what its users asked for.
        share: of the reads in the mix.
        cold: what is aimed for here with cold caches; None: nothing beyond ``asked``.
        warm: the same with warm ones.
        smaller: by how much compression is to make its answers smaller, from 0 to 1; None: nobody asked.
        stores: asking may write what others' answers are about.
        rate: requests a second that are aimed for; None: nobody asked.
    """

    name: str
    request: Callable[[Any, int], Request]
    asked: float
    share: float
    cold: float | None = None
    warm: float | None = None
    smaller: float | None = None
    stores: bool = False
    rate: float | None = None


class Writer(Protocol):
    """One person's writes through the API; it knows what it made before."""

    def usual(self, random: Random) -> Request:
        """A write, of the kinds and as often as users make them."""
        ...

    def any(self, random: Random) -> Request:
        """A write of any kind that there is."""
        ...

    def take(self, request: Request, response: Response) -> None:
        """Remember what a write came to."""
        ...

    def forget(self) -> None:
        """Somebody else may have removed what was made before."""
        ...


SqlWrite = Callable[[Execute, Any, Random, datetime], Awaitable[None]]
"""Writes to a person's rows as an operator with psql does: one committed statement, as of the moment given."""


@dataclass(frozen=True, slots=True)
class Simulator:
    """What stands in for somebody else's service.

    Args:
        factory: ``module:attribute`` of an ASGI application that is told by ``/_control`` how to behave.
        variables: what tells a server of the service where it is, given its address.
        latency_ms: what it takes to answer while times are measured, as in life; otherwise nothing.
    """

    factory: str
    variables: Callable[[str], Mapping[str, str]]
    latency_ms: int


@dataclass(frozen=True, slots=True)
class Completion:
    """What some phases want of the rows, and takes longer than loading them.

    Args:
        phases: which do.
        run: does what is missing in the database at an address, and returns how many rows it has changed.
    """

    phases: Collection[str]
    run: Callable[[str, Report], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Subject:
    """A service that is proved.

    Args:
        data: its tables and rows.
        endpoints: what is asked; the first is the one whose growth with the rows is measured.
        load_people: everybody who may ask, from the database at an address that is about to be served.
        sql_write: what others write beside the service.
        reference: ``module:factory`` of the slow code on the fast service's database.
        reference_indexes: name and ``table (columns)`` of indexes that serve queries of the slow code alone; they are
            there only while answers are compared, never while anything is timed.
        ready: a path that answers below 500 once a server is up.
        new_writer: writes of a person through the API; None: there are none, and the mix is written to by SQL.
        shared: one person's rows are part of others' answers, so that nobody may write while anybody is compared.
        hit_ratios: of the mix, 0 to 1: what its users asked for and what is aimed for; empty where nobody asked.
        variables: what servers find in their environment beside the usual.
        notes: what a reader of the figures should know.
        simulator: what the service calls, if anything.
        import_file: puts the rows of a file into the migrated database at an address; None: there is no such thing.
        phases: its own, by name.
        completion: of the rows, where a phase wants one.
    """

    data: ServiceData
    endpoints: Sequence[Endpoint]
    load_people: Callable[[str], Awaitable[Sequence[Person]]]
    sql_write: SqlWrite
    reference: str
    ready: str
    reference_indexes: Mapping[str, str] = field(default_factory=dict)
    new_writer: Callable[[Any], Writer] | None = None
    shared: bool = False
    hit_ratios: Sequence[float] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    simulator: Simulator | None = None
    import_file: Callable[[str, Path, Progress], Awaitable[Any]] | None = None
    phases: Mapping[str, Callable[[Proving], Awaitable[None]]] = field(default_factory=dict)
    completion: Completion | None = None

    @property
    def name(self) -> str:
        """As in addresses and commands."""
        return self.data.service.replace("_", "-")

    @property
    def package(self) -> str:
        """Holds ``app`` and ``baseline_app``."""
        return f"tailrace_services.{self.data.service}"


P = TypeVar("P", bound=Person)


def draw(people: Sequence[P], count: int, random: Random) -> list[P]:
    """``count`` different people: the one with the most rows first, the rest drawn evenly."""
    largest = max(people, key=lambda person: person.weight)
    others = [person for person in people if person is not largest]
    return [largest, *random.sample(others, k=min(count - 1, len(others)))]
