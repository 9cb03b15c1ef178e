"""Debian's PostgreSQL manual, loaded by the command that users have, and asked what it answers."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tests.integration.semantic.manual_labels import ANSWERS, PLAINLY
from typer.testing import CliRunner

from tailrace.cli.app import app
from tailrace.db import Database
from tailrace.semantic import Embedder, Retriever
from tailrace.semantic.documents import DOCUMENT_SEARCH

MANUAL = Path("/usr/share/doc/postgresql-doc-15/html")
CORPUS = "manual"
PARTS = ("functions-", "textsearch-", "indexes-", "ddl-", "plpgsql-", "backup", "auth-", "tutorial-")
"""What the names of those pages begin with that are loaded, far more than are asked for."""
FIRST = 3
"""Among how many different pages the one must be that answers."""

pytestmark = pytest.mark.skipif(not MANUAL.is_dir(), reason="no manual: apt-get install postgresql-doc-15")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A part of the manual's pages, as they are."""
    for page in sorted(MANUAL.glob("*.html")):
        if page.name.startswith(PARTS):
            (tmp_path / page.name).write_bytes(page.read_bytes())
    return tmp_path


async def load(folder: Path, url: str) -> dict[str, Any]:
    """What the command says that it did."""
    arguments = ["docs", "load", str(folder), "--corpus", CORPUS, "--database-url", url, "--format", "json"]
    result = await asyncio.to_thread(CliRunner().invoke, app, arguments)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


async def pages(retriever: Retriever, question: str) -> list[str]:
    """Names of pages, the best first, each once."""
    found = await retriever.search(question, limit=20, tenant=CORPUS)
    return list(dict.fromkeys(each.columns["path"].removesuffix(".html") for each in found))


@pytest.mark.slow
async def test_the_page_that_answers_is_among_the_first(folder: Path, database_url: str) -> None:
    """Questions in other words than the manual's find the page; loading it again finds nothing to do."""
    done = await load(folder, database_url)
    count = len(list(folder.iterdir()))
    assert (done["added"], done["refused"]) == (count, [])
    assert done["embedded"] == done["chunks"] > 10 * count
    again = await load(folder, database_url)
    assert (again["added"], again["changed"], again["unchanged"], again["removed"]) == (0, 0, count, 0)
    assert (again["chunks"], again["embedded"]) == (done["chunks"], 0)
    database, embedder = Database(database_url), Embedder()
    try:
        retriever = Retriever(database, DOCUMENT_SEARCH, embedder, columns=["path"])
        missed = {}
        for question, answering in PLAINLY.items():
            found = (await pages(retriever, question))[:FIRST]
            if not set(found) & set(answering.split()):
                missed[question] = found
        assert not missed
    finally:
        await embedder.aclose()
        await database.aclose()


def test_labels_name_pages() -> None:
    """A label that names no page of the manual could never be met."""
    named = {page for answering in (*ANSWERS.values(), *PLAINLY.values()) for page in answering.split()}
    assert [page for page in sorted(named) if not (MANUAL / f"{page}.html").is_file()] == []
    assert len(ANSWERS) > 100
