"""Run the benchmarks: ``python -m bench [NAME ...] [--json FILE]``; ``--list`` names them.

A benchmark is a module of this package with ``main()``, plain or ``async``, that returns an iterable of
``Measurement``. Each module is imported only when it is run. Touches: the terminal, the file.

Exit codes: 0 all ran; 1 one failed, the others ran; 2 wrong usage.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import importlib
import inspect
import json
import pkgutil
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import ModuleType

from bench import Measurement

__all__ = ["discover", "main", "run"]

COLUMNS = tuple(field.name for field in dataclasses.fields(Measurement))


def discover(folder: Path) -> list[str]:
    """The names of the modules in ``folder`` that may be benchmarks, in order."""
    return sorted(module.name for module in pkgutil.iter_modules([str(folder)]) if not module.name.startswith("_"))


def run(module: ModuleType) -> list[Measurement]:
    """What the module's ``main()`` measured.

    Raises:
        AttributeError: it has no ``main()``.
    """
    found: Iterable[Measurement] = _settled(module.main)
    return list(found or ())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run those that are named, or all, one after another; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Runs the benchmarks.")
    names = discover(Path(__file__).parent)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(names)}; by default all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the measurements, an array of objects")
    parser.add_argument("--list", action="store_true", help="only name them")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in names]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(names)}")
    if options.list:
        print("\n".join(names))
        return 0
    measured, failed = _run_all(options.names or names)
    if options.json is not None:
        text = json.dumps([dataclasses.asdict(one) for one in measured], indent=2)
        options.json.write_text(text + "\n", encoding="utf-8")
    return 1 if failed else 0


def _run_all(names: Sequence[str]) -> tuple[list[Measurement], list[str]]:
    measured: list[Measurement] = []
    failed: list[str] = []
    for name in names:
        print(f"== {name}", file=sys.stderr, flush=True)
        try:
            found = run(importlib.import_module(f"bench.{name}"))
        except Exception:
            traceback.print_exc()
            failed.append(name)
            continue
        measured += found
        _print(found)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return measured, failed


def _settled(function: Callable[[], object]) -> Iterable[Measurement]:
    result = function()
    if inspect.iscoroutine(result):
        result = asyncio.run(result)
    return result  # type: ignore[return-value]


def _print(found: Sequence[Measurement]) -> None:
    for one in found:
        ratio = "" if one.ratio_to_bare is None else f"  {one.ratio_to_bare:.2f}x bare"
        print(f"{one.group:<14} {one.name:<36} {one.metric:<22} {one.value:>14,.2f} {one.unit}{ratio}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
