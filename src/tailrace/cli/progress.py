"""Progress bars of long steps, on stderr. Touches: the terminal, through rich."""

from __future__ import annotations

import atexit
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from tailrace.schema import Progress as Step

__all__ = ["Bars"]


class Bars:
    """One bar a step and phase; `report` is what schema work calls."""

    def __init__(self) -> None:
        times = (TimeElapsedColumn(), TimeRemainingColumn())
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), *times)
        self._shown = Progress(*columns, console=Console(stderr=True))
        self._bars: dict[tuple[str, str], TaskID] = {}

    def report(self, step: Step) -> None:
        """Show how far ``step`` is."""
        if not self._bars:
            self._shown.start()
            atexit.register(self._shown.stop)
        key = (step.name, step.phase)
        if key not in self._bars:
            self._bars[key] = self._shown.add_task(f"{step.name}: {step.phase}", total=step.total)
        self._shown.update(self._bars[key], completed=step.done, total=step.total)
