"""What the machine itself did while something was measured. Touches: /proc.

**Source:** proc_stat(5).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["ProcessorTime", "processor_time"]

_STAT = Path("/proc/stat")
_FIELDS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
_WAITING = frozenset({"idle", "iowait"})


@dataclass(frozen=True, slots=True)
class ProcessorTime:
    """Clock ticks of all processors since the machine started.

    ``wanted``: those in which there was something to do. ``stolen``: those of them in which the host let another
    machine run instead.
    """

    wanted: int
    stolen: int

    def stolen_since(self, earlier: ProcessorTime) -> float:
        """The share stolen between two looks, from 0 to 1.

        >>> ProcessorTime(300, 60).stolen_since(ProcessorTime(100, 10))
        0.25
        """
        wanted = self.wanted - earlier.wanted
        return (self.stolen - earlier.stolen) / wanted if wanted else 0.0


def processor_time(stat: Path = _STAT) -> ProcessorTime | None:
    """How the processors spent their time so far; None where the platform does not tell."""
    try:
        first = stat.read_text(encoding="ascii").partition("\n")[0].split()
    except OSError:
        return None
    if first[:1] != ["cpu"]:
        return None
    ticks = dict(zip(_FIELDS, map(int, first[1:]), strict=False))
    return ProcessorTime(
        wanted=sum(count for name, count in ticks.items() if name not in _WAITING), stolen=ticks.get("steal", 0)
    )
