"""Issues of a real tracker: read by the rules, whole or not at all, and the same in both databases."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from tests.services.commands import run
from tests.services.conftest import MakeTables
from tests.services.data.rows import fetch, written

from tailrace.embedded import PostgresServer
from tailrace.errors import DatabaseError
from tailrace_services.identity.keys import hash_api_key
from tailrace_services.trading_desk.commands import app
from tailrace_services.trading_desk.data import DATA
from tailrace_services.trading_desk.generator import Scale, generate
from tailrace_services.trading_desk.importer import (
    AlreadyImportedError,
    IssueFileError,
    RowsRejectedError,
    import_items,
)
from tailrace_services.trading_desk.proof import SUBJECT
from tailrace_services.trading_desk.proof.people import load_traders

REAL = Path(__file__).parents[4].parent / "shared/data/work_items/timob_issues.csv.gz"
TABLES = ("traders", "items", "audit_log", "imports")
ITEMS = "SELECT * FROM items ORDER BY id"


def row(number: int, **changes: str) -> dict[str, str]:
    """A good row."""
    return {
        "key": f"DESK-{number}",
        "project": "Desk",
        "project_category": "Client",
        "type": "Bug",
        "priority": "High",
        "status": "Open",
        "status_category": "To Do",
        "resolution": "",
        "created": "2011-04-15T02:22:24.000+0000",
        "updated": "2011-04-17T01:50:06.000+0000",
        "resolved": "",
        "reporter": "ada",
        "assignee": "",
        "components": "iOS",
        "labels": "",
        "affects_versions": "",
        "fix_versions": "",
        "links": "0",
        "n_attachments": "0",
        "n_comments": "2",
        "summary": f"Issue {number}",
        "description": "Some\ntext, with a comma",
        **changes,
    }


@pytest.fixture
def url(make_tables: MakeTables) -> str:
    """A migrated database without rows."""
    return make_tables(DATA)


async def everything(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of the service; of files, not when each database took them in."""
    rows = {table: await fetch(url, f"SELECT * FROM {table} ORDER BY id") for table in TABLES}
    return {
        table: [
            tuple(value for name, value in row.items() if (table, name) != ("imports", "created_at"))
            for row in rows[table]
        ]
        for table in TABLES
    }


async def test_what_a_row_becomes(url: str, tmp_path: Path) -> None:
    """Each field by its rule; what an item has no field for is in its metadata, but nothing that was empty."""
    issue = row(
        7,
        summary=" Fails\tat start ",
        description="h2. Steps\n{code}a{code}",
        type="New Feature",
        priority="Trivial",
        status="Closed",
        status_category="Done",
        resolution="Fixed",
        resolved="2011-04-17T03:50:06.000+0200",
        assignee="bo",
        components="iOS|Code Processor",
        labels="regression|ios",
        fix_versions="1.0|1.1",
    )
    report = await import_items(url, written(tmp_path / "desk.csv.gz", [issue]))
    assert (report.rows, report.imported, report.known, report.rejected, report.traders) == (1, 1, 0, 0, 1)
    (item,) = await fetch(url, ITEMS)
    assert (item["title"], item["description"]) == ("Fails at start", "Steps\na")
    assert (item["category"], item["priority"], item["status"]) == ("new-feature", 1, "done")
    assert item["tags"] == ["ios", "code processor", "regression"]
    assert item["created_at"].isoformat() == "2011-04-15T02:22:24+00:00"
    assert item["updated_at"].isoformat() == "2011-04-17T01:50:06+00:00"
    assert json.loads(item["metadata"]) == {
        "key": "DESK-7",
        "project": "Desk",
        "project_category": "Client",
        "priority": "Trivial",
        "status": "Closed",
        "resolution": "Fixed",
        "resolved": "2011-04-17T01:50:06Z",
        "reporter": "ada",
        "assignee": "bo",
        "fix_versions": ["1.0", "1.1"],
        "links": 0,
        "n_attachments": 0,
        "n_comments": 2,
    }


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        *[({"priority": name}, {"priority": 4}) for name in ("Blocker", "Critical", "Highest")],
        *[({"priority": name}, {"priority": 3}) for name in ("Major", "High")],
        *[({"priority": name}, {"priority": 2}) for name in ("Medium", "None", "")],
        *[({"priority": name}, {"priority": 1}) for name in ("Minor", "Low", "Trivial")],
        ({"status_category": "To Do", "status": "Reopened"}, {"status": "open"}),
        ({"status_category": "In Progress", "status": "In Progress"}, {"status": "in_progress"}),
        ({"status_category": "In Progress", "status": "In Review"}, {"status": "in_review"}),
        ({"status_category": "Done", "status": "Reviewed"}, {"status": "done"}),
        ({"type": "Sub-task"}, {"category": "sub-task"}),
        ({"components": "", "labels": ""}, {"tags": []}),
        ({"description": "a\0b"}, {"description": "ab"}),
    ],
)
async def test_names_of_the_tracker(url: str, tmp_path: Path, changes: dict[str, str], kept: dict[str, object]) -> None:
    """Its priorities, statuses and types have each one meaning at the desk."""
    await import_items(url, written(tmp_path / "desk.csv", [row(1, **changes)]))
    (item,) = await fetch(url, ITEMS)
    assert {name: item[name] for name in kept} == kept


