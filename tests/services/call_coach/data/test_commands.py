"""The commands as a user runs them: output, exit codes, JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.services.commands import run

from tailrace_services.call_coach.commands import app

VTT = "WEBVTT\n\n00:01.000 --> 00:02.000\nAnn: Hello.\n\n00:03.000 --> 00:05.500\nBo: Hello Ann.\n"


async def test_from_nothing_to_status(database_url: str, tmp_path: Path) -> None:
    """Migrate, generate, import, status: each says what it did, in JSON that a program can read."""
    where = ("--database-url", database_url, "--format", "json")
    assert json.loads((await run(app, "migrate", *where)).stdout)[0]["revision"]
    made = await run(app, "generate", "--seed", "3", "--anchor", "2026-03-01T00:00:00", *where)
    assert made.exit_code == 0, made.output
    (loaded,) = json.loads(made.stdout)
    assert (loaded["calls"], loaded["turns"], loaded["anchor"]) == (1000, 20_000, "2026-03-01T00:00:00+00:00")
    file = tmp_path / "a.vtt"
    file.write_text(VTT)
    done = await run(app, "import", str(file), "--rep", "Ann <ann@example.com>", "--type", "demo", *where)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["calls"] == 1
    (status,) = json.loads((await run(app, "status", *where)).stdout)
    assert (status["calls"], status["turns"], status["reps"], status["imports"]) == (1001, 20_002, 21, 1)


async def test_import_for_people(database_url: str, tmp_path: Path) -> None:
    """The text says what was imported, and the second time that it was there; a broken file is told by line."""
    where = ("--database-url", database_url)
    await run(app, "migrate", *where)
    file = tmp_path / "a.vtt"
    file.write_text(VTT)
    first = await run(app, "import", str(file), *where)
    assert (first.exit_code, first.stdout) == (0, "1 calls imported: 2 turns of 2 speakers in 0.0 hours\n")
    assert "0 calls imported" in (second := await run(app, "import", str(file), *where)).stdout
    assert "1 were there already" in second.stdout
    file.write_text(VTT.replace("05.500", "05,500"))
    broken = await run(app, "import", str(file), *where)
    assert broken.exit_code == 2
    assert broken.stdout == f"{file}: line 6: not a timestamp like 00:01:02.345: '00:05,500'\n"
    assert broken.stderr == "tailrace-services: 1 transcript is broken; nothing was imported\n"
    told = await run(app, "import", str(file), *where, "--format", "json")
    assert json.loads(told.stdout)["broken"][0]["problems"][0]["line"] == 6


@pytest.mark.parametrize("arguments", [("--rep", "<nobody>"), ("--type", "party")])
async def test_wrong_usage(database_url: str, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """An option that makes no sense exits 2 before anything is opened."""
    result = await run(app, "import", str(tmp_path / "none"), "--database-url", database_url, *arguments)
    assert result.exit_code == 2
    assert arguments[0] in result.stderr


async def test_metrics_of_files(tmp_path: Path) -> None:
    """The figures of transcripts, without a database, as a table or as JSON; a broken file is told by line."""
    file = tmp_path / "a.vtt"
    file.write_text(VTT.replace("Hello Ann.", "Why is that? And how do you do it?"))
    told = await run(app, "metrics", str(file), "--rep", "Bo")
    assert told.exit_code == 0, told.output
    assert "| questions | 1 | 2 | 2 | 2 | 2 | 2 |" in told.stdout
    found = json.loads((await run(app, "metrics", str(file), "--rep", "Bo", "--format", "json")).stdout)
    spread = {each["name"]: each["median"] for each in found["spreads"]}
    assert (found["turns"], spread["speaking_seconds"], spread["open_question_share"]) == (2, 2.5, 1.0)
    file.write_text("WEBVTT\n\nbad\n")
    broken = await run(app, "metrics", str(file))
    assert (broken.exit_code, broken.stdout.partition(":")[2][:8]) == (2, " line 3:")
