"""``tailrace docs load``: what it says, and by which exit code."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tailrace.cli.app import app


async def run(*arguments: object) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, app, ["docs", "load", *map(str, arguments)])


async def said(*arguments: object, code: int = 0) -> dict[str, Any]:
    result = await run(*arguments, "--format", "json")
    assert result.exit_code == code, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


async def test_a_folder_is_loaded(database_url: str, tmp_path: Path) -> None:
    """A dry run says what would be done and leaves even the tables out; a bad file is named, and makes the code 3."""
    (tmp_path / "a.md").write_text("# A\n\nOne sentence.\n")
    dry = await said(tmp_path, "--database-url", database_url, "--dry-run")
    assert (dry["dry_run"], dry["added"], dry["chunks"], dry["embedded"]) == (True, 1, 1, 0)
    done = await said(tmp_path, "--database-url", database_url)
    assert (done["corpus"], done["added"], done["chunks"], done["embedded"]) == ("documents", 1, 1, 1)
    (tmp_path / "b.txt").write_bytes(b"caf\xe9")
    again = await said(tmp_path, "--database-url", database_url, code=3)
    assert (again["unchanged"], again["refused"]) == (1, [{"path": "b.txt", "reason": "it is not UTF-8: byte 3"}])
    text = await run(tmp_path, "--database-url", database_url)
    assert text.exit_code == 3
    assert "documents: 0 new, 0 changed, 1 unchanged, 0 removed, 1 not read; 1 chunks, 0 vectors made" in text.stdout
    assert "not read: b.txt: it is not UTF-8: byte 3" in text.stderr


async def test_what_cannot_be_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is none is wrong usage, and so is no database; in one line."""
    assert (await run(tmp_path / "nowhere")).exit_code == 2
    monkeypatch.delenv("TAILRACE_DATABASE_URL", raising=False)
    unnamed = await run(tmp_path)
    assert (unnamed.exit_code, "which database?" in unnamed.stderr) == (2, True)
