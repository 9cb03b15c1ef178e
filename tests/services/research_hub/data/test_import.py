"""Posts of real exports: read by the rules, whole or not at all, and the same in both databases."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path

import pytest
from tests.services.commands import run
from tests.services.conftest import MakeTables
from tests.services.data.rows import fetch, written

from tailrace.embedded import PostgresServer
from tailrace.errors import DatabaseError
from tailrace_services.research_hub.commands import app
from tailrace_services.research_hub.data import DATA
from tailrace_services.research_hub.generator import Scale, generate
from tailrace_services.research_hub.importer import ImportReport, PostFileError, RowsRejectedError, import_posts

REAL = Path(__file__).parents[4].parent / "shared/data/posts"
HEADER = ["created_utc", "score", "domain", "title", "ups", "downs", "num_comments", "permalink", "selftext", "url"]
POSTS = "SELECT author_id, url, title, body, published_at, metrics FROM contents ORDER BY id"
EVERYTHING = (
    "SELECT md5(string_agg(a::text, '|' ORDER BY a.id)) FROM authors a",
    "SELECT md5(string_agg(c::text, '|' ORDER BY c.id)) FROM (SELECT id, author_id, platform, url, title, body, "
    "published_at, analyzed_at, metrics FROM contents) c",
)


def row(number: int, **changes: str) -> dict[str, str]:
    """A good row."""
    return {
        "created_utc": "1375189051.0",
        "score": "12",
        "domain": "self.Python",
        "title": f"Post {number}",
        "ups": "20",
        "downs": "8",
        "num_comments": "3",
        "permalink": f"http://www.reddit.com/r/Python/comments/{number:x}/post/",
        "selftext": "Some\ntext, with a comma",
        "url": f"http://www.reddit.com/r/Python/comments/{number:x}/post/",
        **changes,
    }


@pytest.fixture
def url(make_tables: MakeTables) -> str:
    """A migrated database without rows."""
    return make_tables(DATA)


async def test_what_a_row_becomes(url: str, tmp_path: Path) -> None:
    """Each field by its rule: address, text or link, moment, figures, subreddit, and who wrote it."""
    rows = [
        row(1),
        row(2, selftext="", url="http://example.com/x", domain="example.com", created_utc="1375189052"),
        row(3, permalink="/r/Python/comments/3/post/", score="-4", title=" Odd "),
    ]
    report = await import_posts(url, [written(tmp_path / "Python.csv.gz", rows)])
    assert (report.rows, report.imported, report.known, report.rejected, report.authors) == (3, 3, 0, 0, 2)
    found = await fetch(url, POSTS)
    authors = {each["id"]: each for each in await fetch(url, "SELECT * FROM authors")}
    assert [authors[post["author_id"]]["username"] for post in found] == ["self.Python", "example.com", "self.Python"]
    assert {author["display_name"] for author in authors.values()} == {"r/Python", "example.com"}
    assert {author["platform"] for author in authors.values()} == {"reddit"}
    assert [post["body"] for post in found] == [rows[0]["selftext"], "http://example.com/x", rows[2]["selftext"]]
    assert found[2]["url"] == "https://www.reddit.com/r/Python/comments/3/post/"
    assert found[2]["title"] == "Odd"
    assert found[1]["published_at"].isoformat() == "2013-07-30T12:57:32+00:00"
    assert json.loads(found[2]["metrics"]) == {"subreddit": "Python", "score": -4, "ups": 20, "downs": 8, "comments": 3}


async def test_columns_say_more_than_the_name(url: str, tmp_path: Path) -> None:
    """A column ``author`` or ``subreddit`` is believed before the domain and the file's name."""
    rows = [{**row(1), "author": "guido", "subreddit": "learnpython"}]
    await import_posts(url, [written(tmp_path / "export.csv", rows)])
    (author,) = await fetch(url, "SELECT username, display_name FROM authors")
    assert tuple(author) == ("guido", "guido")
    (post,) = await fetch(url, POSTS)
    assert json.loads(post["metrics"])["subreddit"] == "learnpython"


