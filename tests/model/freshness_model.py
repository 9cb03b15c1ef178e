"""Every interleaving of a small world, to see that the freshness protocol holds and that each of its rules is needed.

The world: one row (its newest committed version), one tag, one cached answer, and three kinds of actor.

* Writers: an API writer (commit, stamp, acknowledge; may die after the commit) and one by plain ``psql``.
* Two server processes. Each has a tracked copy of the stamp, an answer of its own, and a relay over the outbox: look,
  stamp what has no mark yet and mark it in one step, delete what it saw or leave it there, wait for its pushes, then
  conclude how far its horizon reaches. One that only watches stamps and deletes nothing. A process may be arbitrarily
  slow, or lose its relay.
* Readers, one a process: learn the stamp, take an answer that carries it, or else query and fill.

Checked whenever a read ends:

  own      it is not older than the newest write that had been acknowledged to this client when the read began
  bounded  it is not older than the process's horizon when the read began: the newest version whose commit preceded a
           pass all of whose rows have been settled

Each name in ``BROKEN`` takes one rule away; each must be caught.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Set
from dataclasses import dataclass, replace

__all__ = ["BROKEN", "World", "explore"]

NONE = -1

BROKEN = (
    "stamp-after-query",
    "bump-before-commit",
    "no-own-bump",
    "no-fence-for-writers",
    "delete-before-bump",
    "counter-stamps",
    "unstamped-rows-count-as-settled",
    "no-fence-in-pass",
    "mark-before-bump",
)


@dataclass(frozen=True, slots=True)
class Process:
    """One server process."""

    local: int = NONE  # tracked copy of the stamp
    push: bool = False  # an invalidation is on its way
    cached: tuple[int, int] | None = None  # its answer: stamp, version
    reached: int = 0  # its horizon, as the newest version it promises
    waiting: tuple[tuple[int, frozenset[int]], ...] = ()  # passes not settled yet: version at the start, rows
    relay: tuple = ("idle",)
    reader: tuple = ("idle",)
    relays: bool = True
    takes: bool = True  # or only watches
    reads: bool = True


@dataclass(frozen=True, slots=True)
class World:
    """One state."""

    row: int = 0
    outbox: frozenset[int] = frozenset()  # versions
    marked: frozenset[int] = frozenset()  # versions of which the store knows that their tag was stamped
    stamp: int = 0
    fresh: int = 1
    entry: tuple[int, int] | None = None
    processes: tuple[Process, ...] = (Process(), Process(relays=False))
    api: str = "idle"
    psql: bool = True  # may still write
    acked: int = 0
    evictions: int = 0
    deaths: int = 0


def put(w: World, i: int, **changes: object) -> World:
    """The world after process ``i`` changed."""
    processes = tuple(replace(p, **changes) if n == i else p for n, p in enumerate(w.processes))  # type: ignore
    return replace(w, processes=processes)


def bump(w: World, broken: str | None) -> World:
    """A new stamp; the server tells every process that has read the old one."""
    new, fresh = w.fresh, w.fresh + 1
    if broken == "counter-stamps":
        new, fresh = (w.stamp if w.stamp != NONE else 0) + 1, w.fresh
    told = tuple(replace(p, push=p.push or p.local != NONE) for p in w.processes)
    return replace(w, stamp=new, fresh=fresh, processes=told)


def observe(p: Process, started: int, unsettled: frozenset[int]) -> dict[str, object]:
    """What ``tailrace.core.freshness.Horizon`` concludes, with every pass remembered."""
    still = [(began, rows & unsettled) for began, rows in (*p.waiting, (started, unsettled))]
    reached = max([p.reached, *[began for began, rows in still if not rows]])
    useful = {(began, rows) for began, rows in still if rows and began > reached}
    return {"reached": reached, "waiting": tuple(sorted(useful, key=lambda kept: (kept[0], sorted(kept[1]))))}


def bump_once(w: World, versions: Set[int], broken: str | None) -> World:
    """A new stamp and a mark, unless all of ``versions`` are marked."""
    if versions <= w.marked:
        return w
    return replace(bump(w, broken), marked=w.marked | versions)


def writer_steps(w: World, broken: str | None) -> Iterator[tuple[str, World]]:
    """The API writer and psql."""
    version = w.row + 1
    committed = replace(w, row=version, outbox=w.outbox | {version})
    if w.api == "idle":
        if broken == "bump-before-commit":
            yield "api bumps", replace(bump(w, broken), api="bumped")
        else:
            yield "api commits", replace(committed, api=f"c{version}")
    elif w.api == "bumped":
        yield "api commits and acknowledges", replace(committed, api="done", acked=version)
    elif w.api.startswith("c"):
        stamped = w if broken == "no-own-bump" else bump_once(w, {int(w.api[1:])}, broken)
        yield "api stamps and acknowledges", replace(stamped, api="done", acked=int(w.api[1:]))
        if w.deaths:
            yield "api dies", replace(w, api="done", deaths=w.deaths - 1)
    if w.psql:
        yield "psql commits", replace(committed, psql=False)
    if w.evictions and w.stamp != NONE:
        told = tuple(replace(p, push=p.push or p.local != NONE) for p in w.processes)
        yield "stamp evicted", replace(w, stamp=NONE, evictions=w.evictions - 1, processes=told)
    if w.evictions and w.marked:
        yield "marks evicted", replace(w, marked=frozenset(), evictions=w.evictions - 1)


def relay_steps(w: World, i: int, broken: str | None) -> Iterator[tuple[str, World]]:
    """One process's relay."""
    p, name = w.processes[i], f"relay {i}"
    state = p.relay
    if not p.relays:
        return
    if state[0] == "idle":
        if p.reached < w.row or w.outbox:
            yield f"{name} looks", put(w, i, relay=("saw", w.row, w.outbox))
        return
    yield from pass_steps(w, i, broken)
    if w.deaths:
        yield f"{name} dies", put(replace(w, deaths=w.deaths - 1), i, relay=("idle",))


