"""Put transcripts into the database, and the same rows into the baseline's. Touches: both, a transaction each.

All files of one command are one transaction: if any transcript is broken, its lines are reported and nothing changes.
A transcript whose bytes are there already is left as it is, so a repeated import changes nothing either.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import asyncpg

from tailrace.errors import DatabaseError, RequestError
from tailrace_services.call_coach.importer.call import Description, ImportedCall, make_call
from tailrace_services.call_coach.importer.source import MAX_BYTES, SourceFile, parse_transcript, read_sources
from tailrace_services.call_coach.importer.transcript import Problem
from tailrace_services.data.importing import continue_numbers, import_transactions
from tailrace_services.data.loading import Connection, Progress

__all__ = ["LISTED_PROBLEMS", "BrokenTranscript", "ImportReport", "TranscriptsRejectedError", "import_transcripts"]

LISTED_PROBLEMS = 100
"""Most problems remembered one by one."""
_CHANGED = ("calls", "speakers", "transcripts", "transcript_imports", "reps")
_COLUMNS = {
    "calls": ("id", "title", "product", "call_type", "scheduled_at", "duration_seconds", "created_at"),
    "speakers": ("id", "call_id", "name", "email", "company_side", "talk_time_seconds"),
    "transcripts": ("id", "call_id", "speaker_id", "sequence_number", "start_ms", "end_ms", "text"),
    "transcript_imports": ("id", "call_id", "digest", "file_name", "format", "created_at"),
    "reps": ("id", "email", "name", "created_at"),
}

DOCUMENT = "SELECT length(tsvector_agg(search ORDER BY sequence_number, id)) FROM transcripts WHERE call_id = $1"
"""A call is searched as one document; PostgreSQL has a limit for it, as it has for a turn."""

Rows = dict[str, list[tuple[object, ...]]]


@dataclass(frozen=True, slots=True)
class BrokenTranscript:
    """A transcript that is refused, and why."""

    file: str
    problems: tuple[Problem, ...]


class TranscriptsRejectedError(RequestError):
    """At least one transcript is broken; nothing was changed."""

    def __init__(self, message: str, broken: tuple[BrokenTranscript, ...]) -> None:
        super().__init__(message, status=422, code="transcripts_rejected")
        self.broken = broken


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did. ``known`` counts transcripts that were there already; the others became ``calls``."""

    calls: int
    known: int
    turns: int
    speakers: int
    seconds: float
    baseline: bool


async def import_transcripts(
    url: str,
    paths: Sequence[Path],
    description: Description | None = None,
    *,
    baseline_url: str | None = None,
    max_bytes: int = MAX_BYTES,
    progress: Progress = lambda phase, done, total: None,
) -> ImportReport:
    """Import all transcripts in the files ``paths``, or nothing.

    Args:
        url: the database; migrated.
        description: what is said of all of the calls.
        baseline_url: a second database that gets the same rows with the same ids.
        max_bytes: most bytes in one transcript.
        progress: called with a phase, how much is done and how much there is.

    Raises:
        TranscriptFileError: a file cannot be read, or holds no transcript.
        TranscriptsRejectedError: a transcript is broken, or no transcript has a speaker of the names given.
        DatabaseUnavailableError: no connection, or it was lost.
        DatabaseError: a database refused, or the two do not have the same transcripts; neither has changed.
    """
    description = description or Description()
    async with import_transactions("call_coach", url, baseline_url) as databases:
        run = _Import(databases, description)
        sources = read_sources(list(paths), progress, max_bytes=max_bytes)
        while (source := await asyncio.to_thread(next, sources, None)) is not None:
            await run.take(source)
        run.check()
        if run.calls:
            for twin in databases[1:]:
                await continue_numbers(twin, _CHANGED)
            for each in databases:
                await each.execute("ANALYZE calls, speakers, transcripts")
        return ImportReport(run.calls, run.known, run.turns, run.speakers, run.seconds, len(databases) > 1)


