"""One run: its servers, started when first needed, its progress, what was measured and what did not work.

Touches: servers of its own in a temporary folder; the terminal, through rich.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

import asyncpg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench import Measurement
from bench.contender import Surroundings
from tailrace.embedded import PostgresServer, ValkeyServer

__all__ = ["Run", "Session"]

ROUNDS, QUICK_ROUNDS = 80, 2
TURNS, QUICK_TURNS = 8, 1


@dataclass(slots=True)
class Run:
    """One group's measurements.

    Attributes:
        rows: what was measured.
        absent: what was not, and why.
        seconds: how long it took.
        load: of the machine when it began, processes that run or wait.
        quick: it was a few rounds.
    """

    rows: list[Measurement] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    seconds: float = 0.0
    load: float = 0.0
    quick: bool = False


class Session:
    """What groups are measured in. A context manager.

    Args:
        quick: a few rounds.

    Attributes:
        quick: as given.
        rounds: in process.
        turns: over loopback.
        runs: what was measured, by the group's name.
        problems: what did not work.
    """

    def __init__(self, *, quick: bool = False) -> None:
        self.rounds = QUICK_ROUNDS if quick else ROUNDS
        self.turns = QUICK_TURNS if quick else TURNS
        self.runs: dict[str, Run] = {}
        self.problems: list[str] = []
        self.quick = quick
        self._run = Run()
        self._stack = ExitStack()
        self._folder: Path | None = None
        self._valkey: ValkeyServer | None = None
        self._urls: dict[str, str] = {}
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bars = Progress(*columns, console=Console(stderr=True))

    def __enter__(self) -> Self:
        self._stack.enter_context(self._bars)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, name: str, measure: Callable[[Session], Iterable[Measurement]]) -> Sequence[Measurement]:
        """Measure one group; what it raises is noted among the problems, and the others go on."""
        began = time.monotonic()
        self._run = Run(load=os.getloadavg()[0], quick=self.quick)
        try:
            self._run.rows += measure(self)
        except Exception:
            self.problems.append(f"{name}:\n{traceback.format_exc()}")
            return ()
        self._run.seconds = time.monotonic() - began
        self.runs[name] = self._run
        return self._run.rows

    def progress(self, description: str, steps: int) -> Callable[[], None]:
        """Show a bar of so many steps; what is returned takes one."""
        bar = self._bars.add_task(description, total=steps)
        return lambda: self._bars.advance(bar)

    def installed(self, table: str, contenders: Iterable[Any]) -> list[Any]:
        """Those of a table whose packages are there; of the others the results say which are missing."""
        found = []
        for contender in contenders:
            missing = [package for package in contender.peers if not self.has(package)]
            if missing:
                self.leave_out(f"{table}: {contender.name}: {', '.join(missing)} not installed")
            else:
                found.append(contender)
        return found

    def leave_out(self, why: str) -> None:
        """Note something that is not measured in this group."""
        self._run.absent.append(why)

    def fail(self, why: str) -> None:
        """Note something that is not measured because it does not work."""
        self.leave_out(why)
        self.problems.append(f"not measured: {why}")

    def has(self, package: str) -> bool:
        """True if it is installed."""
        try:
            version(package)
        except PackageNotFoundError:
            return False
        return True

    def surroundings(self, needs: Iterable[str]) -> Surroundings:
        """With the servers that are needed, ``valkey`` and ``database``."""
        for need in sorted(set(needs) - self._urls.keys()):
            self._urls[need] = self._start(need)
        return Surroundings(valkey_url=self._urls.get("valkey", ""), database_url=self._urls.get("database", ""))

    def forget(self) -> None:
        """Empty Valkey, so that nobody finds what another has left there."""
        if self._valkey is not None:
            self._valkey.flush()

    def _start(self, need: str) -> str:
        if self._folder is None:
            self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="tailrace-bench-")))
            self._folder.chmod(0o711)  # the servers' user is another one
        if need == "valkey":
            self._valkey = self._stack.enter_context(ValkeyServer(self._folder / need))
            return self._valkey.url
        url = self._stack.enter_context(PostgresServer(self._folder / need, settings={"fsync": "off"})).url()
        asyncio.run(_install(url))
        return url


async def _install(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute((files("tailrace.schema") / "installation.sql").read_text(encoding="utf-8"))
    finally:
        await connection.close()
