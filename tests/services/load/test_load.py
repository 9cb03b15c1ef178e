"""The load suites in their short form: k6 itself against a running ``up``. No time is judged."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from load.report import read_summary
from load.suites import FOLDER, suites
from tests.services.running import Up

SHORT = ("--seconds", "0.5", "--users", "3", "--pauses", "0.2", "--quiet")


def load(home: Path, *arguments: str, at: Path = FOLDER.parent) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the command."""
    command = [sys.executable, "-m", "load", *arguments, "--home", str(home)]
    done = subprocess.run(command, cwd=at, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def measured(home: Path, *arguments: str, at: Path = FOLDER.parent) -> tuple[int, dict[str, Any]]:
    """Exit code and report of a short run."""
    status, said, told = load(home, *arguments, *SHORT, "--format", "json", at=at)
    assert status in (0, 3), told
    return status, json.loads(said)


@pytest.mark.parametrize("name", suites())
def test_every_suite_asks_what_is_answered(up: Up, name: str) -> None:
    """k6's users get whole answers to every request, and each threshold of the suite is looked at."""
    status, report = measured(up.home, name)
    assert report["requests"] > 0
    assert report["rows"]
    assert report["checks_passed"] > 0
    assert (report["checks_failed"], report["failed"]) == (0, 0)
    promised = {(metric, each) for metric, given in suites()[name].thresholds.items() for each in given}
    assert {(promise["metric"], promise["threshold"]) for promise in report["promises"]} <= promised
    assert status == (0 if report["kept"] else 3)


def test_nothing_is_asked_where_nothing_serves(tmp_path: Path) -> None:
    """One line that says what to do."""
    status, said, told = load(tmp_path, "workspace")
    assert (status, said) == (1, "")
    assert told == f"load: nothing serves from {tmp_path}: start it with `make up`, then ask again\n"


def test_unknown_suite_is_wrong_usage(tmp_path: Path) -> None:
    """The suites that there are are named; without a name they are listed."""
    status, _, told = load(tmp_path, "desk")
    assert status == 2
    assert "workspace" in told
    status, said, _ = load(tmp_path)
    assert (status, len(said.splitlines())) == (2, len(suites()))


def test_run_without_requests_is_a_report() -> None:
    """Where k6 asked for nothing there are no figures, and nothing is made up."""
    report = read_summary("workspace", {"metrics": {}})
    assert (report.requests, report.hits, report.rows, report.promises) == (0, None, (), ())