async def test_a_long_description_is_cut(url: str, tmp_path: Path) -> None:
    """At what an item may have; how long it was is noted."""
    await import_items(url, written(tmp_path / "desk.csv", [row(1, description="x" * 200_000)]))
    (item,) = await fetch(url, ITEMS)
    assert item["description"] == "x" * 19_998 + " …"
    assert json.loads(item["metadata"])["description_length"] == 200_000


async def test_the_log_says_who_created_what(url: str, tmp_path: Path) -> None:
    """An entry for each item, of whoever reported it, at its moment, with all that it has; ids rise with time."""
    rows = [
        row(1, created="2012-01-02T00:00:00.000+0000", updated="2012-01-02T00:00:00.000+0000"),
        row(2, reporter="bo b", summary="Older"),
        row(3, reporter="", created="2011-05-01T00:00:00.000+0000", updated="2012-01-02T00:00:00.000+0000"),
        row(4, created="2012-01-03T00:00:00.000+0000", updated="2012-01-03T00:00:00.000+0000"),
    ]
    report = await import_items(url, written(tmp_path / "desk.csv", rows))
    found = await fetch(
        url,
        "SELECT i.*, a.id AS entry, t.name, t.email, a.action, a.changes, a.created_at = i.created_at AS then "
        "FROM items i JOIN audit_log a ON a.item_id = i.id JOIN traders t ON t.id = a.trader_id ORDER BY i.id",
    )
    assert [json.loads(each["metadata"])["key"] for each in found] == ["DESK-2", "DESK-3", "DESK-1", "DESK-4"]
    assert [each["name"] for each in found] == ["bo b", "Anonymous", "ada", "ada"]
    assert found[0]["email"] == "bo%20b@tracker.example"
    assert [(each["id"], each["action"], each["then"]) for each in found] == [
        (number, "created", True) for number in range(1, 5)
    ]
    for each in found:
        plain = {name: each[name] for name in ("title", "description", "category", "status", "tags")}
        fields = {**plain, "priority": "high", "metadata": json.loads(each["metadata"])}
        assert json.loads(each["changes"]) == {name: [None, value] for name, value in fields.items()}
    ((key_hash, since),) = await fetch(url, "SELECT api_key_hash, created_at FROM traders WHERE name = 'ada'")
    assert report.trader == "ada"
    assert report.api_key
    assert key_hash == hash_api_key(report.api_key)
    assert since.isoformat() == "2012-01-02T00:00:00+00:00"


BAD = {
    "no key": ({"key": "  "}, "key is not a project and a number"),
    "another's key": ({"key": "desk 4"}, "key is not a project and a number"),
    "a key that was": ({"key": "DESK-1"}, "DESK-1 is in the file already"),
    "no title": ({"summary": "\t"}, "no item has such a title"),
    "a title without end": ({"summary": "x" * 301}, "at most 300 characters"),
    "no type": ({"type": ""}, "no item has such a category"),
    "too many tags": ({"labels": "|".join(map(str, range(30)))}, "no item has such a tags"),
    "an endless tag": ({"labels": "x" * 51}, "at most 50 characters"),
    "too much else": ({"fix_versions": "x" * 10_001}, "no item has such a metadata"),
    "an unknown priority": ({"priority": "P1"}, "priority is none that is known: 'P1'"),
    "an unknown status": ({"status_category": "Later"}, "status_category is none that is known"),
    "no moment": ({"created": "yesterday"}, "created is not a moment"),
    "no zone": ({"updated": "2011-04-17T01:50:06"}, "updated names no time zone"),
    "of the future": ({"updated": "2999-01-01T00:00:00+0000"}, "in the future"),
    "before there was any": ({"created": "0001-01-01T00:00:00+1400"}, "before 1970"),
    "changed before it was": ({"updated": "2011-04-14T00:00:00+0000"}, "updated is before created"),
    "half a comment": ({"n_comments": "1.5"}, "n_comments is not a whole number"),
    "resolved some day": ({"resolved": "soon"}, "resolved is not a moment"),
}


