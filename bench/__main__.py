"""Run the benchmarks: ``python -m bench [GROUP ...] [--quick] [--json FILE]``; ``--list`` says what each group is.

Without names all are run that compare with other packages, in five minutes or so, and ``bench/results/latest.json``
gets their results in place of earlier ones of the same groups. ``--quick`` takes a few rounds, to see that everything
works; its figures say little and are kept only where ``--json`` says. Touches: the terminal, the file, and servers of
its own in a temporary folder.

Exit codes: 0 all ran; 1 something does not do its work, the others were measured; 2 wrong usage. What is not installed
is left out, and the results say so.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bench.groups import GROUPS, Group
from bench.report import document, merged, show, text
from bench.session import Session

__all__ = ["main"]

WIDTH = 130
"""Columns of what is not read on a terminal."""
LATEST = Path(__file__).parent / "results" / "latest.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the groups that are named; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Runs the benchmarks.")
    names = ", ".join(GROUPS)
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"{names}; by default all that compare")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where results go, in place of results/latest.json")
    parser.add_argument("--quick", action="store_true", help="a few rounds, to see that everything works")
    parser.add_argument("--list", action="store_true", help="only say what there is")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.groups if name not in GROUPS]
    if unknown:
        parser.error(f"no group {', '.join(unknown)}; there are {names}")
    if options.list:
        print("\n".join(f"{name:<14} {group.about}" for name, group in GROUPS.items()))
        return 0
    chosen = {name: group for name, group in GROUPS.items() if name in options.groups}
    chosen = chosen or {name: group for name, group in GROUPS.items() if group.compares}
    path = options.json or (None if options.quick else LATEST)
    return _run(chosen, path, quick=options.quick)


def _run(chosen: dict[str, Group], path: Path | None, *, quick: bool) -> int:
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    with Session(quick=quick) as session:
        for name, group in chosen.items():
            measured = session.run(name, group.measure)
            show(name, measured, console)
    if path is not None and session.runs:
        found = document(session.runs)
        if path == LATEST and path.exists():
            found = merged(json.loads(path.read_text(encoding="utf-8")), found)
        path.write_text(text(found), encoding="utf-8")
    for problem in session.problems:
        print(problem, file=sys.stderr)
    return 1 if session.problems else 0


if __name__ == "__main__":
    sys.exit(main())