class _Import:
    """One import under way: counts, and what was found broken."""

    def __init__(self, databases: list[Connection], description: Description) -> None:
        self._databases = databases
        self._description = description
        self._broken: list[BrokenTranscript] = []
        self._listed = 0
        self._named: set[str] = set()
        self.calls = self.known = self.turns = self.speakers = 0
        self.seconds = 0.0

    async def take(self, source: SourceFile) -> None:
        """Import one transcript, or remember why not."""
        if await self._is_known(source):
            self.known += 1
            return
        parsed = await asyncio.to_thread(parse_transcript, source)
        if parsed.problems:
            self._refuse(source.name, parsed.problems)
            return
        call = make_call(parsed, source.path, source.modified, self._description)
        self._named |= {name.lower() for name in call.sides} & self._description.reps.keys()
        if not self._broken:  # otherwise nothing will be kept
            try:
                await self._insert(call, source, parsed.format)
            except asyncpg.ProgramLimitExceededError as error:
                self._refuse(source.name, (Problem(1, f"more different words than can be searched: {error}"),))
                return
        self.calls += 1
        self.turns += len(call.turns)
        self.speakers += len(call.sides)
        self.seconds += call.duration_ms / 1000

    def check(self) -> None:
        """Whether all of it may stay.

        Raises:
            TranscriptsRejectedError: it may not.
        """
        if self._broken:
            count = len(self._broken)
            what = "1 transcript is" if count == 1 else f"{count} transcripts are"
            raise TranscriptsRejectedError(f"{what} broken; nothing was imported", tuple(self._broken))
        unknown = self._description.reps.keys() - self._named
        if unknown and self.calls:
            names = ", ".join(self._description.reps[name].name for name in sorted(unknown))
            raise TranscriptsRejectedError(f"nobody in these transcripts is called {names}; nothing was imported", ())

    def _refuse(self, name: str, problems: tuple[Problem, ...]) -> None:
        kept = problems[: max(LISTED_PROBLEMS - self._listed, 1)]
        self._listed += len(kept)
        self._broken.append(BrokenTranscript(name, kept))

    async def _is_known(self, source: SourceFile) -> bool:
        known = [
            await each.fetchval("SELECT true FROM transcript_imports WHERE digest = $1", source.digest) or False
            for each in self._databases
        ]
        if len(set(known)) > 1:
            raise DatabaseError(f"{source.name} is in one of the two databases and not in the other: make them anew")
        return bool(known[0])

    async def _insert(self, call: ImportedCall, source: SourceFile, written: str) -> None:
        rows = await self._rows(call, source, written)
        call_id = rows["calls"][0][0]
        for each in self._databases:
            async with each.transaction():  # a savepoint: of several broken transcripts each is told
                for table, records in rows.items():
                    await each.copy_records_to_table(table, records=records, columns=_COLUMNS[table])
                await each.fetchval(DOCUMENT, call_id)

    async def _rows(self, call: ImportedCall, source: SourceFile, written: str) -> Rows:
        """Rows for each table, with numbers from the first database's sequences."""
        (call_id,) = await self._ids("calls", 1)
        (import_id,) = await self._ids("transcript_imports", 1)
        speakers = dict(zip(call.sides, await self._ids("speakers", len(call.sides)), strict=True))
        turn_ids = await self._ids("transcripts", len(call.turns))
        about, now = self._description, await self._databases[0].fetchval("SELECT now()")
        seconds = _s(call.duration_ms)
        return {
            "reps": [(*row, now) async for row in self._new_reps(call)],
            "calls": [(call_id, call.title, about.product, about.call_type, call.scheduled_at, seconds, now)],
            "speakers": [
                (speakers[name], call_id, name, self._email(name), side, _s(call.talk_ms[name]))
                for name, side in call.sides.items()
            ],
            "transcripts": [
                (turn_id, call_id, speakers[turn.speaker], number, turn.start_ms, turn.end_ms, turn.text)
                for number, (turn_id, turn) in enumerate(zip(turn_ids, call.turns, strict=True), 1)
            ],
            "transcript_imports": [(import_id, call_id, source.digest, source.name, written, now)],
        }

    async def _new_reps(self, call: ImportedCall) -> AsyncIterator[tuple[object, ...]]:
        """Rows for representatives with an address whom the database does not know yet."""
        for name in call.sides:
            email = self._email(name)
            if email and not await self._databases[0].fetchval("SELECT true FROM reps WHERE email = $1", email):
                (rep_id,) = await self._ids("reps", 1)
                yield rep_id, email, name

    def _email(self, name: str) -> str | None:
        rep = self._description.reps.get(name.lower())
        return rep.email if rep else None

    async def _ids(self, table: str, count: int) -> list[int]:
        rows = await self._databases[0].fetch(
            "SELECT nextval(pg_get_serial_sequence($1, 'id')) FROM generate_series(1, $2)", table, count
        )
        return [row[0] for row in rows]


def _s(milliseconds: int) -> Decimal:
    return Decimal(milliseconds).scaleb(-3)
