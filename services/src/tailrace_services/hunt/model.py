"""What a reader may see. Pure: times and values in, violations out.

Two kinds of value are watched. A **counter** (a user's number of calls) grows by one with every write, in whatever
order writers commit. A **register** (an agent's name) takes values that are each written once, one writer at a time.
Every write has a moment at which it was begun and, when its answer came, one at which it was acknowledged; it took
effect between the two. A read that was sent at ``started`` and answered at ``ended``

- must reflect every write that the same session had acknowledged before ``started`` (read your writes),
- must reflect every write that anybody had acknowledged ``bound`` seconds before ``started``,
- must not reflect a write begun after ``ended``, one that was rolled back, or a value that was never written,
- must not hold anything that belongs to another user.

A write whose answer was lost to a fault may or may not have taken effect, at any time since it was begun: until it is
settled (the database was asked when it could no longer be under way) both are allowed. All times come from one clock,
and a moment noted late (the harness was busy) only ever widens what is allowed, so a violation is never a measuring
error.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Counter", "Kind", "Read", "Register", "Violation", "Write", "check_owner"]

Kind = Literal["own write not visible", "stale beyond the bound", "never committed", "somebody else's answer"]


@dataclass(frozen=True, slots=True)
class Read:
    """One answer. ``session`` is the client (its cookies) that asked; times in seconds of one clock."""

    session: str
    started: float
    ended: float


@dataclass(frozen=True, slots=True)
class Violation:
    """A value that must not have been seen."""

    kind: Kind
    subject: str
    seen: str
    allowed: str
    read: Read


@dataclass(slots=True)
class Write:
    """One write under way or done. ``session`` None: written by raw SQL, so no reader's own."""

    session: str | None
    begun: float
    value: str = ""
    acknowledged: float | None = None
    state: Literal["pending", "acknowledged", "lost", "never"] = "pending"


@dataclass(slots=True)
class Counter:
    """A value that starts at ``base`` and grows by one with each write."""

    subject: str
    bound: float
    base: int = 0
    _begun: list[float] = field(default_factory=list)
    _acknowledged: list[float] = field(default_factory=list)
    _own: dict[str, list[float]] = field(default_factory=dict)
    _lost: list[Write] = field(default_factory=list)

    def begin(self, session: str | None, at: float) -> Write:
        """A write is about to be sent."""
        insort(self._begun, at)
        return Write(session, at)

    def acknowledge(self, write: Write, at: float) -> None:
        """Its answer came: it is committed."""
        write.acknowledged, write.state = at, "acknowledged"
        insort(self._acknowledged, at)
        if write.session is not None:
            insort(self._own.setdefault(write.session, []), at)

    def withdraw(self, write: Write) -> None:
        """It certainly did not and will not take effect."""
        write.state = "never"
        self._forget(write)

    def lose(self, write: Write) -> None:
        """Its answer was lost: it may take effect at any time."""
        write.state = "lost"
        self._lost.append(write)

    @property
    def unsettled(self) -> int:
        """Writes of which nobody knows whether they took effect."""
        return len(self._lost)

    def settle(self, value: int, at: float) -> None:
        """The database holds ``value``, and no write was under way when it was asked, before ``at``.

        Raises:
            ValueError: no number of the lost writes explains the value: one that was acknowledged is gone, or one took
                effect that nobody made.
        """
        committed = value - self.base - len(self._acknowledged)
        if not 0 <= committed <= len(self._lost):
            raise ValueError(
                f"{self.subject}: the database holds {value}; {len(self._acknowledged)} writes on {self.base} were "
                f"acknowledged and {len(self._lost)} lost"
            )
        # Which of them took effect is not known; that the earliest did allows the most.
        lost = sorted(self._lost, key=lambda write: write.begun)
        for write in lost[:committed]:
            write.acknowledged, write.state = at, "acknowledged"
            insort(self._acknowledged, at)
        for write in lost[committed:]:
            self.withdraw(write)
        self._lost.clear()

    def check(self, value: int, read: Read) -> Violation | None:
        """None if ``read`` may have seen ``value``. Cost: a few bisections."""
        known = bisect_right(self._acknowledged, read.started - self.bound)
        own = self._own.get(read.session, ())
        recent_own = bisect_left(own, read.started) - bisect_right(own, read.started - self.bound)
        highest = self.base + bisect_right(self._begun, read.ended)
        allowed = f"{self.base + known + max(recent_own, 0)}..{highest}"
        if value > highest:
            return Violation("never committed", self.subject, str(value), allowed, read)
        if value < self.base + known:
            return Violation("stale beyond the bound", self.subject, str(value), allowed, read)
        if value < self.base + known + recent_own:
            return Violation("own write not visible", self.subject, str(value), allowed, read)
        return None

    def _forget(self, write: Write) -> None:
        del self._begun[bisect_left(self._begun, write.begun)]


