"""Transcripts into the database: whole or not at all, once, and the same in the baseline's."""

from __future__ import annotations

import gzip
import io
import random
import string
import tarfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import asyncpg
import pytest
from tests.services.conftest import MakeTables

from tailrace.embedded import PostgresServer
from tailrace.errors import DatabaseError
from tailrace_services.call_coach.data import DATA
from tailrace_services.call_coach.generator import Scale, generate
from tailrace_services.call_coach.importer import (
    Description,
    RepName,
    TranscriptFileError,
    TranscriptsRejectedError,
    import_transcripts,
)
from tailrace_services.call_coach.migrations import migrate

REAL = Path(__file__).parents[4].parent / "shared/data/calls"
VTT = (
    "WEBVTT\n\n00:00:01.000 --> 00:00:03.000\nAnn: How do you do it today?\n\n"
    "00:00:03.500 --> 00:00:10.000\nBo: Mostly with spreadsheets.\n\n00:00:09.000 --> 00:00:10.500\nAnn: I see.\n"
)
NLP = (
    "token|speaker|ts|endTs|punctuation|prepunctuation|case|tags|oldTs|oldEndTs|ali_comment\n"
    "Hello|1|1.0|1.4|.||UC|[]|||\nThanks|2|2.0|2.5|.||UC|[]|||\n"
)
COUNTS = (
    "SELECT (SELECT count(*) FROM calls), (SELECT count(*) FROM speakers), (SELECT count(*) FROM transcripts), "
    "(SELECT count(*) FROM transcript_imports), (SELECT count(*) FROM reps)"
)


@pytest.fixture
def url(make_tables: MakeTables) -> str:
    """A migrated database without rows."""
    return make_tables(DATA)


@pytest.fixture
async def twin_url(postgres: PostgresServer, url: str) -> AsyncIterator[str]:
    """A second such database, for the baseline."""
    name = url.rpartition("/")[2] + "_baseline"
    postgres.create_database(name)
    await migrate(postgres.url(name))
    yield postgres.url(name)
    postgres.drop_database(name)


