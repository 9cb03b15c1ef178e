"""What a proof says: a row for each endpoint, as JSON and as a table, and whether it reached what was wanted.

Pure but for printing.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from tailrace_services.prove.comparison import Mismatch
from tailrace_services.prove.databases import Size
from tailrace_services.prove.subject import Endpoint
from tailrace_services.prove.timing import Timing

__all__ = ["Goal", "Proof", "Row", "json_rows", "json_whole", "print_proof", "row_of"]


@dataclass(frozen=True, slots=True)
class Row:
    """One endpoint. Times in milliseconds; what does not apply is None.

    ``before_p95_ms`` is a lower bound when ``before_cut_off``, and so are the speed-ups then.
    """

    service: str
    endpoint: str
    scale: str
    asked_p95_ms: float
    before_p95_ms: float | None
    cold_p95_ms: float | None
    warm_p95_ms: float | None
    speedup_cold: float | None
    speedup_warm: float | None
    requests_per_second: float | None
    hit_ratio: float | None
    answers_compared: int
    answers_equal: int


@dataclass(frozen=True, slots=True)
class Goal:
    """Something asked or aimed for, and what was measured."""

    name: str
    wanted: str
    measured: str
    met: bool


@dataclass(slots=True)
class Proof:
    """Everything that came out of one run. ``title``: of the service."""

    title: str
    scale: str
    size: Size
    rows: list[Row] = field(default_factory=list)
    cut_off: dict[str, int] = field(default_factory=dict)
    samples: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    goals: list[Goal] = field(default_factory=list)
    mismatches: list[Mismatch] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """True if answers were compared and all of them were equal."""
        return not self.mismatches and all(row.answers_compared == row.answers_equal for row in self.rows)

    def whole(self) -> dict[str, Any]:
        """Everything: rows, goals, numbers of samples, what was cut off, differences."""
        return {
            "service": self.title,
            "scale": self.scale,
            self.size.of: self.size.count,
            "rows": [dataclasses.asdict(row) for row in self.rows],
            "goals": [dataclasses.asdict(goal) for goal in self.goals],
            "samples": {
                name: {"before": counts[0], "cold": counts[1], "warm": counts[2]}
                for name, counts in self.samples.items()
            },
            "baseline_requests_cut_off": self.cut_off,
            "differences": [str(mismatch) for mismatch in self.mismatches],
            "notes": self.notes,
        }


def json_rows(proofs: Iterable[Proof]) -> str:
    """The rows of all, as a JSON array."""
    return json.dumps([dataclasses.asdict(row) for proof in proofs for row in proof.rows], indent=2) + "\n"


def json_whole(proofs: Iterable[Proof]) -> str:
    """Everything of all, as a JSON array with an object for each service."""
    return json.dumps([proof.whole() for proof in proofs], indent=2) + "\n"


def row_of(
    service: str,
    endpoint: Endpoint,
    scale: str,
    timing: Timing | None,
    *,
    requests_per_second: float | None = None,
    hit_ratio: float | None = None,
    compared: int = 0,
    equal: int = 0,
) -> Row:
    """The row of an endpoint; a part that was not run is None."""
    before = timing.before_p95 * 1000 if timing and timing.before else None
    cold = timing.cold_p95 * 1000 if timing and timing.cold else None
    warm = timing.warm_p95 * 1000 if timing and timing.warm else None
    return Row(
        service=service,
        endpoint=endpoint.name,
        scale=scale,
        asked_p95_ms=endpoint.asked,
        before_p95_ms=_rounded(before),
        cold_p95_ms=_rounded(cold),
        warm_p95_ms=_rounded(warm),
        speedup_cold=_rounded(before / cold) if before and cold else None,
        speedup_warm=_rounded(before / warm) if before and warm else None,
        requests_per_second=_rounded(requests_per_second),
        hit_ratio=None if hit_ratio is None else round(hit_ratio, 4),
        answers_compared=compared,
        answers_equal=equal,
    )


def print_proof(console: Console, proof: Proof) -> None:
    """The table, the goals and the differences."""
    title = f"{proof.title}, {proof.scale}: {proof.size}; p95 in milliseconds"
    table = Table(title=title, title_justify="left")
    table.add_column("endpoint", no_wrap=True)
    for name in ("asked", "before", "cold", "warm", "x cold", "x warm", "req/s", "hits", "equal/compared"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in proof.rows:
        cut = ">" if proof.cut_off.get(row.endpoint) else ""
        table.add_row(
            row.endpoint,
            f"< {row.asked_p95_ms:,.0f}",
            _shown(row.before_p95_ms, cut),
            _shown(row.cold_p95_ms),
            _shown(row.warm_p95_ms),
            _shown(row.speedup_cold, cut),
            _shown(row.speedup_warm, cut),
            _shown(row.requests_per_second),
            "-" if row.hit_ratio is None else f"{row.hit_ratio:.1%}",
            f"{row.answers_equal:,}/{row.answers_compared:,}",
        )
    console.print(table)
    for note in proof.notes:
        console.print(note, markup=False, highlight=False)
    _print_goals(console, proof.goals)
    for mismatch in proof.mismatches:
        console.print(f"\nDIFFERENT: {mismatch}", markup=False, highlight=False)


def _print_goals(console: Console, goals: Sequence[Goal]) -> None:
    if not goals:
        return
    table = Table(title="asked and aimed for", title_justify="left")
    for name in ("what", "wanted", "measured", ""):
        table.add_column(name)
    for goal in goals:
        table.add_row(goal.name, goal.wanted, goal.measured, "[green]met[/]" if goal.met else "[red]not met[/]")
    console.print(table)


def _rounded(value: float | None) -> float | None:
    if value is None:
        return None
    return round(value, 3 if value < 10 else 1)


def _shown(value: float | None, mark: str = "") -> str:
    if value is None:
        return "-"
    return mark + (f"{value:,.2f}" if value < 10 else f"{value:,.1f}" if value < 100 else f"{value:,.0f}")
