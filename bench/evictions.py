"""What stays in memory, and what a hit there costs: our policy beside others, on traces drawn with fixed seeds.

Zipf's law over 10,000 keys, a hundred thousand requests each: *stationary*, at three exponents; *shifting*, where half
of the keys are others after every sixth; *drifting*, where favourites change one by one; *scanned*, where a quarter of
the time every other request is for a key that never comes again. ``S3-FIFO`` is the paper's algorithm, written from it
and sharing nothing with ours, with one bound only.

A hit's cost is told by ``timeit``, less an empty loop. *One key*: ``MemoryStore.reader``, by which answers without
tags and codings are found: one dictionary, the deadline beside the time, a use counted, the value. The time is handed
in, as the hit path does, which reads the clock once at a request's beginning; *one key and the clock* is without that,
as others than the hit path read. *A list of one key*:
``MemoryStore.peek``, by which answers and their tags' stamps are found, and *a key more* is what each costs beside the
first: that, and no more, is what others' ``get`` does, most of whom know no deadlines.

**Source:** Yang et al., SOSP 2023, algorithm 1.
"""

from __future__ import annotations

import asyncio
import math
import timeit
from bisect import bisect
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from itertools import accumulate
from random import Random
from typing import Protocol

from bench import Measurement
from bench.session import Session
from tailrace.clock import SystemClock
from tailrace.stores import MemoryStore
from tailrace.stores.bounded_map import BoundedMap
from tailrace.stores.s3fifo import MOST_USES, Entry

__all__ = ["CAPACITIES", "TRACES", "LeastRecentlyUsed", "Ours", "PaperS3Fifo", "measure"]

GROUP = "evictions"
KEYS = 10_000
REQUESTS, QUICK_REQUESTS = 100_000, 4_000
CAPACITIES = (100, 500, 1000, 3000)
LOOPS, REPEATS = 5_000, 60
MORE = 8
"""Keys beside the first in one look-up."""
ROOMY = 2**40
NAME = "{:07d}"
"""Of keys, all equally long."""
FOREVER = 1e12


class Policy(Protocol):
    """A cache of so many keys."""

    def ask(self, key: int) -> bool:
        """True if it is held; it is afterwards."""


class Ours:
    """``BoundedMap``, read as the stores do; ``by_bytes``: bounded by the room that so many take."""

    def __init__(self, capacity: int, *, by_bytes: bool = False) -> None:
        size = Entry(NAME.format(0), b"", FOREVER).size
        self._map = BoundedMap(ROOMY, capacity * size, ROOMY) if by_bytes else BoundedMap(capacity, ROOMY, ROOMY)

    def ask(self, key: int) -> bool:
        name = NAME.format(key)
        entry = self._map.entries.get(name)
        if entry is None:
            self._map.put(name, b"", FOREVER, 0.0)
            return False
        entry.uses = min(MOST_USES, entry.uses + 1)
        return True


