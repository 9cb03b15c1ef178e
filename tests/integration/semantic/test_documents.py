"""Documents in a real database: what is loaded agrees with its sources, whatever changes, whoever loads."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import asyncpg
import pytest

from tailrace.db import Database
from tailrace.schema import plan
from tailrace.semantic import Embedder, Retriever
from tailrace.semantic.documents import (
    DOCUMENT_SEARCH,
    LoadReport,
    Refusal,
    document_objects,
    load_documents,
    prepare_documents,
    sources_in,
)

FILES = {
    "streams.md": "# Streams\n\nA stream is resumed by its last id.\n\n## Silence\n\nIt is filled with comments.\n",
    "deep/indexes.html": "<h1>Indexes</h1><p>An index makes reading quick.</p>",
    "notes.txt": "Vacuum removes dead rows.\n",
    "picture.png": "not a document",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
async def prepared(database: Database) -> Database:
    await prepare_documents(database)
    return database


async def load(database: Database, folder: Path, corpus: str = "own", **more: object) -> LoadReport:
    return await load_documents(database, corpus, sources_in(folder), **more)  # type: ignore[arg-type]


async def rows(url: str, statement: str, *arguments: object) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetch(statement, *arguments)
    finally:
        await connection.close()


CHUNKS = "SELECT id, path, heading, body FROM docs.chunks WHERE corpus = $1 ORDER BY path, position"


async def test_preparing_again_changes_nothing(prepared: Database) -> None:
    """Whoever starts may prepare."""
    await asyncio.gather(*(prepare_documents(prepared) for _ in range(2)))
    assert not await plan(prepared.url, document_objects())


async def test_a_folder_is_loaded_and_found(prepared: Database, folder: Path, embedder: Embedder) -> None:
    """By words and by meaning, within its own corpus only; what is no document is left alone."""
    told: list[tuple[str, int, int]] = []
    report = await load(prepared, folder, embedder=embedder, progress=lambda *step: told.append(step))
    assert report == LoadReport("own", False, added=3, chunks=4, embedded=4)
    assert told[0] == ("read", 0, 3)
    assert told[-1] == ("embed", 4, 4)
    await load(prepared, folder / "deep", "other", embedder=embedder)
    retriever = Retriever(prepared, DOCUMENT_SEARCH, embedder, columns=("path", "heading"))
    found = await retriever.search("make queries faster", limit=1, tenant="own")
    assert [each.columns for each in found] == [{"path": "deep/indexes.html", "heading": "Indexes"}]
    found = await retriever.search("what happens in silence", limit=9, tenant="own")
    assert found[0].columns["heading"] == "Streams › Silence"
    assert {each.columns["path"] for each in found} == {"deep/indexes.html", "notes.txt", "streams.md"}
    found = await retriever.search("what happens in silence", limit=9, tenant="other")
    assert [each.columns["path"] for each in found] == ["indexes.html"]


async def test_only_what_changed_is_touched(prepared: Database, folder: Path, embedder: Embedder) -> None:
    """Unchanged documents and chunks keep their rows and vectors; what is gone goes, in the words' index too."""
    await load(prepared, folder, embedder=embedder)
    before = {row["body"]: row["id"] for row in await rows(prepared.url, CHUNKS, "own")}
    again = await load(prepared, folder, embedder=embedder)
    assert (again.unchanged, again.writes, again.embedded, again.chunks) == (3, 0, 0, 4)
    (folder / "streams.md").write_text(
        "# Streams\n\nNew beginning.\n\n## Silence\n\nIt is filled with comments.\n\n## More\n\nNew end.\n"
    )
    (folder / "notes.txt").unlink()
    changed = await load(prepared, folder, embedder=embedder)
    assert (changed.added, changed.changed, changed.unchanged, changed.removed) == (0, 1, 1, 1)
    assert changed.embedded == 2
    after = await rows(prepared.url, CHUNKS, "own")
    assert [row["body"] for row in after] == [
        "An index makes reading quick.",
        "New beginning.",
        "It is filled with comments.",
        "New end.",
    ]
    kept = {row["body"]: row["id"] for row in after if row["body"] in before}
    assert kept == {body: before[body] for body in kept}
    words = "SELECT DISTINCT document FROM docs.chunks_postings"
    assert {row["document"] for row in await rows(prepared.url, words)} == {row["id"] for row in after}


async def test_what_cannot_be_read_is_told_and_stays(prepared: Database, folder: Path) -> None:
    """The last version that could be read goes on being found; the others are loaded all the same."""
    await load(prepared, folder)
    (folder / "notes.txt").write_bytes(b"caf\xe9 closed")
    (folder / "new.md").write_text("Another one.")
    report = await load(prepared, folder)
    assert report.refused == [Refusal("notes.txt", "it is not UTF-8: byte 3")]
    assert (report.added, report.changed, report.unchanged, report.removed) == (1, 0, 2, 0)
    assert "Vacuum removes dead rows." in {row["body"] for row in await rows(prepared.url, CHUNKS, "own")}


async def test_a_dry_run_changes_nothing(prepared: Database, folder: Path, embedder: Embedder) -> None:
    """It says what would be done."""
    await load(prepared, folder)
    before = await rows(prepared.url, CHUNKS, "own")
    (folder / "streams.md").write_text("# Streams\n\nOther words.\n")
    (folder / "notes.txt").unlink()
    (folder / "new.md").write_text("Another one.")
    report = await load(prepared, folder, embedder=embedder, dry_run=True)
    assert report == LoadReport("own", True, added=1, changed=1, unchanged=1, removed=1, chunks=2)
    assert await rows(prepared.url, CHUNKS, "own") == before


async def test_a_dry_run_needs_no_tables(database: Database, folder: Path) -> None:
    """Nor does it make any."""
    report = await load(database, folder, dry_run=True)
    assert (report.added, report.chunks) == (3, 4)
    assert not await rows(database.url, "SELECT FROM pg_namespace WHERE nspname = 'docs'")


async def test_several_may_load_at_the_same_time(prepared: Database, folder: Path) -> None:
    """Each chunk is there once."""
    await asyncio.gather(*(load(prepared, folder) for _ in range(3)))
    assert [row["body"] for row in await rows(prepared.url, CHUNKS, "own")] == [
        "An index makes reading quick.",
        "Vacuum removes dead rows.",
        "A stream is resumed by its last id.",
        "It is filled with comments.",
    ]


def test_a_folder_is_not_left(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Hidden files are no documents, and a link that leads elsewhere is not followed."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "secret.txt").write_text("Secret.")
    os.symlink(elsewhere / "secret.txt", folder / "link.txt")
    os.symlink(elsewhere, folder / "linked")
    (folder / ".hidden.md").write_text("Hidden.")
    (folder / ".git").mkdir()
    (folder / ".git" / "x.md").write_text("Hidden.")
    assert [source.path for source in sources_in(folder)] == ["deep/indexes.html", "notes.txt", "streams.md"]