def written(path: Path, content: str | bytes) -> Path:
    """``path`` with that content."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def archive(path: Path, members: dict[str, str]) -> Path:
    """A compressed tar with ``members``."""
    with tarfile.open(path, "w:gz") as tar:
        for name, text in members.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(text.encode()), 1_700_000_000
            tar.addfile(member, io.BytesIO(text.encode()))
    return path


async def fetch(url: str, statement: str) -> list[tuple[object, ...]]:
    """Rows as tuples."""
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()


async def test_a_call_with_all_that_belongs_to_it(url: str, tmp_path: Path) -> None:
    """Speakers, sides, talk times, turns and their times; the representative is known by the address given."""
    file = written(tmp_path / "acme 2026-02-03.vtt", VTT)
    about = Description("Beacon Analytics", "discovery", {"ann": RepName("Ann", "ann@example.com")})
    report = await import_transcripts(url, [file], about)
    assert (report.calls, report.known, report.turns, report.speakers, report.seconds) == (1, 0, 3, 2, 10.5)
    assert await fetch(url, "SELECT title, product, call_type, scheduled_at, duration_seconds FROM calls") == [
        ("acme 2026-02-03", "Beacon Analytics", "discovery", datetime(2026, 2, 3, 12, tzinfo=UTC), Decimal("10.500"))
    ]
    assert await fetch(url, "SELECT name, email, company_side, talk_time_seconds FROM speakers ORDER BY id") == [
        ("Ann", "ann@example.com", "rep", Decimal("3.500")),
        ("Bo", None, "prospect", Decimal("6.500")),
    ]
    assert await fetch(url, "SELECT email, name FROM reps") == [("ann@example.com", "Ann")]
    turns = (
        "SELECT name, sequence_number, start_ms, end_ms, text FROM transcripts "
        "JOIN speakers ON speaker_id = speakers.id ORDER BY 2"
    )
    assert await fetch(url, turns) == [
        ("Ann", 1, 1000, 3000, "How do you do it today?"),
        ("Bo", 2, 3500, 10000, "Mostly with spreadsheets."),
        ("Ann", 3, 9000, 10500, "I see."),
    ]


async def test_the_same_again_changes_nothing(url: str, tmp_path: Path) -> None:
    """The same bytes, under whatever name and packing, alone or twice in one command, are one call."""
    plain = written(tmp_path / "a.vtt", VTT)
    packed = written(tmp_path / "b.vtt.gz", gzip.compress(VTT.encode()))
    both = archive(tmp_path / "c.tar.gz", {"x/one.vtt": VTT, "two.nlp": NLP, "readme.txt": "no", "copy.vtt": VTT})
    first = await import_transcripts(url, [plain, packed])
    assert (first.calls, first.known) == (1, 1)
    before = await fetch(url, COUNTS)
    second = await import_transcripts(url, [plain])
    assert (second.calls, second.known, second.turns) == (0, 1, 0)
    assert await fetch(url, COUNTS) == before
    third = await import_transcripts(url, [both])
    assert (third.calls, third.known) == (1, 2)
    assert await fetch(url, "SELECT format, count(*) FROM transcript_imports GROUP BY 1 ORDER BY 1") == [
        ("aligned", 1),
        ("webvtt", 1),
    ]


async def test_one_broken_file_and_nothing_changes(url: str, tmp_path: Path) -> None:
    """Every broken transcript is told by name and line, and the good ones before and after are not imported either."""
    good = written(tmp_path / "good.vtt", VTT)
    bad = archive(tmp_path / "bad.tar.gz", {"a.vtt": VTT + "\nbad\n", "b.nlp": NLP + "x|y\n", "c.nlp": NLP})
    latin = written(tmp_path / "latin.vtt", VTT.encode() + b"\n\xe9\n")
    with pytest.raises(TranscriptsRejectedError, match="3 transcripts are broken; nothing was imported") as caught:
        await import_transcripts(url, [good, bad, latin])
    told = [(each.file.rpartition("/")[2], each.problems[0].line) for each in caught.value.broken]
    assert told == [("bad.tar.gz:a.vtt", 12), ("bad.tar.gz:b.nlp", 4), ("latin.vtt", 12)]
    assert await fetch(url, COUNTS) == [(0, 0, 0, 0, 0)]
    assert (await import_transcripts(url, [good])).calls == 1


@pytest.mark.parametrize("turns", [1, 4_000], ids=["a turn", "a call"])
async def test_more_words_than_can_be_searched(url: str, tmp_path: Path, turns: int) -> None:
    """A transcript whose words fit into no text search vector is refused by name like any that is broken."""
    draw = random.Random(1)
    cues = [
        f"{n // 60:02}:{n % 60:02}.000 --> {n // 60:02}:{n % 60:02}.900\n<v {'AB'[n % 2]}>"
        + " ".join("".join(draw.choices(string.ascii_lowercase, k=12)) for _ in range(120_000 // turns))
        for n in (number % 3600 for number in range(turns))
    ]
    good = written(tmp_path / "good.vtt", VTT)
    large = written(tmp_path / "large.vtt", "WEBVTT\n\n" + "\n\n".join(cues) + "\n")
    cut = written(tmp_path / "cut.vtt", VTT + "\nbad\n")
    with pytest.raises(TranscriptsRejectedError, match="2 transcripts are broken") as caught:
        await import_transcripts(url, [good, large, cut])
    told = [(each.file.rpartition("/")[2], each.problems[0].line) for each in caught.value.broken]
    assert told == [("large.vtt", 1), ("cut.vtt", 12)]
    assert "more different words than can be searched" in caught.value.broken[0].problems[0].reason
    assert await fetch(url, COUNTS) == [(0, 0, 0, 0, 0)]


async def test_a_name_nobody_has_is_refused(url: str, tmp_path: Path) -> None:
    """A representative who speaks in none of the transcripts is a mistake, told before anything is kept."""
    file = written(tmp_path / "a.vtt", VTT)
    with pytest.raises(TranscriptsRejectedError, match="nobody in these transcripts is called Anne"):
        await import_transcripts(url, [file], Description(reps={"anne": RepName("Anne", None)}))
    assert await fetch(url, COUNTS) == [(0, 0, 0, 0, 0)]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("none.vtt", None, "cannot be read"),
        ("cut.tar.gz", "cut", "damaged or cut short"),
        ("empty.tar.gz", {}, "no members ending in"),
        ("other.tar.gz", {"a.txt": VTT}, "no members ending in"),
        ("bomb.vtt.gz", b"\x1f\x8b bomb", "damaged"),
        ("large.vtt", VTT + " " * 2000, "holds more than 1500 bytes"),
        ("large.tar.gz", {"a.vtt": VTT + " " * 2000}, "a.vtt: holds more than 1500 bytes"),
    ],
)
async def test_files_that_cannot_be_read(url: str, tmp_path: Path, name: str, content: object, reason: str) -> None:
    """Missing, damaged, empty, other or oversized files are refused in one line."""
    path = tmp_path / name
    if isinstance(content, dict):
        archive(path, content)
    elif content == "cut":
        noise = random.Random(1).randbytes(60_000).hex()
        path.write_bytes(archive(tmp_path / "whole", {"a.vtt": VTT + noise, "b.vtt": VTT}).read_bytes()[:30_000])
    elif content is not None:
        written(path, content)  # type: ignore[arg-type]
    with pytest.raises(TranscriptFileError, match=reason):
        await import_transcripts(url, [path], max_bytes=1500 if "large" in name else 10_000_000)
    assert await fetch(url, COUNTS) == [(0, 0, 0, 0, 0)]


async def test_the_baseline_gets_the_same_rows(url: str, twin_url: str, tmp_path: Path) -> None:
    """Beside generated rows, imported ones have the same ids in both; what is written later collides with none."""
    for each in (url, twin_url):
        await generate(each, Scale("wee", 60, 600, 5, 10), 1, datetime(2026, 3, 1, tzinfo=UTC))
    about = Description(reps={"ann": RepName("Ann", "ann@example.com")})
    report = await import_transcripts(url, [written(tmp_path / "a.vtt", VTT)], about, baseline_url=twin_url)
    assert report.baseline
    for table in ("calls", "speakers", "transcripts", "transcript_imports"):
        newest = f"SELECT * FROM {table} ORDER BY id DESC LIMIT 5"
        assert await fetch(url, newest) == await fetch(twin_url, newest)
    assert await fetch(url, "SELECT * FROM reps WHERE id > 5") == await fetch(
        twin_url, "SELECT * FROM reps WHERE id > 5"
    )
    insert = "INSERT INTO calls (title, scheduled_at, duration_seconds) VALUES ('new', now(), 1) RETURNING id"
    assert await fetch(url, insert) == await fetch(twin_url, insert) == [(62,)]
    other = written(tmp_path / "b.vtt", VTT + "\nNOTE another\n")
    await import_transcripts(url, [other])
    with pytest.raises(DatabaseError, match="in one of the two databases"):
        await import_transcripts(url, [other], baseline_url=twin_url)


async def test_progress_ends_at_the_whole(url: str, tmp_path: Path) -> None:
    """Progress never falls back and ends with all bytes read."""
    seen: list[tuple[str, int, int]] = []
    files = [written(tmp_path / "a.vtt", VTT), archive(tmp_path / "b.tar.gz", {"b.nlp": NLP, "c.vtt": VTT + "\n"})]
    await import_transcripts(url, files, progress=lambda *told: seen.append(told))
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)
    assert seen[-1] == ("reading", sum(file.stat().st_size for file in files), sum(f.stat().st_size for f in files))


@pytest.mark.skipif(not REAL.exists(), reason="the published calls are not at ../shared/data/calls")
async def test_real_calls(url: str) -> None:
    """81 earnings calls and 164 meetings that nobody here wrote are imported whole, no word and no speaker lost."""
    report = await import_transcripts(url, sorted(REAL.glob("*.tar.gz")))
    assert (report.calls, report.known) == (245, 0)
    tokens, voices = 0, set()
    with tarfile.open(REAL / "earnings22.tar.gz") as tar:
        for member in tar:
            if member.name.endswith(".nlp"):
                rows = tar.extractfile(member).read().decode().split("\n")[1:]  # type: ignore[union-attr]
                tokens += sum(bool(row) for row in rows)
                voices |= {(member.name, row.split("|")[1]) for row in rows if row}
    words = "SELECT sum(array_length(string_to_array(text, ' '), 1)) FROM transcripts "
    by_format = "WHERE call_id IN (SELECT call_id FROM transcript_imports WHERE format = '{}')"
    assert await fetch(url, words + by_format.format("aligned")) == [(tokens,)]
    assert await fetch(url, "SELECT count(*) FROM speakers " + by_format.format("aligned")) == [(len(voices),)]
    ((hours, cues_end_in_order),) = await fetch(
        url,
        "SELECT sum(duration_seconds) / 3600, bool_and(end_ms >= start_ms) FROM calls "
        "JOIN transcripts ON call_id = calls.id AND sequence_number = 1",
    )
    assert 200 < hours < 300  # type: ignore[operator]
    assert cues_end_in_order
    assert (await import_transcripts(url, sorted(REAL.glob("*.tar.gz")))).known == 245
