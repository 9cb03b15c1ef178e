"""Put load on what ``make up`` serves: ``python -m load SUITE``; ``--list`` says which suites there are.

Touches: the terminal, the network, the databases of the ``up``, k6.

Exit codes: 0 every threshold was kept; 1 it could not be run; 2 wrong usage; 3 a threshold was missed.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from load.k6 import Pace, run_k6
from load.plan import make_plan
from load.report import read_summary, show
from load.suites import Suite, suites
from tailrace.embedded import default_home
from tailrace.errors import TailraceError
from tailrace_services.settings import database_url
from tailrace_services.up.occupancy import Run, read_run

__all__ = ["main"]

WIDTH = 110
"""Columns of what is not read on a terminal."""


class NothingToLoadError(TailraceError):
    """Nothing is served, or there is nothing to ask it for."""

    code = "nothing_to_load"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suite that is named; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m load", description="Puts load on what make up serves.")
    known, usual = suites(), Pace()
    parser.add_argument("suite", nargs="?", choices=known)
    parser.add_argument("--list", action="store_true", help="only say what there is")
    parser.add_argument("--home", type=Path, default=default_home(), help="of the running up")
    parser.add_argument("--seconds", type=float, default=usual.seconds, help="of each stage (30)")
    parser.add_argument("--users", type=int, help="most at once; by default as the suite says")
    parser.add_argument("--pauses", type=float, default=usual.pauses, help="times as long as the suite says (1)")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument("--quiet", action="store_true", help="without k6's progress")
    options = parser.parse_args(arguments)
    if options.list or options.suite is None:
        print("\n".join(f"{name:<16} {suite.about}" for name, suite in known.items()))
        return 0 if options.list else 2
    if options.seconds <= 0 or options.pauses < 0 or (options.users is not None and options.users < 1):
        parser.error("seconds and users are more than 0, pauses are not less")
    pace = Pace(options.seconds, options.users, options.pauses)
    try:
        return _run(options.suite, known[options.suite], options.home, pace, options.format, quiet=options.quiet)
    except TailraceError as error:
        print(f"load: {error}", file=sys.stderr)
        return 1


def _run(name: str, suite: Suite, home: Path, pace: Pace, output: str, *, quiet: bool) -> int:
    run = read_run(home)
    if run is None or run.state != "serving":
        raise NothingToLoadError(f"nothing serves from {home}: start it with `make up`, then ask again")
    if suite.needs:
        _ensure(run, f"/{suite.service}{suite.needs}")
    own = database_url(suite.service, environment={"TAILRACE_DATABASE_URL": run.database_url})
    plan = asyncio.run(make_plan(suite, f"{run.address}/{suite.service}", own))
    report = read_summary(name, run_k6(name, suite, plan, pace, quiet=quiet))
    if output == "json":
        print(json.dumps(report.document(), indent=2))
    else:
        console = Console()
        show(report, console if console.is_terminal else Console(width=WIDTH))
    return 0 if report.kept else 3


def _ensure(run: Run, path: str) -> None:
    """See that there is something to ask for.

    Raises:
        NothingToLoadError: not yet, or not at all.
    """
    connection = http.client.HTTPConnection("127.0.0.1", run.port, timeout=30)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        found = json.loads(response.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NothingToLoadError(f"{run.address}{path} does not answer: {error}") from error
    finally:
        connection.close()
    if response.status != 200 or not any(found.values()):
        raise NothingToLoadError(f"{run.address}{path} has nothing yet: wait until documents are loaded, or load some")


if __name__ == "__main__":
    sys.exit(main())