@pytest.mark.parametrize("wrong", BAD)
async def test_bad_rows_are_told_by_line(url: str, tmp_path: Path, wrong: str) -> None:
    """A row that is no issue is left out and told by the line it begins on; with ``strict`` nothing is imported."""
    changes, reason = BAD[wrong]
    file = written(tmp_path / "desk.csv", [row(1), row(2), row(3, **changes), row(4)])
    with pytest.raises(RowsRejectedError) as refused:
        await import_items(url, file, strict=True)
    assert not any((await everything(url)).values())
    report = await import_items(url, file)
    assert (report.imported, report.rejected) == (3, 1)
    (rejection,) = report.rejections
    assert refused.value.rejections == (rejection,)
    assert rejection.line == 6  # two rows of two lines each, and the header
    assert reason in rejection.reason


def _files(tmp_path: Path) -> dict[str, tuple[bytes, str]]:
    good = written(tmp_path / "good.csv", [row(number) for number in range(1, 51)]).read_bytes()
    packed = gzip.compress(good)
    header = good[: good.index(b"\n") + 1]
    return {
        "empty": (b"", "does not name"),
        "another header": (b"a,b\n1,2\n", "it has no key, project"),
        "one name twice": (good.replace(b"links", b"labels", 1), "two have one name"),
        "no rows": (header, "has a header but no rows"),
        "mostly bad": (good.replace(b"2011-04-15", b"never", 40), "40 of 50 rows are not issues"),
        "a quote that never ends": (good + b'"open', "is not CSV"),
        "not UTF-8": (good.replace(b"Issue 7", b"Issue \xff"), "not UTF-8"),
        "no line ends": (b"x" * 4_400_000, "longer than"),
        "one row without end": (header + b'"' + (b"x" * 99_999 + b"\n") * 43, "the row that reaches line"),
        "truncated gzip": (packed[: len(packed) // 2], "cut short"),
        "a bomb": (gzip.compress(header + (b"x" * 99_999 + b"\n") * 60), "holds more than"),
    }


KINDS = (
    *("empty", "another header", "one name twice", "no rows", "mostly bad", "a quote that never ends", "not UTF-8"),
    *("no line ends", "one row without end", "truncated gzip", "a bomb"),
)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_file_that_is_not_what_it_says_changes_nothing(url: str, tmp_path: Path, kind: str) -> None:
    """However it is broken, and wherever."""
    content, told = _files(tmp_path)[kind]
    bad = tmp_path / "bad.csv"
    bad.write_bytes(content)
    with pytest.raises(IssueFileError, match=told):
        await import_items(url, bad, max_bytes=5_000_000)
    assert not any((await everything(url)).values())


async def test_the_same_file_is_refused(url: str, tmp_path: Path) -> None:
    """Under any name, packed or not, and at the same moment: of two that import it, one does."""
    rows = [row(number) for number in range(1, 41)]
    files = [written(tmp_path / name, rows) for name in ("desk.csv", "other.csv.gz")]
    results = await asyncio.gather(*(import_items(url, file) for file in files), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["AlreadyImportedError", "ImportReport"]
    before = await everything(url)
    with pytest.raises(AlreadyImportedError, match="was imported on"):
        await import_items(url, files[0])
    assert await everything(url) == before
    assert [len(rows) for rows in before.values()] == [1, 40, 40, 1]


async def test_a_newer_export_adds_what_is_new(url: str, tmp_path: Path) -> None:
    """Issues that are there stay as they are, and those who are known stay who they are."""
    await import_items(url, written(tmp_path / "first.csv", [row(1), row(2)]))
    before = await everything(url)
    newer = [row(2, summary="Another", reporter="cy"), row(3), row(4, reporter="bo")]
    report = await import_items(url, written(tmp_path / "newer.csv", newer))
    assert (report.rows, report.imported, report.known, report.traders, report.trader) == (3, 2, 1, 1, "bo")
    after = await everything(url)
    assert {table: after[table][: len(before[table])] for table in TABLES} == before
    assert [len(rows) for rows in after.values()] == [2, 4, 4, 2]


async def test_the_baseline_gets_the_same_rows(postgres: PostgresServer, url: str, tmp_path: Path) -> None:
    """Both databases hold the same afterwards and go on with the same numbers; if they differed, neither changes."""
    await generate(url, Scale("wee", 40, 5, 60), 1)
    twin = postgres.url("desk_import_twin")
    postgres.create_database("desk_import_twin", template=url.rpartition("/")[2].partition("?")[0])
    try:
        rows = [row(number, reporter=f"r{number % 7}") for number in range(1, 1_500)]
        report = await import_items(url, written(tmp_path / "desk.csv", rows), baseline_url=twin)
        assert (report.imported, report.traders, report.baseline) == (1_499, 7, True)
        assert await everything(twin) == await everything(url)
        insert = (
            "WITH i AS (INSERT INTO items (title, category, priority) VALUES ('x', 'y', 1) RETURNING id), "
            "a AS (INSERT INTO audit_log (item_id, trader_id, action, changes) VALUES (1, 1, 'deleted', '{}') "
            "RETURNING id) SELECT i.id, a.id FROM i, a"
        )
        assert await fetch(twin, insert) == await fetch(url, insert)
        await fetch(twin, "INSERT INTO items (title, category, priority) SELECT 'x', 'y', 1 FROM generate_series(1, 9)")
        before = [await everything(each) for each in (url, twin)]
        with pytest.raises(DatabaseError, match="no longer has the same rows"):
            await import_items(url, written(tmp_path / "more.csv", [row(9_000)]), baseline_url=twin)
        assert [await everything(each) for each in (url, twin)] == before
    finally:
        postgres.drop_database("desk_import_twin")


async def test_the_command(url: str, tmp_path: Path) -> None:
    """Says what was imported and left out, for people and for programs; a file that is refused exits 2."""
    file = written(tmp_path / "desk.csv", [row(1), row(2, summary=""), row(3)])
    refused = await run(app, "import", str(file), "--strict", "--database-url", url)
    reason = f"{file}: line 4: no item has such a title: String should have at least 1 character\n"
    assert (refused.exit_code, refused.stdout) == (2, reason)
    told = await run(app, "import", str(file), "--database-url", url)
    assert told.exit_code == 0, told.output
    assert told.stdout.startswith(
        f"{reason}desk.csv: 3 rows = 2 imported + 0 known + 1 rejected; 1 new traders\n"
        "API key of ada, shown this once: td_1_"
    )
    again = await run(app, "import", str(file), "--database-url", url, "--format", "json")
    assert again.exit_code == 2
    assert json.loads(again.stdout)["error"]["code"] == "issues_already_imported"
    (status,) = json.loads((await run(app, "status", "--database-url", url, "--format", "json")).stdout)
    assert (status["items"], status["audit_entries"], status["traders"], status["imports"]) == (2, 2, 1, 1)


@pytest.mark.skipif(not REAL.is_file(), reason="the published issues are not at ../shared/data/work_items")
async def test_the_published_export(url: str) -> None:
    """All of the tracker's issues become items, by the file's own figures; those who reported them can be asked as."""
    assert SUBJECT.import_file is not None
    report = await SUBJECT.import_file(url, REAL, lambda phase, done, total: None)
    assert (report.rows, report.imported, report.rejected, report.traders) == (22_371, 22_371, 0, 1_902)
    counts = {
        column: {row[0]: row[1] for row in await fetch(url, f"SELECT {column}, count(*) FROM items GROUP BY 1")}
        for column in ("category", "priority", "status")
    }
    assert counts["category"] == {
        "bug": 15_941,
        "new-feature": 2_453,
        "improvement": 1_369,
        "sub-task": 1_232,
        "story": 1_223,
        "epic": 109,
        "technical-task": 44,
    }
    assert counts["priority"] == {4: 2_650, 3: 6_754, 2: 5_860 + 1_492 + 429, 1: 4_282 + 904}
    assert counts["status"] == {"done": 19_953, "open": 2_381, "in_progress": 20, "in_review": 17}
    (found,) = await fetch(
        url,
        "SELECT max(length(description)) AS longest, "
        "min(description) FILTER (WHERE metadata ->> 'key' = 'TIMOB-5') AS text, "
        "count(DISTINCT metadata ->> 'key') AS keys, min(created_at) AS first, max(created_at) AS last, "
        "count(*) FILTER (WHERE 'ios' = ANY (tags)) AS ios FROM items",
    )
    assert (found["longest"], found["keys"], found["ios"]) == (20_000, 22_371, 8_139)
    assert (found["first"].year, found["last"].year) == (2011, 2021)
    assert found["text"] == "Complete the iphone integration using don's android spec."
    people = await load_traders(url)
    assert len(people) == 1_000
    assert people[0].weight == 905
