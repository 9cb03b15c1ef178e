"""One run of k6. Touches: a process, a temporary folder, the terminal."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from load.suites import FOLDER, Suite
from tailrace.errors import TailraceError

__all__ = ["K6Error", "Pace", "run_k6"]

MISSED = 99
"""k6's exit code where a threshold was not kept."""


class K6Error(TailraceError):
    """k6 is not there, or did not run to its end."""

    code = "k6"


@dataclass(frozen=True, slots=True)
class Pace:
    """How hard a suite is run.

    Args:
        seconds: of each stage.
        users: most at once; None: as the suite says.
        pauses: how many times as long as the suite says users pause.
    """

    seconds: float = 30.0
    users: int | None = None
    pauses: float = 1.0


def run_k6(name: str, suite: Suite, plan: Mapping[str, Any], pace: Pace, *, quiet: bool = False) -> dict[str, Any]:
    """Run a suite to its end; k6 shows its progress on standard error.

    Returns:
        k6's own summary.

    Raises:
        K6Error: it is not installed, or failed.
    """
    program = shutil.which("k6", path=os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")]))
    if program is None:
        raise K6Error("k6 is not installed: make load installs it")
    with tempfile.TemporaryDirectory(prefix="tailrace-load-") as folder:
        summary, plan_file = Path(folder, "summary.json"), Path(folder, "plan.json")
        plan_file.write_text(json.dumps(plan))
        given = {"SUITE": name, "PLAN": plan_file, "SUMMARY": summary, "SECONDS": pace.seconds, "PAUSES": pace.pauses}
        given |= {} if pace.users is None else {"USERS": pace.users}
        command = [program, "run", "--no-usage-report", *(["--quiet"] if quiet else [])]
        command += [part for variable, value in given.items() for part in ("--env", f"{variable}={value}")]
        done = subprocess.run([*command, str(FOLDER / suite.script)], stdout=sys.stderr, check=False)  # noqa: S603
        if done.returncode not in (0, MISSED) or not summary.exists():
            raise K6Error(f"k6 ended with {done.returncode}: see above for why")
        return dict(json.loads(summary.read_text()))
