"""Import into real databases: whole or not at all, into both alike, every row accounted for."""

from __future__ import annotations

import asyncio
import gzip
import itertools
from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path

import asyncpg
import pytest
from tests.services.conftest import MakeTables

from tailrace.embedded import PostgresServer
from tailrace.errors import DatabaseError
from tailrace_services.identity.keys import hash_api_key
from tailrace_services.voice_dashboard.data import DATA
from tailrace_services.voice_dashboard.generator import Scale, generate
from tailrace_services.voice_dashboard.importer import (
    AlreadyImportedError,
    CampaignFileError,
    RowsRejectedError,
    import_campaign,
)
from tailrace_services.voice_dashboard.importer.campaign import COLUMNS
from tailrace_services.voice_dashboard.migrations import migrate

HEADER = ";".join(f'"{name}"' for name in COLUMNS)
REAL = Path(__file__).parents[4].parent / "shared/data/campaigns/bank_full.csv.gz"
COUNTERS = itertools.count()


def line(job: str = "management", day: int = 5, month: str = "may", seconds: int = 261, y: str = "no") -> str:
    """A good row."""
    return f'58;"{job}";"married";"tertiary";"no";2143;"yes";"no";"x";{day};"{month}";{seconds};1;-1;0;"unknown";"{y}"'


def written(folder: Path, rows: Iterable[str], header: str = HEADER, *, packed: bool = False) -> Path:
    """A file of ``rows``."""
    path = folder / f"campaign{next(COUNTERS)}.csv"
    data = "\n".join([header, *rows, ""]).encode()
    path.write_bytes(gzip.compress(data) if packed else data)
    return path


@pytest.fixture
def url(make_tables: MakeTables) -> str:
    """A migrated, empty database."""
    return make_tables(DATA)


async def rows_of(url: str) -> dict[str, list[asyncpg.Record]]:
    """Everything in the tables of the service."""
    connection = await asyncpg.connect(url)
    try:
        return {
            table: await connection.fetch(f"SELECT * FROM {table} ORDER BY id")
            for table in ("users", "agents", "calls", "lead_analytics")
        }
    finally:
        await connection.close()


async def test_rows_become_calls(url: str, tmp_path: Path) -> None:
    """Good rows become calls and leads of a new user with a working key; bad ones are listed by line and reason."""
    path = written(tmp_path, [line(), "nonsense", line("student", 6, seconds=0), line(y="yes", day=7)])
    report = await import_campaign(url, path)
    assert (report.rows, report.imported, report.rejected, report.leads, report.agents) == (4, 3, 1, 2, 2)
    assert [(entry.line, entry.reason) for entry in report.rejections] == [(3, "1 columns instead of 17")]
    rows = await rows_of(url)
    assert [call["status"] for call in rows["calls"]] == ["completed", "no_answer", "completed"]
    assert [lead["total_score"] for lead in rows["lead_analytics"]] == [33, 78]
    assert report.api_key
    assert rows["users"][0]["api_key_hash"] == hash_api_key(report.api_key)
    assert report.api_key.startswith(f"vd_{report.user_id}_")
    assert (report.first_call, report.last_call) == (
        datetime(2008, 5, 5, 9, tzinfo=UTC),
        datetime(2008, 5, 7, 9, tzinfo=UTC),
    )


async def test_imports_do_not_disturb_generated_rows(url: str, tmp_path: Path) -> None:
    """Beside generated data an import takes ids of its own, and a named user keeps key and balance."""
    await generate(url, Scale("tiny", 2000, 60), 1, datetime(2026, 3, 1, tzinfo=UTC))
    before = await rows_of(url)
    report = await import_campaign(url, written(tmp_path, [line()] * 3), email="user0007@example.com")
    after = await rows_of(url)
    assert (report.user_id, report.api_key) == (7, None)
    assert {table: after[table][: len(before[table])] for table in before} == before
    assert [call["user_id"] for call in after["calls"][2000:]] == [7, 7, 7]


async def test_both_databases_get_the_same_rows(url: str, postgres: PostgresServer, tmp_path: Path) -> None:
    """The baseline's database gets the same users, agents, calls and leads with the same ids, ready for more."""
    name = "import_twin"
    postgres.create_database(name)
    twin = postgres.url(name)
    try:
        await migrate(twin)
        path = written(tmp_path, [line(job, day) for day in range(1, 20) for job in ("services", "student", "retired")])
        report = await import_campaign(url, path, baseline_url=twin)
        assert report.baseline
        assert await rows_of(url) == await rows_of(twin)
        again = await import_campaign(url, path, baseline_url=twin, again=True, email=report.email)
        assert again.user_id == report.user_id
        assert await rows_of(url) == await rows_of(twin)
        await _add_call(twin)
        with pytest.raises(DatabaseError, match="no longer has the same rows"):
            await import_campaign(url, path, baseline_url=twin, again=True)
        assert len((await rows_of(url))["calls"]) == 114
    finally:
        postgres.drop_database(name)


async def test_the_last_call_falls_on_the_day_asked_for(url: str, tmp_path: Path) -> None:
    """``ending`` moves all calls by the same whole days."""
    report = await import_campaign(url, written(tmp_path, [line(day=5), line(day=9)]), ending=date(2026, 3, 1))
    assert (report.first_call, report.last_call) == (
        datetime(2026, 2, 25, 9, tzinfo=UTC),
        datetime(2026, 3, 1, 9, tzinfo=UTC),
    )


