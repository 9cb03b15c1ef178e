"""The commands as a user runs them: output, exit codes, JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.services.commands import run

from tailrace_services.voice_dashboard.commands import app
from tailrace_services.voice_dashboard.importer.campaign import COLUMNS

ROW = '58;"management";"married";"tertiary";"no";2143;"yes";"no";"unknown";5;"may";261;1;-1;0;"unknown";"no"'


async def test_from_nothing_to_status(database_url: str, tmp_path: Path) -> None:
    """Migrate, generate, import, status: each says what it did, in JSON that a program can read."""
    where = ("--database-url", database_url, "--format", "json")
    assert json.loads((await run(app, "migrate", *where)).stdout)[0]["revision"]
    made = await run(app, "generate", "--seed", "3", "--anchor", "2026-03-01T00:00:00", *where)
    assert made.exit_code == 0, made.output
    (loaded,) = json.loads(made.stdout)
    assert (loaded["scale"], loaded["calls"], loaded["anchor"]) == ("small", 100_000, "2026-03-01T00:00:00+00:00")
    file = tmp_path / "bank.csv"
    file.write_text("\n".join([";".join(COLUMNS), ROW, ROW, "bad"]))
    imported = json.loads((await run(app, "import", str(file), *where)).stdout)
    assert (imported["rows"], imported["imported"], imported["rejections"][0]["line"]) == (3, 2, 4)
    (status,) = json.loads((await run(app, "status", *where)).stdout)
    assert (status["calls"], status["users"], status["imports"], status["seed"]) == (100_002, 1001, 1, 3)


async def test_import_for_people(database_url: str, tmp_path: Path) -> None:
    """The text names each bad row, adds up, and shows the new key; the second time it is refused with exit code 2."""
    await run(app, "migrate", "--database-url", database_url)
    file = tmp_path / "bank.csv"
    file.write_text("\n".join([";".join(COLUMNS), ROW, "", ROW]))
    first = await run(app, "import", str(file), "--database-url", database_url, "--ending", "2026-01-31")
    assert first.exit_code == 0
    assert "line 3: the line is empty" in first.stdout
    assert "3 rows = 2 imported + 1 rejected" in first.stdout
    assert "2026-01-31" in first.stdout
    assert "vd_1_" in first.stdout
    second = await run(app, "import", str(file), "--database-url", database_url)
    assert (second.exit_code, second.stdout) == (2, "")
    assert "--again" in second.stderr


@pytest.mark.parametrize("output", ["text", "json"])
async def test_a_refused_file_exits_2(database_url: str, tmp_path: Path, output: str) -> None:
    """A file that is not a campaign: exit code 2, one line on standard error, and JSON when asked for."""
    await run(app, "migrate", "--database-url", database_url)
    file = tmp_path / "bank.csv"
    file.write_bytes(b"\x1f\x8b\x08 no gzip")
    result = await run(app, "import", str(file), "--database-url", database_url, "--format", output)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    if output == "json":
        assert json.loads(result.stdout)["error"]["code"] == "campaign_file_invalid"


async def test_a_bad_date_is_wrong_usage(database_url: str, tmp_path: Path) -> None:
    """``--ending`` that is no date exits 2 before anything is opened."""
    result = await run(app, "import", str(tmp_path / "x"), "--database-url", database_url, "--ending", "31.1.2026")
    assert result.exit_code == 2
    assert "2026-01-31" in result.stderr
