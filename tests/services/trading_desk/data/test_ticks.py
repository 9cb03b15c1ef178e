"""Ticks of a broker: read by the rules, whole or not at all, and the same in both databases."""

from __future__ import annotations

import asyncio
import io
import json
import tarfile
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from tests.services.commands import run
from tests.services.conftest import MakeTables
from tests.services.data.rows import fetch

from tailrace.embedded import PostgresServer
from tailrace_services.trading_desk.commands import app
from tailrace_services.trading_desk.data import DATA
from tailrace_services.trading_desk.generator import Scale, generate
from tailrace_services.trading_desk.importer import (
    RowsRejectedError,
    TickFileError,
    TicksAlreadyImportedError,
    import_ticks,
)

REAL = Path(__file__).parents[4].parent / "shared/data/ticks/xauusd_2014_05.tar.gz"
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
YESTERDAY = TODAY - timedelta(days=1)
GOOD = b"43.142,1291.677,1292.033\n62.2662,1291.619,1292.007\r\n86399999.9994,1290,1290.5\n"
HELD = "SELECT * FROM signals ORDER BY id"


def day_file(start: datetime, content: bytes, name: str = "") -> bytes:
    """A zip as a broker makes it."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name or f"{start:%Y%m%d}_xauusd_tick_quote.csv", content)
    return made.getvalue()


def archive(path: Path, files: Mapping[str, bytes]) -> Path:
    """A tar of such files; packed if its name says so."""
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as made:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            made.addfile(member, io.BytesIO(content))
    return path


def zipped(path: Path, content: bytes = GOOD, start: datetime = YESTERDAY) -> Path:
    """The same, a file of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(day_file(start, content))
    return path


@pytest.fixture
def url(make_tables: MakeTables) -> str:
    """A migrated database without rows."""
    return make_tables(DATA)


async def nothing_in(url: str) -> bool:
    """Whether no signal is held, and no import noted."""
    (row,) = await fetch(url, "SELECT (SELECT count(*) FROM signals) + (SELECT count(*) FROM imports) AS held")
    return row["held"] == 0