async def test_the_same_file_is_noticed(url: str, tmp_path: Path) -> None:
    """The same rows, packed or not, under any name, are imported twice only when asked to, even at the same moment."""
    rows = [line()] * 3
    paths = [written(tmp_path, rows), written(tmp_path, rows, packed=True)]
    results = await asyncio.gather(*(import_campaign(url, path) for path in paths), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["AlreadyImportedError", "ImportReport"]
    with pytest.raises(AlreadyImportedError, match="--again"):
        await import_campaign(url, paths[0])
    await import_campaign(url, paths[0], again=True)
    rows_now = await rows_of(url)
    assert (len(rows_now["users"]), len(rows_now["calls"])) == (2, 6)


async def test_strict_refuses_any_bad_row(url: str, tmp_path: Path) -> None:
    """Strict: one bad row and nothing is imported; the refusal names the row."""
    with pytest.raises(RowsRejectedError, match="1 of 3 rows") as caught:
        await import_campaign(url, written(tmp_path, [line(), "", line()]), strict=True)
    assert [(entry.line, entry.reason) for entry in caught.value.rejections] == [(3, "the line is empty")]
    assert not any((await rows_of(url)).values())


async def test_rejections_are_listed_to_a_bound_and_counted_beyond(url: str, tmp_path: Path) -> None:
    """A thousand bad rows are all counted, the first hundred listed."""
    report = await import_campaign(url, written(tmp_path, [line()] * 1500 + ["bad"] * 1000))
    assert (report.rejected, len(report.rejections), report.rejections[0].line) == (1000, 100, 1502)


def _not_a_campaign(folder: Path, kind: str) -> Path:
    good = "\n".join([HEADER, *[line()] * 5000]).encode()
    packed = gzip.compress(good)
    contents = {
        "empty": b"",
        "header only": HEADER.encode() + b"\n",
        "other header": b"a;b;c\n1;2;3\n",
        "commas": good.replace(b";", b","),
        "zero bytes": good[:5000] + b"\0" + good[5000:],
        "latin-1": good.replace(b"married", b"verhe\xefratet"),
        "binary": bytes(range(256)) * 100,
        "no line ends": HEADER.encode() + b"\n" + b"x" * 10_000_000,
        "truncated gzip": packed[: len(packed) // 2],
        "gzip without end": packed[:-4],
        "damaged gzip": packed[:60] + bytes(20) + packed[80:],
        "gzip then rubbish": packed + b"rubbish",
        "gzip in gzip": gzip.compress(packed),
        "bomb": gzip.compress(good + b"\n" + (line() + "\n").encode() * 50_000),
        "mostly bad": "\n".join([HEADER, *["bad"] * 10, *[line()] * 5]).encode(),
        "shuffled": "\n".join([HEADER, *[line(month=month) for month in ("may", "jan", "sep", "jan", "feb")]]).encode(),
    }
    path = folder / "file.csv"
    path.write_bytes(contents[kind])
    return path


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("empty", "first line"),
        ("header only", "no rows"),
        ("other header", "first line"),
        ("commas", "first line"),
        ("zero bytes", "zero byte"),
        ("latin-1", "UTF-8"),
        ("binary", "zero byte"),
        ("no line ends", "longer than"),
        ("truncated gzip", "cut short"),
        ("gzip without end", "cut short"),
        ("damaged gzip", "damaged"),
        ("gzip then rubbish", "damaged"),
        ("gzip in gzip", "zero byte|UTF-8"),
        ("bomb", "more than 1000000 bytes"),
        ("mostly bad", "10 of 15 rows are not calls.* line 2: "),
        ("shuffled", "out of order"),
    ],
)
async def test_a_file_that_is_not_what_it_says_changes_nothing(
    url: str, tmp_path: Path, kind: str, reason: str
) -> None:
    """A wrong, damaged or oversized file is refused with one line that says why; nothing is left of it."""
    with pytest.raises(CampaignFileError, match=reason) as caught:
        await import_campaign(url, _not_a_campaign(tmp_path, kind), max_bytes=1_000_000)
    assert "\n" not in str(caught.value)
    assert not any((await rows_of(url)).values())


async def test_what_is_no_file_is_refused(url: str, tmp_path: Path) -> None:
    """A missing file and a folder are one clear line."""
    with pytest.raises(CampaignFileError, match="No such file"):
        await import_campaign(url, tmp_path / "missing.csv")
    with pytest.raises(CampaignFileError, match="directory"):
        await import_campaign(url, tmp_path)


@pytest.mark.skipif(not REAL.exists(), reason="the published campaign is not at ../shared/data/campaigns")
async def test_the_published_file(url: str) -> None:
    """Every row of the published file is accounted for, and its totals are those counted from the file itself."""
    report = await import_campaign(url, REAL, strict=True)
    assert (report.rows, report.imported, report.rejected, report.agents) == (45_211, 45_211, 0, 12)
    assert (report.first_call.date(), report.last_call.date()) == (date(2008, 5, 5), date(2010, 11, 17))
    with gzip.open(REAL, "rt") as file:
        fields = [row.rstrip().replace('"', "").split(";") for row in file][1:]
    durations = [int(row[11]) for row in fields]
    connection = await asyncpg.connect(url)
    try:
        found = await connection.fetchrow(
            "SELECT count(*) AS calls, sum(duration_minutes)::float AS minutes, "
            "count(*) FILTER (WHERE status = 'no_answer') AS unanswered FROM calls"
        )
        hot = await connection.fetchval("SELECT count(*) FROM lead_analytics WHERE total_score >= 70")
    finally:
        await connection.close()
    assert found["calls"] == 45_211
    assert abs(found["minutes"] - sum(durations) / 60) < 45_211 * 0.0005
    assert found["unanswered"] == durations.count(0)
    assert hot == sum(row[16] == "yes" for row in fields)


async def _add_call(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            "INSERT INTO calls (user_id, agent_id, status) SELECT user_id, id, 'busy' FROM agents LIMIT 1"
        )
    finally:
        await connection.close()
