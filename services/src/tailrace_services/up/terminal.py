"""What a person at a terminal sees while things happen; plain lines where nobody watches. Touches: standard error."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

__all__ = ["Terminal"]


class Terminal:
    """Steps and their progress; a context manager.

    On a terminal each phase is a bar that moves; elsewhere it is one line when it is done.
    """

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._progress = Progress(
            TextColumn("  {task.description:<28}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._finished: set[str] = set()
        self._began: dict[str, float] = {}
        self._group = ""

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def say(self, line: str) -> None:
        """One line of its own."""
        self._console.print(line, markup=False, soft_wrap=True)

    def group(self, name: str) -> None:
        """Phases from here on are ``name``'s: the same phase name may come again."""
        self._group = name

    def advance(self, phase: str, done: int, total: int) -> None:
        """``done`` of ``total`` of a phase."""
        key = f"{self._group}/{phase}"
        began = self._began.setdefault(key, time.monotonic())
        if key not in self._tasks:
            self._tasks[key] = self._progress.add_task(phase, total=max(total, 1))
        # A phase of nothing is done.
        self._progress.update(self._tasks[key], completed=done if total else 1, total=max(total, 1))
        if done >= total and key not in self._finished:
            self._finished.add(key)
            # Steps of a moment are not worth a line.
            if total > 1 and not self._console.is_terminal:
                self.say(f"  {phase}: {total:,} in {time.monotonic() - began:.1f} s")
