"""Whether a stored answer may be served. Pure.

The protocol is explained in ``docs/explanation/freshness.md`` and checked exhaustively by ``tests/model``. In short: a
tag names what an answer depends on, each tag has a stamp (a random value never used before), an answer carries the
stamps of its tags as they were before it was computed, and it is valid exactly while they equal the current ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

__all__ = ["STAMP_BYTES", "Horizon", "current", "tag", "wide", "with_table", "with_wide"]

STAMP_BYTES = 12
"""Size of a stamp: 96 random bits."""


def tag(table: str, key: str | None = None, value: int | str | UUID | None = None) -> str:
    """Name what an answer depends on: a table, or the rows of a table where ``key`` is ``value``.

    The database writes the same name from its own text form of the value, so only what has one text form in Python and
    PostgreSQL alike can be a key: integers, strings and UUIDs. A number or UUID that came as a string is to be
    converted first: ``"042"`` and ``"42"`` are one row and two tags.

    Raises:
        TypeError: the value is something else, such as a float, a boolean or a date.

    >>> tag("calls")
    'calls'
    >>> tag("calls", "user_id", 42)
    'calls:user_id=42'
    """
    if key is None:
        return table
    if isinstance(value, str):
        text = str.__str__(value)  # what an enumeration's member is, not what it is called
    elif isinstance(value, int) and not isinstance(value, bool):
        text = int.__repr__(value)
    elif value is None or isinstance(value, UUID):
        text = str(value)
    else:
        raise TypeError(
            f"the key {key} of {table} must be an int, str or UUID, not {type(value).__name__}: only these have one "
            "text form in Python and PostgreSQL alike"
        )
    return f"{table}:{key}={text}"


def wide(name: str) -> str:
    """The tag that a TRUNCATE or a bulk change bumps in place of each key's own.

    An answer that depends on a keyed tag depends on this one as well.

    >>> wide("calls:user_id=42")
    'calls:*'
    """
    return name.partition(":")[0] + ":*"


def with_wide(tags: Iterable[str]) -> tuple[str, ...]:
    """``tags`` and, for each keyed one, its table's wide tag; sorted, without repeats.

    >>> with_wide(["calls:user_id=42", "agents"])
    ('agents', 'calls:*', 'calls:user_id=42')
    """
    names = set(tags)
    names.update([wide(name) for name in names if ":" in name])
    return tuple(sorted(names))


def with_table(tags: Iterable[str]) -> tuple[str, ...]:
    """``tags`` of what was written and, for each keyed or wide one, its table's own; sorted, without repeats.

    A write that touched a key touched the table, so the database notes the key alone.

    >>> with_table(["calls:user_id=42", "agents:*"])
    ('agents', 'agents:*', 'calls', 'calls:user_id=42')
    """
    names = set(tags)
    names.update([name.partition(":")[0] for name in names])
    return tuple(sorted(names))


def current(carried: bytes, stamps: Sequence[bytes | None]) -> bool:
    """True if an entry that carries ``carried`` (stamps joined in order) is valid under the current ``stamps``."""
    return None not in stamps and carried == b"".join(stamps)  # type: ignore[arg-type]


@dataclass(slots=True)
class Horizon:
    """Up to which moment this process knows every commit, whoever made it.

    A relay pass begins at ``started``, sees some rows of the outbox, stamps those it can lock and deletes them. Rows
    that another relay holds are not this one's to stamp; the pass counts only once they are gone, because their holder
    deletes them after stamping. So: ``reached`` is the start of the newest pass all of whose rows have been settled.

    An answer may be served from the cache while ``now - reached <= bound``: a hung relay, a lost database or a lost
    store all show as a horizon that no longer moves, and the cache is bypassed until it does.
    """

    reached: float = float("-inf")
    waiting: list[tuple[float, frozenset[int]]] = field(default_factory=list)

    def observe(self, started: float, unsettled: frozenset[int]) -> None:
        """A pass that began at ``started`` ended and left the rows ``unsettled`` to others."""
        still = [(began, rows & unsettled) for began, rows in self.waiting]
        settled = [began for began, rows in still if not rows]
        if not unsettled:
            settled.append(started)
        # Of the passes that wait, the oldest will settle first and the newest reaches furthest: the rest add nothing.
        still = [entry for entry in still if entry[1]]
        if unsettled:
            still.append((started, unsettled))
        self.waiting = [still[0], still[-1]] if len(still) > 2 else still
        if settled:
            self.reached = max(self.reached, *settled)

    def trusted(self, now: float, bound: float) -> bool:
        """True while every commit older than ``bound`` seconds is reflected in what this process may serve."""
        return now - self.reached <= bound