BAD = {
    "an empty title": ({"title": "  "}, "title is empty"),
    "no domain": ({"domain": ""}, "domain is empty"),
    "no moment": ({"created_utc": "yesterday"}, "created_utc is not a number"),
    "not a number": ({"created_utc": "nan"}, "in the future"),
    "before there was any": ({"created_utc": "1"}, "before 2005"),
    "of the future": ({"created_utc": "99999999999"}, "in the future"),
    "half a vote": ({"score": "1.5"}, "score is not a whole number"),
    "too many votes": ({"ups": "99999999999"}, "ups is not a whole number"),
    "no address": ({"permalink": "javascript:alert(1)"}, "not the address"),
    "an unreadable address": ({"permalink": "http://[x/r/a"}, "not the address"),
    "another site's page": ({"permalink": "http://example.com/a"}, "not the address"),
}


@pytest.mark.parametrize("wrong", BAD)
async def test_bad_rows_are_told_by_line(url: str, tmp_path: Path, wrong: str) -> None:
    """A row that is no post is left out and told by the line it begins on; with ``strict`` nothing is imported."""
    changes, reason = BAD[wrong]
    rows = [row(1), row(2), row(3, **changes), row(4)]
    file = written(tmp_path / "Python.csv", rows)
    with pytest.raises(RowsRejectedError) as refused:
        await import_posts(url, [file], strict=True)
    assert await fetch(url, POSTS) == []
    report = await import_posts(url, [file])
    assert (report.imported, report.rejected) == (3, 1)
    (rejection,) = report.rejections
    assert refused.value.rejections == (rejection,)
    assert rejection.line == 6  # two rows of two lines each, and the header
    assert reason in rejection.reason


