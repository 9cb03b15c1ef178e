"""The freshness protocol holds in every interleaving of a small world, and each of its rules is needed."""

from __future__ import annotations

import pytest
from tests.model.freshness_model import BROKEN, Process, World, explore

TWO_READERS = (Process(relays=False), Process(relays=False))
ONE_OF_EACH = (Process(), Process(reads=False, relays=False))
TWO_RELAYS = (Process(), Process(reads=False))
A_WATCHER = (Process(reads=False), Process(takes=False))

WORLDS = {
    "two readers, an API writer, an eviction": World(processes=TWO_READERS, psql=False, evictions=1),
    "a relay, an API writer, a death": World(processes=ONE_OF_EACH, psql=False, deaths=1),
    "a relay, both writers": World(processes=ONE_OF_EACH),
    "two relays, psql, a death": World(processes=TWO_RELAYS, api="done", deaths=1),
    "two relays, psql, an eviction": World(processes=TWO_RELAYS, api="done", evictions=1),
    "a relay, a watcher, psql": World(processes=A_WATCHER, api="done"),
}
LARGER = {
    "two readers, both writers, an eviction": World(processes=TWO_READERS, evictions=1),
    "two relays, an API writer, a death": World(processes=TWO_RELAYS, psql=False, deaths=1),
}


@pytest.mark.parametrize("world", [*WORLDS.values(), *LARGER.values()], ids=[*WORLDS, *LARGER])
def test_the_protocol_holds(world: World) -> None:
    """No read is older than its client's acknowledged writes or than the horizon of the process that answers."""
    states, problem, trace = explore(world)
    assert states > 1000
    assert problem is None, f"{problem}: {' > '.join(trace)}"


@pytest.mark.parametrize("rule", BROKEN)
def test_each_rule_is_needed(rule: str) -> None:
    """Without it, some interleaving serves what it must not."""
    problems = (explore(world, rule)[1] for world in WORLDS.values())
    assert any(problems)
