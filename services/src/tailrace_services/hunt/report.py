"""What a hunt says. Pure but for printing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console

from tailrace.verify.statistics import summarise
from tailrace_services.hunt.world import Finding

__all__ = ["HuntReport", "print_report"]

GOAL_MS = 50.0
"""Milliseconds within which 99 of 100 writes show everywhere while all is well."""


@dataclass(slots=True)
class HuntReport:
    """Everything that came out.

    ``bound`` in seconds; ``visibility`` and ``asked_too_early`` in seconds, measured while all was well.
    """

    seconds: float
    bound: float
    slack: float
    users: int
    checked: int = 0
    reads: int = 0
    writes: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    calm_errors: Counter[str] = field(default_factory=Counter)
    violations: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    visibility: list[float] = field(default_factory=list)
    asked_too_early: list[float] = field(default_factory=list)
    disturbed_visibility: list[float] = field(default_factory=list)
    faults: list[tuple[float, str]] = field(default_factory=list)
    unsettled: int = 0

    @property
    def clean(self) -> bool:
        """True if answers were judged and none broke a rule."""
        return self.checked > 0 and not self.violations

    @property
    def hit_ratio(self) -> float:
        """Hits of all answers."""
        return self.outcomes["hit"] / self.outcomes.total() if self.outcomes else 0.0

    def figures(self) -> dict[str, Any]:
        """Everything as plain values; times in milliseconds."""
        return {
            "seconds": round(self.seconds, 1),
            "users": self.users,
            "bound_seconds": self.bound,
            "slack_seconds": self.slack,
            "answers_judged": self.checked,
            "writes": dict(self.writes),
            "hit_ratio": round(self.hit_ratio, 4),
            "cache": dict(self.outcomes),
            "violations": dict(self.violations),
            "errors": dict(self.errors),
            "errors_while_all_was_well": dict(self.calm_errors),
            "visibility_ms": _times(self.visibility),
            "last_request_with_an_old_answer_ms": _times(self.asked_too_early),
            "visibility_under_faults_ms": _times(self.disturbed_visibility),
            "faults": [f"{moment:.1f} s: {name}" for moment, name in self.faults],
            "unsettled_writes": self.unsettled,
        }


def print_report(console: Console, report: HuntReport) -> None:
    """The figures, and every violation's story."""
    for name, value in report.figures().items():
        console.print(f"{name.replace('_', ' '):<28} {value}", markup=False, highlight=False)
    if report.visibility:
        goal = f"{GOAL_MS:g} ms after others' writes (p99, all well)"
        for what, times in (
            ("no request that leaves later gets an old answer", report.asked_too_early),
            ("the new answer has arrived, with the probes' own waiting", report.visibility),
        ):
            word = "[green]met[/]" if summarise(times).p99 * 1000 < GOAL_MS else "[red]not met[/]"
            console.print(f"{goal} {what}: {word}", highlight=False)
    for finding in report.findings:
        console.print(f"\nVIOLATION {finding}", markup=False, highlight=False)
    total = report.violations.total()
    console.print(
        f"\n{report.checked:,} answers judged, {total} violations", style="bold green" if not total else "bold red"
    )


def _times(seconds: list[float]) -> dict[str, float] | None:
    if not seconds:
        return None
    summary = summarise(seconds)
    return {
        "count": summary.count,
        "p50": round(summary.p50 * 1000, 1),
        "p99": round(summary.p99 * 1000, 1),
        "max": round(summary.maximum * 1000, 1),
    }