async def test_what_a_tick_becomes(url: str, tmp_path: Path) -> None:
    """A quote at its microsecond, of the asset that its file's name says and of the market in its path."""
    report = await import_ticks(url, [zipped(tmp_path / "oanda/tick/xauusd/a_quote.zip")])
    assert (report.days, report.rows, report.imported, report.rejected, report.weeks) == (1, 3, 3, 0, 0)
    assert (report.first, report.last) == (YESTERDAY, YESTERDAY)
    rows = await fetch(url, HELD)
    microseconds = [(row["time"] - YESTERDAY) // timedelta(microseconds=1) for row in rows]
    assert microseconds == [43_142, 62_266, 86_399_999_999]
    assert {(row["asset"], row["signal_type"], row["channel"]) for row in rows} == {("XAUUSD", "quote", "oanda")}
    assert [row["price"] for row in rows] == [Decimal("1291.855"), Decimal("1291.813"), Decimal("1290.25")]
    assert (rows[0]["bid"], rows[0]["ask"]) == (Decimal("1291.677"), Decimal("1292.033"))
    assert [row["id"] for row in rows] == [1, 2, 3]


@pytest.mark.parametrize("name", ["ticks.tar", "ticks.tar.gz"])
async def test_an_archive_of_days(url: str, tmp_path: Path, name: str) -> None:
    """Days are imported wherever they lie in it; what is no day is not looked at."""
    before = YESTERDAY - timedelta(days=1)
    files = {
        "README": b"nothing",
        "cfd/oanda/tick/xauusd/1_quote.zip": day_file(before, GOOD),
        "2_quote.zip": day_file(YESTERDAY, GOOD + b"0,1,1\n"),
    }
    report = await import_ticks(url, [archive(tmp_path / name, files)])
    assert (report.days, report.imported, report.first, report.last) == (2, 7, before, YESTERDAY)
    counts = await fetch(url, "SELECT channel, count(*) FROM signals GROUP BY 1 ORDER BY 1")
    assert [tuple(row) for row in counts] == [("oanda", 3), ("ticks", 4)]
    imports = await fetch(url, "SELECT file_name, imported, rejected FROM imports ORDER BY id")
    assert [tuple(row) for row in imports] == [
        (f"{name}:cfd/oanda/tick/xauusd/1_quote.zip", 3, 0),
        (f"{name}:2_quote.zip", 4, 0),
    ]


async def test_old_ticks_are_moved_by_whole_weeks(url: str, tmp_path: Path) -> None:
    """So that they are kept: all by the same, to where the last is of the week before now."""
    days = [datetime(2014, 5, number, tzinfo=UTC) for number in (2, 7)]
    contents = (GOOD, GOOD.splitlines()[0])
    files = [zipped(tmp_path / f"{day:%d}.zip", content, day) for day, content in zip(days, contents, strict=True)]
    report = await import_ticks(url, files)
    moved = timedelta(weeks=report.weeks)
    assert report.weeks > 600
    assert (report.first, report.last) == (days[0] + moved, days[1] + moved)
    assert timedelta(0) <= TODAY - report.last < timedelta(days=9)
    (row,) = await fetch(url, "SELECT min(time) AS first FROM signals")
    assert row["first"] == report.first + timedelta(microseconds=43_142)


BAD = {
    "too few fields": (b"1,2", "not milliseconds, bid and ask: '1,2'"),
    "empty": (b"", "not milliseconds"),
    "no number": (b"1,NaN,3", "not milliseconds"),
    "a sign": (b"-1,2,3", "not milliseconds"),
    "not text": (b"1,\xff,3", "not milliseconds"),
    "of another day": (b"86400000,2,3", "a day has 86,400,000 milliseconds: '86400000'"),
    "rounded into another day": (b"86399999.9999,2,3", "a day has 86,400,000 milliseconds"),
    "for nothing": (b"1,0,3", "bid and ask must be prices"),
    "upside down": (b"1,3,2.9", "bid not above ask: '1,3,2.9'"),
}


async def test_bad_lines_are_told(url: str, tmp_path: Path) -> None:
    """A line that is no tick is left out and told by its number and why; with ``strict`` nothing is imported."""
    content = GOOD * 4 + b"".join(line + b"\n" for line, _ in BAD.values()) + GOOD
    file = zipped(tmp_path / "a.zip", content)
    with pytest.raises(RowsRejectedError) as refused:
        await import_ticks(url, [file], strict=True)
    assert await nothing_in(url)
    report = await import_ticks(url, [file])
    assert (report.imported, report.rejected) == (15, len(BAD))
    assert refused.value.rejections == report.rejections
    for number, (rejection, (_, reason)) in enumerate(zip(report.rejections, BAD.values(), strict=True), 13):
        assert (rejection.file, rejection.line) == ("a.zip", number)
        assert reason in rejection.reason


def _files() -> dict[str, tuple[bytes, str]]:
    good = day_file(YESTERDAY, GOOD)
    renamed = {name: day_file(YESTERDAY, GOOD, name) for name in ("notes.txt", "20149999_xauusd_tick_quote.csv")}
    flipped = bytearray(day_file(YESTERDAY, GOOD * 50))
    flipped[90] ^= 0xFF
    return {
        "empty": (b"", "none that is known"),
        "text": (b"1,2,3\n" * 9_000, "none that is known"),
        "half a zip": (good[:60], "damaged"),
        "a damaged day": (bytes(flipped), "damaged"),
        "another file": (renamed["notes.txt"], "is not one CSV"),
        "no such day": (renamed["20149999_xauusd_tick_quote.csv"], "20149999 is no day"),
        "no lines": (day_file(YESTERDAY, b""), "1 of 1 lines are not ticks"),
        "mostly bad": (day_file(YESTERDAY, GOOD + b"x\n" * 4), "4 of 7 lines are not ticks"),
        "a bomb": (day_file(YESTERDAY, b"0" * (64 * 1024 * 1024 + 1)), "holds more than 67108864 bytes"),
        "of the future": (day_file(TODAY + timedelta(days=9), GOOD), "none that lie in the future"),
    }


async def test_a_file_that_is_not_what_it_says_changes_nothing(url: str, tmp_path: Path) -> None:
    """However it is broken, and although the file before it is whole."""
    good, bad = zipped(tmp_path / "good.zip", GOOD + b"7,8,9\n"), tmp_path / "bad.zip"
    for kind, (content, told) in _files().items():
        bad.write_bytes(content)
        with pytest.raises(TickFileError, match=told):
            await import_ticks(url, [good, bad])
        assert await nothing_in(url), kind
    for name, told in (("none.zip", "cannot be read: No such file"), (".", "cannot be read: Is a directory")):
        with pytest.raises(TickFileError, match=told):
            await import_ticks(url, [good, tmp_path / name])
    with pytest.raises(TickFileError, match="holds no day of ticks"):
        await import_ticks(url, [archive(tmp_path / "a.tar", {"notes.txt": b"x"})])
    years = [zipped(tmp_path / f"{year}.zip", GOOD, datetime(year, 5, 7, tzinfo=UTC)) for year in (2014, 2017)]
    years[1].write_bytes(day_file(datetime(2017, 5, 7, tzinfo=UTC), GOOD * 2))
    with pytest.raises(TickFileError, match="no more than two years are kept"):
        await import_ticks(url, years)
    assert await nothing_in(url)


async def test_the_same_ticks_are_refused(url: str, tmp_path: Path) -> None:
    """Under any name, in any archive, twice in one command, and at the same moment: of two that import, one does."""
    one = zipped(tmp_path / "one.zip")
    other = archive(tmp_path / "other.tar.gz", {"x/1.zip": one.read_bytes()})
    with pytest.raises(TicksAlreadyImportedError, match=r"other.tar.gz:x/1.zip: has the ticks that one.zip has"):
        await import_ticks(url, [one, other])
    assert await nothing_in(url)
    results = await asyncio.gather(*(import_ticks(url, [file]) for file in (one, other)), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["TickReport", "TicksAlreadyImportedError"]
    with pytest.raises(TicksAlreadyImportedError, match="was imported on"):
        await import_ticks(url, [other])
    assert len(await fetch(url, HELD)) == 3


async def test_the_baseline_gets_the_same_rows(postgres: PostgresServer, url: str, tmp_path: Path) -> None:
    """Both databases hold the same afterwards, and go on with the same numbers."""
    await generate(url, Scale("wee", 40, 5, 300), 1)
    twin = postgres.url("desk_tick_twin")
    postgres.create_database("desk_tick_twin", template=url.rpartition("/")[2].partition("?")[0])
    try:
        lines = b"".join(b"%d.5,%d,%d.25\n" % (number * 3, 100 + number % 7, 108) for number in range(30_000))
        report = await import_ticks(url, [zipped(tmp_path / "a.zip", lines + b"bad\n")], baseline_url=twin)
        assert (report.imported, report.rejected, report.baseline) == (30_000, 1, True)
        held = await fetch(url, HELD)
        assert held == await fetch(twin, HELD)
        assert [row["id"] for row in held] == list(range(1, 30_301))
        insert = (
            "INSERT INTO signals (time, asset, signal_type, channel, price) VALUES (now(), 'X', 'close', 'x', 1) "
            "RETURNING id > 30300 AS new"
        )
        assert (await fetch(url, insert))[0]["new"]
        assert (await fetch(twin, insert))[0]["new"]
    finally:
        postgres.drop_database("desk_tick_twin")


async def test_the_command(url: str, tmp_path: Path) -> None:
    """Says what was imported and left out, for people and for programs; files that are refused exit 2."""
    file = zipped(tmp_path / "a.zip", GOOD + b"bad\n")
    reason = "a.zip: line 4: not milliseconds, bid and ask: 'bad'\n"
    refused = await run(app, "import-ticks", str(file), "--strict", "--database-url", url)
    assert (refused.exit_code, refused.stdout) == (2, reason)
    told = await run(app, "import-ticks", str(file), "--database-url", url)
    assert told.exit_code == 0, told.output
    day = f"{YESTERDAY:%Y-%m-%d}"
    assert told.stdout == f"{reason}a.zip: 4 rows = 3 imported + 1 rejected\n1 days from {day} to {day}\n"
    again = await run(app, "import-ticks", str(file), "--database-url", url, "--format", "json")
    assert again.exit_code == 2
    assert json.loads(again.stdout)["error"]["code"] == "ticks_already_imported"
    (status,) = json.loads((await run(app, "status", "--database-url", url, "--format", "json")).stdout)
    assert (status["signals"], status["imports"]) == (3, 1)


@pytest.mark.skipif(not REAL.is_file(), reason="the published ticks are not at ../shared/data/ticks")
async def test_published_ticks(url: str, tmp_path: Path) -> None:
    """Two days of the published archive, by what other tools count of them: ticks, lowest bid, highest ask."""
    with tarfile.open(REAL) as published:
        chosen = {
            member.name: content.read()
            for member in published
            if member.name.endswith(("04_quote.zip", "11_quote.zip"))
            and (content := published.extractfile(member)) is not None
        }
    report = await import_ticks(url, [archive(tmp_path / "some.tar", chosen)])
    assert (report.days, report.rows, report.rejected) == (2, 9_889 + 14_987, 0)
    days = await fetch(
        url,
        "SELECT (time AT TIME ZONE 'UTC')::date AS day, count(*) AS ticks, min(bid) AS low, max(ask) AS high, "
        "min(channel) AS channel FROM signals GROUP BY 1 ORDER BY 1",
    )
    assert [(row["ticks"], str(row["low"]), str(row["high"]), row["channel"]) for row in days] == [
        (9_889, "1299.189", "1303.179", "oanda"),
        (14_987, "1276.517", "1290.729", "oanda"),
    ]
    assert [row["day"].isoweekday() for row in days] == [7, 7]
