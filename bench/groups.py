"""What can be asked for by name, and how each is measured."""

from __future__ import annotations

import importlib
import inspect
from asyncio import run
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import median

from bench import Measurement, admitted, arena, hits, loopback, tables
from bench.contender import Contender, Fact, NotWorkingError, Surroundings, Table
from bench.fronts import FRONTS
from bench.session import Session
from bench.stacks import OVER_LOOPBACK

__all__ = ["GROUPS", "Group"]


@dataclass(frozen=True, slots=True)
class Group:
    """Something to measure.

    Attributes:
        about: what it is, in a line.
        measure: measures it.
        compares: it is run when no group is named.
    """

    about: str
    measure: Callable[[Session], Iterable[Measurement]]
    compares: bool = True


@dataclass(frozen=True, slots=True)
class Proved:
    """Contenders that work, with what was seen of them, and where they can be measured."""

    surroundings: Surroundings
    facts: dict[Contender, Sequence[Fact]]
    advance: Callable[[], None]


def _in_process(of: Sequence[Table], session: Session) -> list[Measurement]:
    return [row for table in of for row in _of_table(table, session)]


def _of_table(table: Table, session: Session) -> list[Measurement]:
    proved = _proved(table, session, session.rounds)
    working = replace(table, contenders=tuple(proved.facts))
    samples = arena.measure(working, proved.surroundings, session.rounds, proved.advance)
    return _rows(working, samples, proved)


def _proved(table: Table, session: Session, steps: int) -> Proved:
    """Those of a table that are installed and work; the others are noted."""
    contenders = session.installed(table.name, table.contenders)
    surroundings = session.surroundings(need for contender in contenders for need in contender.needs)
    advance = session.progress(table.name, len(contenders) + steps)
    facts: dict[Contender, Sequence[Fact]] = {}
    for contender in contenders:
        try:
            facts[contender] = arena.prove(table, contender, surroundings)
        except NotWorkingError as error:
            session.fail(str(error))
        advance()
    session.forget()
    return Proved(surroundings, facts, advance)


def _rows(table: Table, samples: arena.Samples, proved: Proved) -> list[Measurement]:
    """The quickest turn of each counts, since everything else can only add to it; the median tells how quiet it was."""
    bare, base = min(samples[table.contenders[0].name]), min(samples[table.baseline])
    rows = []
    for contender, facts in proved.facts.items():
        name = contender.name
        cost, middle = min(samples[name]), median(samples[name])
        rows.append(Measurement(table.name, name, f"CPU a {table.operation}", cost, "us", cost / bare))
        if name not in (table.baseline, table.contenders[0].name):
            rows.append(Measurement(table.name, name, f"added to {table.baseline}", cost - base, "us"))
        rows.append(Measurement(table.name, name, "median", middle, "us"))
        rows += [Measurement(table.name, name, *fact) for fact in facts]
    return rows


def _over_loopback(server: str, session: Session) -> list[Measurement]:
    if not session.has(server):
        session.leave_out(f"{server} not installed")
        return []
    proved = _proved(OVER_LOOPBACK, session, session.turns)
    seats = [loopback.Seat(server, OVER_LOOPBACK.name, contender) for contender in proved.facts]
    return loopback.measure(server, seats, proved.surroundings, session.turns, proved.advance)


def _hits_over_loopback(session: Session) -> list[Measurement]:
    table = hits.TABLE
    for name, front in FRONTS.items():
        if front.file is None:
            session.leave_out(f"{table.name}: {name}: {front.program} not installed")
    servers = [server for server in loopback.SERVERS if session.has(server)]
    proved = _proved(table, session, session.turns)
    seats = list(hits.seats(proved.facts, servers))
    return loopback.measure(table.name, seats, proved.surroundings, session.turns, proved.advance)


def _admitted(session: Session) -> list[Measurement]:
    names = [name for name, each in admitted.CONTENDERS.items() if session.installed("admitted", [each])]
    surroundings = session.surroundings({"valkey"})
    advance = session.progress("admitted by four processes", len(names))
    rows = []
    for name in names:
        session.forget()
        rows += admitted.measure(name, surroundings)
        advance()
    return rows


def _module(name: str, session: Session) -> Iterable[Measurement]:
    """A module with ``main()``, plain or ``async``; imported only when it is run."""
    found = importlib.import_module(f"bench.{name}").main()
    return run(found) if inspect.iscoroutine(found) else found


def _module_in(name: str, session: Session) -> Iterable[Measurement]:
    """A module with ``measure(session)``; imported only when it is run."""
    found: Iterable[Measurement] = importlib.import_module(f"bench.{name}").measure(session)
    return found


GROUPS = {
    "layers": Group(
        "one layer at a time, ours beside others, in process", partial(_in_process, tables.GROUPS["layers"])
    ),
    "compression": Group("zstd, brotli and gzip, in process", partial(_in_process, tables.GROUPS["compression"])),
    "caches": Group("hits of caches, in process", partial(_in_process, tables.GROUPS["caches"])),
    "evictions": Group("what stays in memory, and what a hit there costs", partial(_module_in, "evictions")),
    "stampede": Group("how often a cold answer is computed for a thousand clients", partial(_module_in, "stampede")),
    "limits": Group("a rate limit's decision alone", partial(_in_process, tables.GROUPS["limits"])),
    "stacks": Group("whole stacks, with 2 and 100 routes, in process", partial(_in_process, tables.GROUPS["stacks"])),
    "uvicorn": Group("whole stacks over loopback", partial(_over_loopback, "uvicorn")),
    "granian": Group("the same, served by granian", partial(_over_loopback, "granian")),
    "hits": Group("a hit over loopback, ours beside nginx, Varnish and other packages", _hits_over_loopback),
    "admitted": Group("how many four processes of fifty tasks admit", _admitted),
    "streams": Group(
        "a thousand open event streams, and clients that leave, ours beside other packages",
        partial(_module_in, "streams"),
    ),
    "load_driver": Group("what the load driver itself costs", partial(_module, "load_driver")),
    "invalidation": Group(
        "how soon a commit ends cached answers (65 s)", partial(_module, "invalidation"), compares=False
    ),
    "store_faults": Group(
        "what clients notice of a shared store that fails (80 s)", partial(_module_in, "store_faults"), compares=False
    ),
    "database_faults": Group(
        "what clients notice of a line to the database that breaks (6 minutes)",
        partial(_module_in, "database_faults"),
        compares=False,
    ),
    "soak": Group("memory of a server over ten minutes", partial(_module_in, "soak"), compares=False),
    "wrong_hits": Group(
        "wrong answers of a semantic cache beside its hits (2 minutes)",
        partial(_module_in, "wrong_hits"),
        compares=False,
    ),
    "manual": Group(
        "how often PostgreSQL's manual has the page that answers a question among the first (minutes)",
        partial(_module_in, "manual"),
        compares=False,
    ),
    "rollup_writes": Group("what rollups cost writers (4 minutes)", partial(_module, "rollup_writes"), compares=False),
}
