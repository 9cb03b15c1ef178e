"""Every benchmark in its short form: all contenders work, and each leaves its rows. No figure is judged.

Contenders of other packages take part where those are installed (``make bench`` installs them).
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from bench import Measurement
from bench.application import Application
from bench.asking import ASGIApp
from bench.checks import identifies, limits
from bench.contender import TIGHT, NotWorkingError, Surroundings
from bench.fronts import FRONTS
from bench.hits import TABLE, seats
from bench.loopback import SERVERS
from bench.processes import clocks, spent
from bench.report import merged
from bench.service import KEPT, bytes_ready, service
from bench.tables import TABLES

ROOT = Path(__file__).resolve().parents[3]
COLUMNS = [field.name for field in fields(Measurement)]


def results(folder: Path, group: str) -> dict[str, Any]:
    """What a quick run of the command found; it ends with 0 only if every contender was proved."""
    file = folder / "results.json"
    command = [sys.executable, "-m", "bench", group, "--quick", "--json", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(file.read_text())  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "group", ["layers", "compression", "caches", "limits", "stacks", "uvicorn", "granian", "streams"]
)
def test_every_contender_works(group: str, tmp_path: Path) -> None:
    """Each leaves its rows; who is left out is named, and only for a package that is not there."""
    found = results(tmp_path, group)
    run = found["runs"][group]
    for row in found["rows"]:
        assert list(row) == COLUMNS
        assert math.isfinite(row["value"])
        assert row["ratio_to_bare"] is None or row["ratio_to_bare"] > 0
    measured = {(row["group"], row["name"]) for row in found["rows"]}
    assert all(why.endswith("not installed") for why in run["absent"])
    for table in (TABLES[name] for name in run["groups"] if name in TABLES):
        for contender in table.contenders:
            left_out = any(why.startswith(f"{table.name}: {contender.name}: ") for why in run["absent"])
            assert ((table.name, contender.name) in measured) is not left_out


def test_hits_stand_beside_those_of_other_servers(tmp_path: Path) -> None:
    """Each contender is measured as it is served; a program before it that is not installed is named instead."""
    found = results(tmp_path, "hits")
    absent = found["runs"]["hits"]["absent"]
    measured = {row["name"] for row in found["rows"]}
    working = [each for each in TABLE.contenders if not any(f": {each.name}: " in why for why in absent)]
    servers = [server for server in SERVERS if find_spec(server)]
    several = len(servers) > 1
    expected = {
        f"{seat.application.name}, by {seat.server}" if several else seat.application.name
        for seat in seats(working, servers)
        if not seat.front
    }
    left_out = {name for name in FRONTS if f"{TABLE.name}: {name}: {FRONTS[name].program} not installed" in absent}
    assert expected | set(FRONTS) == measured | left_out
    assert not measured & left_out
    for row in found["rows"]:
        assert row["value"] > 0 or row["metric"] == "CPU while idle"
        assert (row["ratio_to_bare"] is not None) == (row["metric"] in ("server CPU a request", "requests"))


def test_a_servers_cpu_is_that_of_all_its_processes() -> None:
    """What a process has started counts, and what has ended between two looks is not taken off."""
    work = "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', sys.argv[1]]); "
    child = "print('up', flush=True); [None for number in iter(int, 1)]"
    command = [sys.executable, "-c", f"{work} child.wait()", child]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        before = after = clocks(parent.pid)
        try:
            assert len(before) == 2
            while spent(before, after) < 0.05:
                after = clocks(parent.pid)
            [busy] = before.keys() - {parent.pid}
            assert after[busy] - before[busy] > 0.04
        finally:
            for process in before:
                os.kill(process, signal.SIGKILL)
    assert spent(after, {}) == 0


def test_four_processes_admit_what_one_limit_allows(tmp_path: Path) -> None:
    """On Valkey as many as are allowed, and one for each 0.6 s that it took; in memory each process counts alone."""
    rows = {(row["name"], row["metric"]): row["value"] for row in results(tmp_path, "admitted")["rows"]}
    took = rows["Tailrace, exact, on Valkey", "time"]
    assert 100 <= rows["Tailrace, exact, on Valkey", "admitted, 100 allowed"] <= 101 + took / 0.6
    assert 1 <= rows["Tailrace, leased, on Valkey", "admitted, 100 allowed"] <= 101 + took / 0.6
    assert rows["Tailrace, in memory", "admitted, 100 allowed"] >= 400


@pytest.mark.parametrize(
    ("contender", "why"),
    [
        (Application("another body", lambda _: bytes_ready(b"[]"), computes=None), "another body"),
        (Application("not coded", lambda _: service(), accepts="gzip", coding="gzip"), "no coding"),
        (Application("no id", lambda _: service(), checks=(identifies,)), "ids"),
        (Application("no limit", lambda _: service(), checks=(limits,)), f"{TIGHT + 1} requests admitted"),
        (Application("never kept", lambda _: service(), target=KEPT, computes=0), "still computed"),
        (Application("not there", lambda _: service(), target="/nothing"), "answered with 404"),
    ],
    ids=lambda value: value.name if isinstance(value, Application) else "",
)
async def test_who_does_not_work_gets_no_figure(
    contender: Application, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A contender that does not do what it is compared for is an error, and the error says what was seen."""
    monkeypatch.setattr("bench.checks.WARM", 0.1)
    with pytest.raises(NotWorkingError, match=why):
        await contender.prove(Surroundings(allowed=TIGHT))


async def test_a_cache_that_forgets_while_it_is_measured_gets_no_figure() -> None:
    """Hits are counted in every round, not only before."""
    forgetting = False

    def make(surroundings: Surroundings) -> ASGIApp:
        def kept(endpoint):  # type: ignore[no-untyped-def]
            answer = None

            async def at_most_once(*arguments, **named):  # type: ignore[no-untyped-def]
                nonlocal answer
                if answer is None or forgetting:
                    answer = await endpoint(*arguments, **named)
                return answer

            at_most_once.__wrapped__ = endpoint  # type: ignore[attr-defined]
            return at_most_once

        return service(kept=kept)

    contender = Application("forgetful", make, target=KEPT, computes=0)
    async with contender.ready(Surroundings()) as spend:
        assert await spend(5) > 0
        forgetting = True
        with pytest.raises(NotWorkingError, match="computed 5 times"):
            await spend(5)


def test_a_run_takes_the_place_of_its_own_figures_only() -> None:
    """Other groups' rows stay, and the versions of packages that are not there this time."""

    def found(versions: dict[str, str], **values: float) -> dict[str, Any]:
        return {
            "versions": versions,
            "runs": {name: {"groups": [f"the {name}"]} for name in values},
            "rows": [{"group": f"the {name}", "value": value} for name, value in values.items()],
        }

    both = merged(found({"ours": "1", "theirs": "3"}, layers=1.0, limits=2.0), found({"ours": "2"}, limits=4.0))
    assert both["versions"] == {"ours": "2", "theirs": "3"}
    assert [(row["group"], row["value"]) for row in both["rows"]] == [("the layers", 1.0), ("the limits", 4.0)]