def pass_steps(w: World, i: int, broken: str | None) -> Iterator[tuple[str, World]]:
    """A pass that has begun."""
    p, name = w.processes[i], f"relay {i}"
    state = p.relay
    started, seen = state[1], state[2]
    without = replace(w, outbox=w.outbox - seen)
    if state[0] == "saw":
        if not p.takes:
            yield f"{name} only watches", put(w, i, relay=("removed", started, seen))
        elif broken == "delete-before-bump":
            yield f"{name} deletes", put(without, i, relay=("late", started, seen))
        elif broken == "mark-before-bump" and not seen <= w.marked:
            yield f"{name} marks", put(replace(w, marked=w.marked | seen), i, relay=("late", started, seen))
        else:
            yield f"{name} stamps", put(bump_once(w, seen, broken), i, relay=("stamped", started, seen))
    elif state[0] == "late":
        yield f"{name} bumps", put(bump(w, broken), i, relay=("stamped", *state[1:]))
    elif state[0] == "stamped":
        yield f"{name} deletes", put(without, i, relay=("removed", started, seen))
        yield f"{name} leaves rows to others", put(w, i, relay=("removed", started, seen))
    elif state[0] == "removed":
        unsettled = seen if not p.takes and broken != "unstamped-rows-count-as-settled" else frozenset()
        fenced = w if broken == "no-fence-in-pass" or not p.push else put(w, i, push=False, local=NONE)
        concluded = observe(fenced.processes[i], started, unsettled)
        yield f"{name} concludes", put(fenced, i, relay=("idle",), **concluded)