@dataclass(slots=True)
class Register:
    """A value that is replaced; each value is written once, and no two writes overlap."""

    subject: str
    bound: float
    initial: str
    _writes: list[Write] = field(default_factory=list)
    _places: dict[str, int] = field(default_factory=dict)

    def begin(self, session: str | None, value: str, at: float) -> Write:
        """A write is about to be sent.

        Raises:
            ValueError: the one before it is still under way or unsettled, or the value was written before.
        """
        if self._writes and self._writes[-1].state in ("pending", "lost"):
            raise ValueError(f"{self.subject}: two writes at once")
        if value in self._places or value == self.initial:
            raise ValueError(f"{self.subject}: {value} was written before")
        self._places[value] = len(self._writes)
        self._writes.append(Write(session, at, value))
        return self._writes[-1]

    def acknowledge(self, write: Write, at: float) -> None:
        """Its answer came: it is committed."""
        write.acknowledged, write.state = at, "acknowledged"

    def withdraw(self, write: Write) -> None:
        """It certainly did not and will not take effect."""
        write.state = "never"

    def lose(self, write: Write) -> None:
        """Its answer was lost: it may take effect at any time."""
        write.state = "lost"

    @property
    def lost(self) -> bool:
        """True if nobody knows whether the newest value was written."""
        return bool(self._writes) and self._writes[-1].state == "lost"

    def settle(self, value: str, at: float) -> None:
        """The database holds ``value``, and no write was under way when it was asked, before ``at``.

        Raises:
            ValueError: neither the last acknowledged value nor a lost one after it.
        """
        newest = self._newest_known()
        if not self.lost:
            if value != newest:
                raise ValueError(f"{self.subject}: the database holds {value}; {newest} was acknowledged")
            return
        lost = self._writes[-1]
        if value == lost.value:
            # Its own session has had no answer either, so nobody may count on it before now.
            lost.session = None
            self.acknowledge(lost, at)
        elif value == newest:
            self.withdraw(lost)
        else:
            raise ValueError(f"{self.subject}: the database holds {value}; {newest} or {lost.value} was written last")

    def check(self, value: str, read: Read) -> Violation | None:
        """None if ``read`` may have seen ``value``. Cost: one step for each write since that value."""
        place = -1 if value == self.initial else self._places.get(value)
        if place is None:
            return Violation("never committed", self.subject, value, "a value that was written", read)
        if place >= 0:
            write = self._writes[place]
            if write.state == "never" or write.begun > read.ended:
                return Violation("never committed", self.subject, value, "a value that was committed by then", read)
        for later in reversed(self._writes[place + 1 :]):
            kind = _must_be_seen(later, read, self.bound)
            if kind is not None:
                return Violation(kind, self.subject, value, f"{later.value} or later", read)
        return None

    def _newest_known(self) -> str:
        known = (write.value for write in reversed(self._writes) if write.state == "acknowledged")
        return next(known, self.initial)


def check_owner(user: int, owners: Iterable[int], read: Read) -> Violation | None:
    """None if everything in an answer to ``user`` belongs to that user."""
    strangers = sorted({owner for owner in owners if owner != user})
    if not strangers:
        return None
    return Violation(
        "somebody else's answer", f"user {user}", f"users {strangers}", f"nothing but user {user}'s own", read
    )


def _must_be_seen(write: Write, read: Read, bound: float) -> Kind | None:
    if write.state != "acknowledged" or write.acknowledged is None:
        return None
    if write.acknowledged <= read.started - bound:
        return "stale beyond the bound"
    if write.session == read.session and write.acknowledged < read.started:
        return "own write not visible"
    return None
