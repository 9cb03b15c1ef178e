"""Why an answer is served from the cache or not: what a look-up found, put into words. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tailrace.cache.early_refresh import Phase, phase
from tailrace.cache.entry import Entry, decode
from tailrace.cache.policy import CachePolicy
from tailrace.core.freshness import STAMP_BYTES

__all__ = ["Explanation", "TagState", "explain"]

Outcome = Literal["hit", "stale", "miss", "bypass"]

WHY_BYPASSED = {
    "horizon": "what others wrote lately is not known to this process: the database or the relay is behind",
    "epoch": "the store or the database is not connected",
    "store": "the store did not answer in time",
    "slow": "the store takes longer to answer than asking it is worth; only what this process holds is served",
    "token": "the client wrote a moment ago, and this process has not caught up with its write",
    "transaction": "the request has a transaction open that has written",
}


@dataclass(frozen=True, slots=True)
class TagState:
    """A tag of the answer. ``current``: the stored answer carries its present stamp; None where nothing is stored."""

    tag: str
    current: bool | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a look-up finds now. Times in seconds.

    Attributes:
        key: as given, without the epoch.
        outcome: how a request would be answered.
        why: in words.
        stored: there is an entry, whether it may be served or not; the figures are its own.
        held_here: this process would not even ask the store.
    """

    key: str
    outcome: Outcome
    why: str
    stored: bool = False
    held_here: bool = False
    age: float | None = None
    ttl: float | None = None
    bytes: int | None = None
    tags: tuple[TagState, ...] = ()


def explain(
    key: str,
    policy: CachePolicy,
    tags: Sequence[str],
    found: Sequence[bytes | None] | None,
    *,
    refusal: str | None,
    held_here: bool,
    now: float,
) -> Explanation:
    """Put what was found into words.

    Args:
        found: the entry and then the stamps of ``tags``; None where the store could not be asked.
        refusal: why the cache must not be used, if it must not.
    """
    if found is None:
        return Explanation(key, "bypass", WHY_BYPASSED[refusal or "store"])
    entry = decode(found[0])
    states = _states(tags, entry, found[1:])
    if entry is None:
        outcome, why = ("bypass", WHY_BYPASSED[refusal]) if refusal else ("miss", "nothing is stored under this key")
        return Explanation(key, outcome, why, tags=states)  # type: ignore[arg-type]
    outcome, why = _judge(entry, policy, states, refusal, now)
    return Explanation(
        key, outcome, why, True, held_here, max(0.0, now - entry.created_at), entry.ttl, len(entry.value), states
    )


def _judge(
    entry: Entry, policy: CachePolicy, states: Sequence[TagState], refusal: str | None, now: float
) -> tuple[Outcome, str]:
    if refusal is not None:
        return "bypass", WHY_BYPASSED[refusal]
    changed = [state.tag for state in states if not state.current]
    if changed:
        return "miss", f"written since it was computed: {', '.join(changed)}"
    part = phase(entry, policy, now, 1.0)
    if part is Phase.EXPIRED:
        return "miss", "its time is up"
    if part is Phase.STALE:
        return "stale", "its time is up; it is served once more while it is computed anew"
    return "hit", "fresh, and nothing that it depends on was written since"


def _states(tags: Sequence[str], entry: Entry | None, stamps: Sequence[bytes | None]) -> tuple[TagState, ...]:
    if entry is None:
        return tuple(TagState(tag, None) for tag in tags)
    carried = [entry.stamps[at : at + STAMP_BYTES] for at in range(0, len(entry.stamps), STAMP_BYTES)]
    if len(carried) != len(tags):  # it was stored by a program that declared other tags
        return tuple(TagState(tag, False) for tag in tags)
    return tuple(TagState(tag, mine == now) for tag, mine, now in zip(tags, carried, stamps, strict=True))