def reader_steps(w: World, i: int, broken: str | None) -> Iterator[tuple[str, World]]:
    """One process's reader, a client that shows its token once it has written."""
    p, name = w.processes[i], f"reader {i}"
    if not p.reads:
        return
    if p.push:
        yield f"push to {i}", put(w, i, push=False, local=NONE)
    kind = p.reader[0]
    if kind == "idle":
        fenced = w
        if w.acked and p.push and broken != "no-fence-for-writers":
            fenced = put(w, i, push=False, local=NONE)
        yield f"{name} begins", put(fenced, i, reader=("stamp", max(w.acked, p.reached)))
    elif kind == "stamp":
        yield learn_and_serve(w, i, broken)
    elif kind == "query":
        yield f"{name} queries", put(w, i, reader=("fill", p.reader[1], p.reader[2], w.row))
    elif kind == "fill":
        _, floor, stamp, version = p.reader
        if broken == "stamp-after-query" and w.stamp != NONE:
            stamp = w.stamp
        filled = replace(w, entry=(stamp, version))
        yield f"{name} fills", put(filled, i, cached=(stamp, version), reader=("end", floor, version))


def learn_and_serve(w: World, i: int, broken: str | None) -> tuple[str, World]:
    """The stamp from the local copy, else from the store, which gets one if it has none; then an answer or a miss."""
    p, name = w.processes[i], f"reader {i}"
    floor, stamp = p.reader[1], p.local
    if stamp == NONE:
        if w.stamp == NONE:
            counted = broken == "counter-stamps"
            w = replace(w, stamp=0 if counted else w.fresh, fresh=w.fresh + (not counted))
        stamp = w.stamp
        w = put(w, i, local=stamp)
    if p.cached and p.cached[0] == stamp:
        return f"{name} hits its own copy", put(w, i, reader=("end", floor, p.cached[1]))
    if w.entry and w.entry[0] == stamp:
        return f"{name} hits the store", put(w, i, cached=w.entry, reader=("end", floor, w.entry[1]))
    return f"{name} misses", put(w, i, reader=("query", floor, stamp))


def wrong(w: World) -> str | None:
    """What a read that has just ended got wrong."""
    for i, p in enumerate(w.processes):
        if p.reader[0] == "end" and p.reader[2] < p.reader[1]:
            return f"reader {i} got version {p.reader[2]}, promised was {p.reader[1]}"
    return None


def canonical(w: World) -> World:
    """Stamps matter only by being equal: name them in order of appearance, so that worlds that differ in names meet."""
    names: dict[int, int] = {NONE: NONE}

    def name(stamp: int) -> int:
        return names.setdefault(stamp, len(names) - 1)

    stamp, entry = name(w.stamp), w.entry and (name(w.entry[0]), w.entry[1])
    processes = []
    for p in w.processes:
        reader = (
            (p.reader[0], p.reader[1], name(p.reader[2]), *p.reader[3:])
            if p.reader[0] in ("query", "fill")
            else p.reader
        )
        cached = p.cached and (name(p.cached[0]), p.cached[1])
        processes.append(replace(p, local=name(p.local), cached=cached, reader=reader))
    return replace(w, stamp=stamp, entry=entry, processes=tuple(processes), fresh=len(names))


def steps(w: World, broken: str | None) -> Iterator[tuple[str, World]]:
    """Everything that may happen next. A read that has ended may be followed by another."""
    for i, p in enumerate(w.processes):
        if p.reader[0] == "end":
            w = put(w, i, reader=("idle",))
    yield from writer_steps(w, broken)
    for i in range(len(w.processes)):
        yield from relay_steps(w, i, broken)
        yield from reader_steps(w, i, broken)


def explore(start: World, broken: str | None = None) -> tuple[int, str | None, list[str]]:
    """Go through every state that can be reached.

    Returns:
        How many there are, what is wrong in the first bad one (None if none is), and the shortest way there.
    """
    came_from: dict[World, tuple[World, str] | None] = {start: None}
    queue = deque([start])
    while queue:
        w = queue.popleft()
        problem = wrong(w)
        if problem:
            trace = []
            while (step := came_from[w]) is not None:
                w = step[0]
                trace.append(step[1])
            return len(came_from), problem, trace[::-1]
        for name, following in steps(w, broken):
            following = following if broken == "counter-stamps" else canonical(following)
            if following not in came_from:
                came_from[following] = (w, name)
                queue.append(following)
    return len(came_from), None, []
