"""Group commit: writes that arrive together are one statement and one commit. Touches: tasks, timers, the database.

A commit waits for the disk, and a statement costs this process and the server nearly as much for one row as for ten.
So while one is under way, those who come wait for the next, which writes for all of them; it begins when the one before
is committed, while the stamps of that are being replaced. Who comes alone waits for nobody.

Each has what a write of its own would have given:

- *Its rows*, once they are committed and stamped, never before.
- *Its error.* A statement that the server refuses has done nothing: it is sent again by halves, until what is refused
  is alone.
- *Its standing.* Whoever may not read from a cache after the write, its client included, is told so; the others are
  not. The statement runs in a task of its own, in nobody's context.
- *Its leave.* Cancelled before its turn it writes nothing; after that it cannot know, and the others do not notice.

What they share is a transaction. A row that waits for another transaction's lock keeps those that came with it
waiting, and after ``HELD_UP`` seconds nobody else. A connection that is lost leaves all of them in doubt, as it leaves
one.

**Source:** DeWitt et al., Implementation Techniques for Main Memory Database Systems, SIGMOD 1984 ("group commit").
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from sqlalchemy import CTE, JSON, Integer, Select, bindparam, column, func, select
from sqlalchemy.types import TypeEngine

from tailrace.cache.consistency import ReadContext, current_reads
from tailrace.db.errors import refused
from tailrace.errors import PoolTimeoutError
from tailrace.resilience.deadline import current_deadline

__all__ = ["GroupCommit", "GroupedWrite", "given"]

MOST = 32
"""Callers of one statement: so few that their keys still have a cache tag each."""
AT_ONCE = 1
"""Statements not committed yet, before callers wait for each other."""
HELD_UP = 0.05
"""Seconds after which a statement under way keeps nobody else waiting."""
MOST_AT_ONCE = 4
"""Statements under way, those that are held up or being stamped too: what they wait for must not take every
connection."""
GRACE = 5.0
"""Seconds for which what is under way is waited for at the end."""
GIVEN = "given"
NUMBER = "number"

Rows: TypeAlias = Sequence[Sequence[Any]]


class Write(Protocol):
    """Commits a statement, given its parameters, and says so, as ``Database.write`` does."""

    def __call__(
        self, statement: Select[*tuple[Any, ...]], parameters: Any, *, committed: Callable[[], None]
    ) -> Awaitable[Rows]: ...


def given(**types: TypeEngine[Any]) -> CTE:
    """What callers give, as a table: a row for each, with its ``number``, and by name the values, of these types.

    Values go to the server as JSON: a moment as ISO 8601, an array as a list.
    """
    columns = [column(NUMBER, Integer), *(column(name, type_) for name, type_ in types.items())]
    rows = func.json_to_recordset(bindparam(GIVEN, type_=JSON)).table_valued(*columns).render_derived(with_types=True)
    return select(*rows.c).cte(GIVEN)


@dataclass(frozen=True, slots=True, eq=False)
class GroupedWrite:
    """A statement that writes for any number of callers, made once.

    Attributes:
        statement: a SELECT from what its CTEs write for the rows of ``given``, to tables that are watched. Each of its
            rows begins with the ``number`` of the caller whose it is; a caller who has none has written nothing.
        most: callers of one statement.
    """

    statement: Select[*tuple[Any, ...]]
    most: int = MOST


class GroupCommit:
    """Writes for several callers at once, each ``GroupedWrite`` by itself.

    Args:
        write: ``Database.write``.
        patience: gives the seconds for which a caller waits for its turn, asked for at each write.
    """

    def __init__(self, write: Write, patience: Callable[[], float]) -> None:
        self._write = write
        self._patience = patience
        self._lines: dict[GroupedWrite, _Line] = {}

    async def write(self, grouped: GroupedWrite, values: Mapping[str, Any]) -> Rows:
        """The rows of one caller, without its number.

        Raises:
            PoolTimeoutError: its turn did not come; nothing was written.
            DatabaseError: what its write, or that of all who came with it, has failed with.
        """
        line = self._lines.get(grouped)
        if line is None:
            line = self._lines[grouped] = _Line(grouped, self._write)
        return await line.write(values, self._patience())

    async def aclose(self) -> None:
        """Wait for what is under way, a while."""
        for line in self._lines.values():
            await line.aclose()


class _Caller:
    """Who waits: for ``answer``; ``taken`` once its values may have been sent."""

    __slots__ = ("answer", "deadline", "reads", "taken", "values")

    def __init__(self, values: Mapping[str, Any], answer: asyncio.Future[Rows]) -> None:
        self.values, self.answer, self.taken = values, answer, False
        self.reads, self.deadline = current_reads.get(), current_deadline.get()

    def refuse(self, error: BaseException) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)

    def expire(self) -> None:
        if not self.taken:
            self.refuse(PoolTimeoutError("no turn to write came in time", retry_after=1))

    def note(self, own: ReadContext, *, wrote: bool) -> None:
        """What the statement's own standing says, in this request's."""
        if self.reads is None or not (wrote or own.bypass):
            return
        self.reads.wrote = True
        self.reads.wrote_unstamped |= own.wrote_unstamped
        self.reads.bypass |= own.bypass
        if own.stamped_in is not None:
            self.reads.stamped(own.stamped_in)

    def left(self) -> None:
        """It waits no more; if that is not for an answer, it may have written."""
        if self.reads is not None:
            self.reads.writing -= 1
            if self.taken and self.answer.cancelled():
                self.reads.wrote = self.reads.wrote_unstamped = self.reads.bypass = True


class _Line:
    """Those who wait for one statement's next turn."""

    def __init__(self, grouped: GroupedWrite, write: Write) -> None:
        self._grouped = grouped
        self._send = write
        self._waiting: deque[_Caller] = deque()
        self._turns = 0
        """Under way, neither committed nor held up."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def write(self, values: Mapping[str, Any], patience: float) -> Rows:
        loop = asyncio.get_running_loop()
        caller = _Caller(values, loop.create_future())
        if caller.reads is not None:
            caller.reads.writing += 1
        self._waiting.append(caller)
        self._begin()
        timer = loop.call_later(patience, caller.expire)
        try:
            return await caller.answer
        finally:
            timer.cancel()
            caller.left()
            if not caller.taken:
                with suppress(ValueError):
                    self._waiting.remove(caller)

    def _begin(self) -> None:
        if self._waiting and self._turns < AT_ONCE and len(self._tasks) < MOST_AT_ONCE:
            self._turns += 1
            # Nobody's context. It starts in the loop's next round: who comes in this one comes along.
            task = asyncio.get_running_loop().create_task(self._turn(), context=Context())
            self._tasks.add(task)

    async def _turn(self) -> None:
        """Write for those who wait."""
        over = False

        def end() -> None:
            nonlocal over
            if not over:
                over = True
                self._turns -= 1
            self._begin()

        timer = asyncio.get_running_loop().call_later(HELD_UP, end)
        callers: list[_Caller] = []
        try:
            callers += self._next()
            if callers:
                await self._write(callers, end)
        finally:  # ended from outside: what was sent may have been committed, and they are told nothing else
            for caller in callers:
                caller.answer.cancel()
            timer.cancel()
            task = asyncio.current_task()
            assert task is not None
            self._tasks.discard(task)
            end()

    def _next(self) -> list[_Caller]:
        callers: list[_Caller] = []
        while self._waiting and len(callers) < self._grouped.most:
            caller = self._waiting.popleft()
            if not caller.answer.done():
                caller.taken = True
                callers.append(caller)
        return callers

    async def _write(self, callers: Sequence[_Caller], committed: Callable[[], None]) -> None:
        """For these; where the server refuses that, for one half of them and then for the other."""
        own = ReadContext()
        current_reads.set(own)
        deadlines = [caller.deadline for caller in callers if caller.deadline is not None]
        current_deadline.set(max(deadlines) if len(deadlines) == len(callers) else None)
        many = [{**caller.values, NUMBER: number} for number, caller in enumerate(callers)]
        parts: list[list[Sequence[Any]]] = [[] for _ in callers]
        try:
            for row in await self._send(self._grouped.statement, {GIVEN: many}, committed=committed):
                parts[row[0]].append(row[1:])
        except Exception as error:
            if len(callers) == 1 or not refused(error):
                for caller in callers:
                    caller.note(own, wrote=False)
                    caller.refuse(error)
                return
        else:
            for caller, part in zip(callers, parts, strict=True):
                caller.note(own, wrote=bool(part))
                if not caller.answer.done():
                    caller.answer.set_result(part)
            return
        middle = len(callers) // 2
        await self._write(callers[:middle], committed)
        await self._write(callers[middle:], committed)

    async def aclose(self) -> None:
        for grace in (GRACE, None):
            if self._tasks:
                _, late = await asyncio.wait(set(self._tasks), timeout=grace)
                for task in late:
                    task.cancel()
