"""``python -m bench`` runs what it is told and says what failed."""

from __future__ import annotations

import json
import types
from pathlib import Path

import pytest
from bench import Measurement
from bench.__main__ import discover, main, run


def test_benchmarks_are_the_modules_of_the_folder() -> None:
    """Whatever module is put there is found; private ones are not."""
    names = discover(Path(main.__code__.co_filename).parent)
    assert "load_driver" in names
    assert not any(name.startswith("_") for name in names)


def test_plain_and_asynchronous_benchmarks_run() -> None:
    """``main`` may be a coroutine function."""
    one = Measurement("g", "n", "m", 1.0, "us")

    async def later() -> list[Measurement]:
        return [one]

    assert run(types.SimpleNamespace(main=lambda: iter([one]))) == [one]  # type: ignore[arg-type]
    assert run(types.SimpleNamespace(main=later)) == [one]  # type: ignore[arg-type]


def test_a_failure_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The measurements of those that ran are written, and the exit code says that one did not."""

    def load(name: str) -> types.SimpleNamespace:
        def measured() -> list[Measurement]:
            if name == "bench.bad":
                raise RuntimeError("broken")
            return [Measurement("g", name, "m", 1.0, "us", 2.0)]

        return types.SimpleNamespace(main=measured)

    monkeypatch.setattr("bench.__main__.discover", lambda folder: ["bad", "good"])
    monkeypatch.setattr("bench.__main__.importlib.import_module", load)
    assert main(["--json", str(tmp_path / "out.json")]) == 1
    (row,) = json.loads((tmp_path / "out.json").read_text())
    assert row == {
        "group": "g",
        "name": "bench.good",
        "metric": "m",
        "value": 1.0,
        "unit": "us",
        "ratio_to_bare": 2.0,
    }


def test_an_unknown_name_is_wrong_usage() -> None:
    """A name that is no benchmark ends with 2, before anything is run."""
    with pytest.raises(SystemExit) as ended:
        main(["nothing-like-that"])
    assert ended.value.code == 2