def _files(tmp_path: Path) -> dict[str, tuple[bytes, str]]:
    good = written(tmp_path / "good.csv", [row(number) for number in range(50)]).read_bytes()
    packed = gzip.compress(good)
    return {
        "empty": (b"", "does not name"),
        "another header": (b"a,b\n1,2\n", "it has no created_utc"),
        "no author": (good.replace(b"domain", b"damian", 1), "it has no author or domain"),
        "one name twice": (good.replace(b"downs", b"ups", 1), "two have one name"),
        "no rows": (good.split(b"\n")[0] + b"\n", "has a header but no rows"),
        "mostly bad": (good.replace(b"1375189051.0", b"never", 40), "40 of 50 rows are not posts"),
        "a quote that never ends": (good + b'"open', "is not CSV"),
        "zero byte": (good[:900] + b"\0" + good[900:], "zero byte"),
        "not UTF-8": (good.replace(b"Post 7", b"Post \xff"), "not UTF-8"),
        "no line ends": (b"x" * 200_000, "longer than"),
        "truncated gzip": (packed[: len(packed) // 2], "cut short"),
        "a bomb": (gzip.compress(good[: good.index(b"\n") + 1] + b"x\n" * 4_000_000), "holds more than"),
    }


KINDS = (
    *("empty", "another header", "no author", "one name twice", "no rows", "mostly bad", "a quote that never ends"),
    *("zero byte", "not UTF-8", "no line ends", "truncated gzip", "a bomb"),
)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_file_that_is_not_what_it_says_changes_nothing(url: str, tmp_path: Path, kind: str) -> None:
    """Nor do the good files beside it."""
    content, told = _files(tmp_path)[kind]
    bad, good = tmp_path / "bad.csv", written(tmp_path / "Python.csv", [row(1000)])
    bad.write_bytes(content)
    with pytest.raises(PostFileError, match=told):
        await import_posts(url, [good, bad], max_bytes=1_000_000)
    assert await fetch(url, "SELECT 1 FROM authors UNION ALL SELECT 1 FROM contents") == []
    assert await fetch(url, "SELECT * FROM post_imports") == []


async def test_again_changes_nothing(url: str, tmp_path: Path) -> None:
    """Posts that are there already are left as they are, whichever file they come in and however often."""
    first = written(tmp_path / "Python.csv", [row(number) for number in range(5)])
    more = written(tmp_path / "more.csv.gz", [row(number, title="Another") for number in range(3, 9)] + [row(8)])
    assert (await import_posts(url, [first])).imported == 5
    before = await fetch(url, POSTS)
    again = await import_posts(url, [first])
    assert (again.imported, again.known) == (0, 5)
    report = await import_posts(url, [more])
    assert (report.imported, report.known) == (4, 3)
    assert (await fetch(url, POSTS))[:5] == before
    assert len(await fetch(url, "SELECT * FROM post_imports")) == 2


async def test_the_baseline_gets_the_same_rows(postgres: PostgresServer, url: str, tmp_path: Path) -> None:
    """Both databases hold the same afterwards and go on with the same numbers; if they differed, neither changes."""
    await generate(url, Scale("wee", 100, 5, 60), 1)
    twin = postgres.url("hub_import_twin")
    postgres.create_database("hub_import_twin", template=url.rpartition("/")[2].partition("?")[0])
    try:
        file = written(tmp_path / "Python.csv", [row(number) for number in range(30)])
        report = await import_posts(url, [file], baseline_url=twin)
        assert (report.imported, report.baseline) == (30, True)
        assert [await fetch(twin, each) for each in EVERYTHING] == [await fetch(url, each) for each in EVERYTHING]
        insert = "INSERT INTO authors (platform, username, display_name) VALUES ('x', 'y', 'z') RETURNING id"
        assert await fetch(twin, insert) == await fetch(url, insert)
        await fetch(twin, "DELETE FROM contents WHERE id > 100")
        await fetch(twin, "INSERT INTO contents (author_id, platform, url, title, body, published_at) "
                    "SELECT 1, 'x', 'x' || n, '', '', now() FROM generate_series(1, 200) n")  # fmt: skip
        before = [await fetch(each, EVERYTHING[1]) for each in (url, twin)]
        more = written(tmp_path / "more.csv", [row(number) for number in range(100, 130)])
        with pytest.raises(DatabaseError, match="no longer has the same rows"):
            await import_posts(url, [more], baseline_url=twin)
        assert [await fetch(each, EVERYTHING[1]) for each in (url, twin)] == before
    finally:
        postgres.drop_database("hub_import_twin")


async def test_two_imports_at_once(url: str, tmp_path: Path) -> None:
    """Of two that import the same posts at once, one does and the other finds them there."""
    file = written(tmp_path / "Python.csv", [row(number) for number in range(40)])
    reports: list[ImportReport] = await asyncio.gather(*(import_posts(url, [file]) for _ in range(2)))
    assert sorted(report.imported for report in reports) == [0, 40]


async def test_the_command(url: str, tmp_path: Path) -> None:
    """Says what was imported and left out, for people and for programs; a file that is refused exits 2."""
    file = written(tmp_path / "Python.csv", [row(1), row(2, title=""), row(3)])
    told = await run(app, "import", str(file), "--database-url", url)
    assert told.exit_code == 0, told.output
    assert told.stdout == (
        f"{file}: line 4: title is empty\n1 files: 3 rows = 2 imported + 0 known + 1 rejected; 1 new authors\n"
    )
    again = await run(app, "import", str(file), "--database-url", url, "--format", "json")
    assert (json.loads(again.stdout)["imported"], json.loads(again.stdout)["known"]) == (0, 2)
    refused = await run(app, "import", str(file), "--strict", "--database-url", url)
    assert (refused.exit_code, refused.stdout) == (2, f"{file}: line 4: title is empty\n")
    file.write_text("nothing")
    assert (await run(app, "import", str(file), "--database-url", url)).exit_code == 2
    (status,) = json.loads((await run(app, "status", "--database-url", url, "--format", "json")).stdout)
    assert (status["contents"], status["authors"], status["imports"]) == (2, 1, 1)


@pytest.mark.skipif(not REAL.is_dir(), reason="the published posts are not at ../shared/data/posts")
async def test_the_published_exports(url: str) -> None:
    """All of the 24 subreddits' posts are imported, none twice, and each is found under its subreddit."""
    report = await import_posts(url, sorted(REAL.glob("*.csv.gz")))
    assert (report.files, report.rows, report.imported, report.rejected) == (24, 23_994, 23_994, 0)
    (found,) = await fetch(
        url,
        "SELECT count(DISTINCT metrics->>'subreddit') AS subreddits, count(DISTINCT author_id) AS authors, "
        "min(published_at) AS first, max(published_at) AS last, count(*) FILTER (WHERE body = '') AS empty, "
        "max((metrics->>'score')::int) AS top FROM contents",
    )
    assert (found["subreddits"], found["empty"]) == (24, 0)
    assert found["authors"] == report.authors > 1000
    assert found["first"].year >= 2005
    assert found["last"].year == 2013
    assert found["top"] > 3000
