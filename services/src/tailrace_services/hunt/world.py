"""Everything the hunt knows: who there is, what was written, what was seen. Touches nothing; times are arguments.

One counter for each user's calls and for each agent's, one register for each agent's name, and for each user the last
things that happened, so that a violation can be told as a story.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from tailrace_services.hunt.model import Counter, Read, Register, Violation, Write, check_owner
from tailrace_services.hunt.observation import Observation

__all__ = ["Finding", "Trace", "User", "World", "WriteOfCall"]

TRACE = 60
"""Events kept for each user."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Where an answer came from, for the story of a violation."""

    server: str
    endpoint: str
    cache: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A violation and what had happened to that user before."""

    violation: Violation
    trace: Trace
    story: tuple[str, ...]

    def __str__(self) -> str:
        wrong = self.violation
        head = (
            f"{wrong.kind}: {wrong.subject} was {wrong.seen}, allowed was {wrong.allowed}\n"
            f"  {wrong.read.started:.4f}..{wrong.read.ended:.4f} {wrong.read.session} asked {self.trace.server} for "
            f"{self.trace.endpoint}; Cache-Status: {self.trace.cache}"
        )
        return "\n".join([head, *(f"    {line}" for line in self.story)])


@dataclass(frozen=True, slots=True)
class WriteOfCall:
    """A call being recorded: it counts for its user and for its agent."""

    of_user: Write
    of_agent: Write


@dataclass(slots=True)
class User:
    """A watched user. ``closed``: nobody may begin a write; ``writing``: writes under way."""

    id: int
    headers: Mapping[str, str]
    calls: Counter
    agent_calls: dict[int, Counter]
    names: dict[int, Register]
    renaming: set[int] = field(default_factory=set)
    bases: dict[tuple[str, int | None], int] = field(default_factory=dict)
    story: deque[str] = field(default_factory=lambda: deque(maxlen=TRACE))
    closed: bool = False
    writing: int = 0
    version: int = 0

    @property
    def unsettled(self) -> bool:
        """True if the outcome of some write is not known."""
        return self.calls.unsettled > 0 or any(register.lost for register in self.names.values())


class World:
    """The users and what is known of them.

    Args:
        agents: for each user id, the name of each of the user's agents.
        headers: what shows who a user is.
        bound: seconds within which others' writes must be visible.
        run: part of every name that is given, so that it is none that an earlier hunt left in the database.
    """

    def __init__(
        self,
        agents: Mapping[int, Mapping[int, str]],
        headers: Mapping[int, Mapping[str, str]],
        bound: float,
        run: str,
    ) -> None:
        self.bound = bound
        self.run = run
        self.users = {
            user: User(
                user,
                headers[user],
                Counter(f"calls of user {user}", bound),
                {agent: Counter(f"calls of agent {agent}", bound) for agent in names},
                {agent: Register(f"name of agent {agent}", bound, name) for agent, name in names.items()},
            )
            for user, names in agents.items()
        }
        self._owner = {agent: user for user, names in agents.items() for agent in names}
        self.findings: list[Finding] = []
        self.violations: Tally[str] = Tally()
        self.checked = 0

    # --- writes ----------------------------------------------------------------------------------

    def begin_call(self, user: User, agent: int, session: str | None, at: float, by: str) -> WriteOfCall:
        """A call of ``agent`` is about to be recorded."""
        user.writing += 1
        user.story.append(f"{at:.4f} {by} begins to record a call of agent {agent}")
        return WriteOfCall(user.calls.begin(session, at), user.agent_calls[agent].begin(session, at))

    def end_call(self, user: User, agent: int, write: WriteOfCall, outcome: str, at: float, by: str) -> None:
        """It was ``acknowledged``, ``refused`` (it never took effect) or ``lost``."""
        for counter, one in ((user.calls, write.of_user), (user.agent_calls[agent], write.of_agent)):
            _end(counter, one, outcome, at)
        self._ended(user, f"call of agent {agent}", outcome, at, by)

    def begin_rename(self, user: User, agent: int, session: str | None, at: float, by: str) -> Write:
        """``agent`` is about to get a name nobody ever had."""
        user.writing += 1
        user.renaming.add(agent)
        user.version += 1
        name = self.newest_name(user, agent)
        user.story.append(f"{at:.4f} {by} begins to rename agent {agent} to {name!r}")
        return user.names[agent].begin(session, name, at)

    def newest_name(self, user: User, agent: int) -> str:
        """The name that ``agent`` was last about to get."""
        return f"u{user.id} a{agent} {self.run} v{user.version}"

    def end_rename(self, user: User, agent: int, write: Write, outcome: str, at: float, by: str) -> None:
        """As ``end_call``. An agent whose rename was lost is renamed again only after it is settled."""
        _end(user.names[agent], write, outcome, at)
        if outcome != "lost":
            user.renaming.discard(agent)
        self._ended(user, f"rename of agent {agent} to {write.value!r}", outcome, at, by)

    def settle(self, user: User, calls: Mapping[int, int], names: Mapping[int, str], at: float) -> None:
        """The database, asked before ``at`` while nothing was under way, holds these for the user's agents.

        ``calls`` counts what was written since the start. What contradicts the acknowledgements is a violation.
        """
        read = Read("the database", at, at)
        for subject, held in ((user.calls, sum(calls.values())), *((user.agent_calls[a], n) for a, n in calls.items())):
            try:
                subject.settle(held, at)
            except ValueError as error:
                self._found(user, Violation("never committed", str(error), str(held), "", read), _DATABASE)
        for agent, name in names.items():
            try:
                user.names[agent].settle(name, at)
                user.renaming.discard(agent)
            except ValueError as error:
                self._found(user, Violation("never committed", str(error), name, "", read), _DATABASE)
        user.story.append(f"{at:.4f} settled with the database: {sum(calls.values())} calls, {dict(names)}")

    # --- reads -----------------------------------------------------------------------------------

    def calibrate(self, user: User, seen: Observation) -> None:
        """What is shown before anything is written is what every count starts from."""
        user.bases.update(seen.counts)

    def check(self, user: User, seen: Observation, read: Read, trace: Trace) -> list[Violation]:
        """Every rule that an answer breaks."""
        self.checked += 1
        found = list(self._violations(user, seen, read))
        for violation in found:
            self._found(user, violation, trace)
        counts = ", ".join(f"{value}" for (_, agent), value in seen.counts.items() if agent is None)
        user.story.append(
            f"{read.started:.4f}..{read.ended:.4f} {read.session} read {trace.endpoint} from {trace.server} "
            f"({trace.cache}): {counts} {seen.names if len(seen.names) <= 4 else ''}"
        )
        return found

    def _violations(self, user: User, seen: Observation, read: Read) -> Iterable[Violation]:
        foreign = check_owner(user.id, (self._owner.get(agent, 0) for agent in seen.agents), read)
        if foreign is not None:
            yield foreign
            return
        for (shown, agent), value in seen.counts.items():
            counter = user.calls if agent is None else user.agent_calls[agent]
            violation = counter.check(value - user.bases.get((shown, agent), 0), read)
            if violation is not None:
                yield replace(violation, subject=f"{violation.subject} since the start ({shown})")
        for agent, name in seen.names.items():
            violation = user.names[agent].check(name, read)
            if violation is not None:
                yield violation

    def _ended(self, user: User, what: str, outcome: str, at: float, by: str) -> None:
        user.writing -= 1
        user.story.append(f"{at:.4f} {by}: {what} {outcome}")

    def _found(self, user: User, violation: Violation, trace: Trace) -> None:
        self.violations[violation.kind] += 1
        if len(self.findings) < 10:
            self.findings.append(Finding(violation, trace, tuple(user.story)))


_DATABASE = Trace("the database", "rows", "-")


def _end(subject: Counter | Register, write: Write, outcome: str, at: float) -> None:
    if outcome == "acknowledged":
        subject.acknowledge(write, at)
    elif outcome == "refused":
        subject.withdraw(write)
    else:
        subject.lose(write)