class PaperS3Fifo:
    """The paper's three queues."""

    def __init__(self, capacity: int) -> None:
        self._small_size = max(1, capacity // 10)
        self._main_size = capacity - self._small_size
        self._small: deque[int] = deque()
        self._main: deque[int] = deque()
        self._ghost: OrderedDict[int, None] = OrderedDict()
        self._uses: dict[int, int] = {}

    def ask(self, key: int) -> bool:
        if key in self._uses:
            self._uses[key] = min(3, self._uses[key] + 1)
            return True
        while len(self._uses) >= self._small_size + self._main_size:
            if len(self._small) >= self._small_size:
                self._evict_small()
            else:
                self._evict_main()
        if key in self._ghost:
            del self._ghost[key]
            self._main.append(key)
        else:
            self._small.append(key)
        self._uses[key] = 0
        return False

    def _evict_small(self) -> None:
        while self._small:
            key = self._small.popleft()
            if self._uses[key] <= 1:
                del self._uses[key]
                self._ghost[key] = None
                if len(self._ghost) > self._main_size:
                    self._ghost.popitem(last=False)
                return
            self._uses[key] = 0
            self._main.append(key)
            if len(self._main) > self._main_size:
                self._evict_main()
                return

    def _evict_main(self) -> None:
        while self._main:
            key = self._main.popleft()
            if self._uses[key] == 0:
                del self._uses[key]
                return
            self._uses[key] -= 1
            self._main.append(key)


class LeastRecentlyUsed:
    """What most packages do."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._held: OrderedDict[int, None] = OrderedDict()

    def ask(self, key: int) -> bool:
        if key in self._held:
            self._held.move_to_end(key)
            return True
        if len(self._held) >= self._capacity:
            self._held.popitem(last=False)
        self._held[key] = None
        return False


def zipf(exponent: float, requests: int, seed: int = 1) -> list[int]:
    """Keys by Zipf's law, the likeliest first."""
    draw = Random(seed)
    weights = list(accumulate((rank + 1) ** -exponent for rank in range(KEYS)))
    return [bisect(weights, draw.random() * weights[-1]) for _ in range(requests)]


def shifting(requests: int) -> list[int]:
    """Half of the keys are others after every sixth of the time."""
    return [key + at * 6 // requests * KEYS // 2 for at, key in enumerate(zipf(1.0, requests))]


def drifting(requests: int) -> list[int]:
    """Every 30 requests another key becomes the favourite."""
    return [key + at // 30 for at, key in enumerate(zipf(1.0, requests))]


def scanned(requests: int) -> list[int]:
    """A quarter of the time, every other request is for a key that never comes again."""
    never_again = 10 * KEYS + requests
    found: list[int] = []
    for at, key in enumerate(zipf(1.0, requests)):
        found.append(key)
        if at % 20_000 < 5_000:
            found.append(never_again + at)
    return found


TRACES: dict[str, Callable[[int], list[int]]] = {
    "stationary, 0.8": lambda requests: zipf(0.8, requests),
    "stationary, 1.0": lambda requests: zipf(1.0, requests),
    "stationary, 1.2": lambda requests: zipf(1.2, requests),
    "shifting": shifting,
    "drifting": drifting,
    "scanned": scanned,
}
POLICIES: dict[str, Callable[[int], Policy]] = {
    "Tailrace": Ours,
    "S3-FIFO": PaperS3Fifo,
    "LRU": LeastRecentlyUsed,
}


def hit_ratio(policy: Policy, trace: Sequence[int]) -> float:
    """In percent."""
    return 100 * sum(map(policy.ask, trace)) / len(trace)


def measure(session: Session) -> list[Measurement]:
    """Hit ratios, and what a hit costs."""
    requests = QUICK_REQUESTS if session.quick else REQUESTS
    advance = session.progress(GROUP, len(TRACES) + 1)
    rows = []
    for name, draw in TRACES.items():
        trace = draw(requests)
        for capacity in CAPACITIES:
            for policy, make in POLICIES.items():
                ratio = hit_ratio(make(capacity), trace)
                rows.append(Measurement(f"{GROUP}: {name}", policy, f"hits, {capacity} held", ratio, "%"))
        advance()
    rows += _cost_of_a_hit()
    advance()
    return rows


def _cost_of_a_hit() -> list[Measurement]:
    """By turns, so that what else the machine does falls on all alike; the quickest turn of each counts."""
    keys = [f"tailrace:0123456789ab:e:/api/v1/kept/{number}" for number in range(MORE + 1)]
    clock = SystemClock()
    store = MemoryStore(clock=clock)
    asyncio.run(store.set(dict.fromkeys(keys, b"x" * 4096), 3600))
    names = {"peek": store.peek, "one": keys[:1], "more": keys, "get": dict.fromkeys(keys, b"").get, "key": keys[0]}
    names |= {"read": store.reader(clock.monotonic), "clock": clock.monotonic, "now": clock.monotonic()}
    statements = {
        "empty": "pass",
        "dict": "get(key)",
        "clock": "clock()",
        "read": "read(key, now)",
        "both": "read(key)",
        "one": "peek(one)",
        "more": "peek(more)",
    }
    best = dict.fromkeys(statements, math.inf)
    for _ in range(REPEATS):
        for name, statement in statements.items():
            taken = timeit.timeit(statement, number=LOOPS, globals=names) / LOOPS * 1e9
            best[name] = min(best[name], taken)
    dictionary = best["dict"] - best["empty"]
    found = {
        "a dictionary's get": dictionary,
        "the clock": best["clock"] - best["empty"],
        "one key": best["read"] - best["empty"],
        "one key and the clock": best["both"] - best["empty"],
        "a list of one key": best["one"] - best["empty"],
        "a key more": (best["more"] - best["one"]) / MORE,
    }
    return [Measurement(f"{GROUP}: a hit", name, "takes", ns, "ns", ns / dictionary) for name, ns in found.items()]
