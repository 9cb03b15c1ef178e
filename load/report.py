"""What came of a run: for people, and as a document. Pure but for the terminal that is handed in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

__all__ = ["Promise", "Report", "Row", "read_summary", "show"]

_BY_NAME = re.compile(r"http_req_duration\{name:(.+)\}")


@dataclass(frozen=True, slots=True)
class Row:
    """What one kind of request took, in milliseconds."""

    name: str
    requests: int
    p50: float
    p95: float
    p99: float
    slowest: float


@dataclass(frozen=True, slots=True)
class Promise:
    """A threshold, the figure that it is about as k6 has it, and whether it was kept."""

    metric: str
    threshold: str
    figure: float
    kept: bool


@dataclass(frozen=True, slots=True)
class Report:
    """Figures of a run; shares from 0 to 1, ``hits`` None where answers do not say."""

    suite: str
    requests: int
    failed: float
    hits: float | None
    checks_passed: int
    checks_failed: int
    rows: tuple[Row, ...]
    promises: tuple[Promise, ...]

    @property
    def kept(self) -> bool:
        """Whether all thresholds were."""
        return all(promise.kept for promise in self.promises)

    def document(self) -> dict[str, Any]:
        """For programs."""
        return {**asdict(self), "kept": self.kept}


def read_summary(suite: str, summary: Mapping[str, Any]) -> Report:
    """The figures of k6's summary."""
    metrics: Mapping[str, Any] = summary["metrics"]
    rows = [
        _row(named[1], metric["values"])
        for key, metric in metrics.items()
        if (named := _BY_NAME.fullmatch(key)) and metric["values"]["count"]
    ]
    checks = metrics["checks"]["values"] if "checks" in metrics else {"passes": 0, "fails": 0}
    everything = metrics.get("http_req_duration", {"values": {"count": 0}})["values"]
    return Report(
        suite,
        requests=everything["count"],
        failed=metrics["http_req_failed"]["values"]["rate"] if "http_req_failed" in metrics else 0.0,
        hits=metrics["cache_hits"]["values"]["rate"] if "cache_hits" in metrics else None,
        checks_passed=checks["passes"],
        checks_failed=checks["fails"],
        rows=tuple(sorted(rows, key=lambda row: -row.requests)),
        promises=tuple(_promises(metrics)),
    )


def _row(name: str, values: Mapping[str, float]) -> Row:
    return Row(name, int(values["count"]), values["med"], values["p(95)"], values["p(99)"], values["max"])


def _promises(metrics: Mapping[str, Any]) -> Iterator[Promise]:
    for key, metric in metrics.items():
        for threshold, found in metric.get("thresholds", {}).items():
            figure = re.split(r"[<>=!]", threshold)[0].strip()
            yield Promise(key, threshold, metric["values"][figure], found["ok"])


def show(report: Report, console: Console) -> None:
    """Each kind of request, then what was promised."""
    table = Table(
        title=f"{report.suite}: {report.requests:,} requests, {report.failed:.2%} failed", title_justify="left"
    )
    table.add_column("milliseconds")
    for heading in ("requests", "p50", "p95", "p99", "slowest"):
        table.add_column(heading, justify="right")
    for row in report.rows:
        times = (row.p50, row.p95, row.p99, row.slowest)
        table.add_row(row.name, f"{row.requests:,}", *[f"{time:,.1f}" for time in times])
    console.print(table)
    for promise in report.promises:
        said = "kept  " if promise.kept else "MISSED"
        console.print(f"  {said} {promise.metric} {promise.threshold}: {promise.figure:,.4g}", markup=False)
    if report.checks_failed:
        console.print(f"  {report.checks_failed:,} answers were not what was asked for", markup=False)
