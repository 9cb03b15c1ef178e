"""``python -m bench`` runs what it is told, keeps what it found, and says what did not work."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from bench import Measurement
from bench.__main__ import main
from bench.contender import NotWorkingError
from bench.groups import GROUPS, Group
from bench.report import merged


def one_row(session: Any) -> Iterable[Measurement]:
    return [Measurement("good, in memory", "ours", "CPU", 1.23456, "us", 2.0)]


def broken(session: Any) -> Iterable[Measurement]:
    raise NotWorkingError("answered with 500")


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two groups in place of the real ones, one of which does not work."""
    found = {"bad": Group("fails", broken), "good": Group("works", one_row), "slow": Group("x", broken, compares=False)}
    monkeypatch.setattr("bench.__main__.GROUPS", found)


@pytest.mark.usefixtures("groups")
def test_a_failure_does_not_stop_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The measurements of those that ran are written, and the exit code and a line say that one did not."""
    assert main(["--json", str(tmp_path / "out.json")]) == 1
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["rows"] == [
        {"group": "good, in memory", "name": "ours", "metric": "CPU", "value": 1.235, "unit": "us", "ratio_to_bare": 2}
    ]
    assert list(found["runs"]) == ["good"]
    assert "answered with 500" in capsys.readouterr().err


@pytest.mark.usefixtures("groups")
def test_what_is_named_is_run_and_nothing_else(tmp_path: Path) -> None:
    """A quick run keeps its figures only where it is told."""
    assert main(["good", "--quick", "--json", str(tmp_path / "out.json")]) == 0
    assert json.loads((tmp_path / "out.json").read_text())["runs"]["good"]["quick"] is True


def test_an_unknown_name_is_wrong_usage() -> None:
    """A name that is no group ends with 2, before anything is run."""
    with pytest.raises(SystemExit) as ended:
        main(["nothing-like-that"])
    assert ended.value.code == 2


def test_every_group_says_what_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """``--list`` has a line for each and runs none."""
    assert main(["--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(GROUPS)


def test_a_run_replaces_its_own_rows_only() -> None:
    """What another run found stays, with the time at which it was found and the versions that it found."""

    def run_of(taken: str, *groups: str) -> dict[str, Any]:
        return {"taken": taken, "groups": list(groups)}

    old = {
        "machine": "old",
        "versions": {"python": "3.12", "gone": "1"},
        "runs": {"a": run_of("then", "a, 1", "a, 2"), "b": run_of("then", "b")},
        "rows": [{"group": "a, 1", "value": 1}, {"group": "a, 2", "value": 1}, {"group": "b", "value": 1}],
    }
    new = {
        "machine": "new",
        "versions": {"python": "3.13"},
        "runs": {"a": run_of("now", "a, 1")},
        "rows": [{"group": "a, 1", "value": 2}],
    }
    assert merged(old, new) == {
        "machine": "new",
        "versions": {"python": "3.13", "gone": "1"},
        "runs": {"a": run_of("now", "a, 1"), "b": run_of("then", "b")},
        "rows": [{"group": "a, 1", "value": 2}, {"group": "b", "value": 1}],
    }
