"""Put ticks into the database as quotes, and the same rows into the baseline's. Touches: both, a transaction each.

Rows are made up on a thread, some thousands at a time, while both servers take in the last ones by COPY. Their numbers
are taken out of the sequence beforehand, as many as there are lines, so that both get the same.

Signals are kept for two years. Ticks that are older are moved forward by whole weeks, so that the last of them falls
into the week before now: a day of the week stays what it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

from tailrace.errors import RequestError
from tailrace.timeseries import catch_up, make_room
from tailrace_services.data.connection import open_connection
from tailrace_services.data.csv_file import LISTED_REJECTIONS, Rejection, RowError
from tailrace_services.data.importing import RowsRejectedError, continue_numbers, import_transactions, mirroring
from tailrace_services.data.loading import Connection, Progress, copy_to_all, hand_over
from tailrace_services.trading_desk.api.signals import AHEAD, KEEP
from tailrace_services.trading_desk.importer.statements import FIND_IMPORT, INSERT_IMPORT
from tailrace_services.trading_desk.importer.ticks import Day, TickFileError, parse_line, read_days
from tailrace_services.trading_desk.signal_series import SIGNALS

__all__ = ["TickReport", "TicksAlreadyImportedError", "import_ticks"]

_COLUMNS = ("id", "time", "asset", "signal_type", "channel", "price", "bid", "ask")
_PIECE = 25_000
"""Lines made into rows at a time: about 2 MB of text."""
_WEEK = timedelta(weeks=1)
_ONE_DAY = timedelta(days=1)


class TicksAlreadyImportedError(RequestError):
    """A day's bytes were imported before; nothing was changed."""

    def __init__(self, message: str) -> None:
        super().__init__(message, status=409, code="ticks_already_imported")


@dataclass(frozen=True, slots=True)
class TickReport:
    """What an import did. ``rows`` = ``imported`` + ``rejected``; ``weeks``: by how many all were moved."""

    files: tuple[str, ...]
    days: int
    rows: int
    imported: int
    rejected: int
    weeks: int
    first: datetime
    last: datetime
    baseline: bool
    rejections: tuple[Rejection, ...]


@dataclass(slots=True)
class _Counts:
    """What became of lines. ``first_number`` is that of the first row."""

    first_number: int
    good: int = 0
    rejected: int = 0
    rejections: list[Rejection] = field(default_factory=list)

    def reject(self, name: str, line: int, reason: str) -> None:
        """Count a line that is no tick."""
        self.rejected += 1
        if len(self.rejections) < LISTED_REJECTIONS:
            self.rejections.append(Rejection(name, line, reason))


@dataclass(slots=True)
class _Survey:
    """What the files have, before any line is looked at: the name of each day by its digest, and when they are."""

    names: dict[str, str] = field(default_factory=dict)
    starts: list[datetime] = field(default_factory=list)
    lines: int = 0


async def import_ticks(
    url: str,
    paths: Sequence[Path],
    *,
    baseline_url: str | None = None,
    strict: bool = False,
    progress: Progress = lambda phase, done, total: None,
) -> TickReport:
    """Import the ticks of all files, but for lines that are none; or nothing.

    Args:
        url: the database; migrated.
        baseline_url: a second database that gets the same rows with the same ids.
        strict: refuse all if any line is rejected.
        progress: called with a phase, how much is done and how much there is.

    Raises:
        TickFileError: a file holds no ticks, or more bad lines than good ones in a day.
        RowsRejectedError: ``strict``, and there are bad lines.
        TicksAlreadyImportedError: a day was imported before, or is there twice.
        DatabaseUnavailableError: no connection, or it was lost.
        DatabaseError: a database refused; neither has changed.

    Cost: the files are read twice; memory for one day.
    """
    report = await _import(url, paths, baseline_url, strict, progress)
    async with open_connection(url) as connection:
        await catch_up(connection, SIGNALS, report.first)
    return report


async def _import(
    url: str, paths: Sequence[Path], baseline_url: str | None, strict: bool, progress: Progress
) -> TickReport:
    async with import_transactions("trading_desk", url, baseline_url) as databases:
        survey = await asyncio.to_thread(_survey, paths, progress)
        for each in databases:
            await _check_new(each, survey)
        moved = _moved_by(survey.starts, await databases[0].fetchval("SELECT now()"))
        counts = _Counts(await _reserve(url, survey, moved))
        with mirroring():
            await _copy(databases, paths, survey.lines, moved, counts, progress)
        if strict and counts.rejected:
            raise RowsRejectedError(
                f"{counts.rejected} of {survey.lines} lines are not ticks; nothing was imported",
                "tick_rows_rejected",
                tuple(counts.rejections),
            )
        for each in databases:
            await each.execute("ANALYZE signals")
        for twin in databases[1:]:
            await continue_numbers(twin, ["signals"])
        return TickReport(
            files=tuple(path.name for path in paths),
            days=len(survey.names),
            rows=counts.good + counts.rejected,
            imported=counts.good,
            rejected=counts.rejected,
            weeks=moved // _WEEK,
            first=min(survey.starts) + moved,
            last=max(survey.starts) + moved,
            baseline=baseline_url is not None,
            rejections=tuple(counts.rejections),
        )


def _survey(paths: Sequence[Path], progress: Progress) -> _Survey:
    survey = _Survey()
    for done, path in enumerate(paths):
        progress("reading", done, len(paths))
        for day in read_days(path):
            if day.digest in survey.names:
                raise TicksAlreadyImportedError(f"{day.name}: has the ticks that {survey.names[day.digest]} has")
            survey.names[day.digest] = day.name
            survey.starts.append(day.start)
            survey.lines += len(day.lines)
    progress("reading", len(paths), len(paths))
    return survey


async def _check_new(connection: Connection, survey: _Survey) -> None:
    for digest, name in survey.names.items():
        before = await connection.fetchval(FIND_IMPORT, digest)
        if before:
            raise TicksAlreadyImportedError(f"{name}: was imported on {before:%Y-%m-%d %H:%M} UTC; nothing was changed")


def _moved_by(starts: Sequence[datetime], now: datetime) -> timedelta:
    """By how much all days are moved: not at all, if they are kept as they are."""
    first, end = min(starts), max(starts) + _ONE_DAY
    oldest = now - KEEP + _ONE_DAY
    moved = timedelta(0) if first >= oldest else max((now - end) // _WEEK, 0) * _WEEK
    if first + moved < oldest or end + moved > now + AHEAD:
        raise TickFileError(
            f"the ticks reach from {first:%Y-%m-%d} to {end - _ONE_DAY:%Y-%m-%d}: no more than two years are kept, and "
            "none that lie in the future"
        )
    return moved


async def _reserve(url: str, survey: _Survey, moved: timedelta) -> int:
    """Make room for the ticks, and return the first of as many numbers in a row, which nobody else gets.

    Whoever writes meanwhile waits, for as long as it takes to count on; transactions of its own, so not for longer.
    """
    first_day, last_day = min(survey.starts) + moved, max(survey.starts) + moved
    async with open_connection(url) as connection:
        await make_room(connection, SIGNALS, first_day, last_day)
        async with connection.transaction():
            await connection.execute("LOCK TABLE signals IN SHARE ROW EXCLUSIVE MODE")
            sequence = "pg_get_serial_sequence('signals', 'id')"
            first: int = await connection.fetchval(f"SELECT nextval({sequence})")
            await connection.execute(f"SELECT setval({sequence}, $1)", first + survey.lines)
            return first


async def _copy(
    databases: Sequence[Connection],
    paths: Sequence[Path],
    total: int,
    moved: timedelta,
    counts: _Counts,
    progress: Progress,
) -> None:
    """Write every day of the files, and that it was imported."""
    for path in paths:
        days = read_days(path)
        while (day := await asyncio.to_thread(next, days, None)) is not None:
            good, rejected = counts.good, counts.rejected

            async def take(lines: bytes) -> None:
                await copy_to_all(databases, "signals", _COLUMNS, lines, form="text")
                progress("ticks", counts.good + counts.rejected, total)

            await hand_over(_pieces(day, day.start + moved, counts), take)
            good, rejected = counts.good - good, counts.rejected - rejected
            if rejected > good:
                raise TickFileError(f"{day.name}: {rejected} of {len(day.lines)} lines are not ticks")
            for each in databases:
                await each.execute(INSERT_IMPORT, day.digest, day.name, good, rejected)


def _pieces(day: Day, midnight: datetime, counts: _Counts) -> Iterator[bytes]:
    """The day's rows in COPY's text format, some thousands at a time."""
    date = f"{midnight:%Y-%m-%d}"
    for start in range(0, len(day.lines), _PIECE):
        rows: list[str] = []
        for number, line in enumerate(day.lines[start : start + _PIECE], start + 1):
            try:
                tick = parse_line(line)
            except RowError as error:
                counts.reject(day.name, number, str(error))
                continue
            seconds, micros = divmod(tick.microseconds, 1_000_000)
            minutes, second = divmod(seconds, 60)
            price = (Decimal(tick.bid) + Decimal(tick.ask)) / 2
            rows.append(
                f"{counts.first_number + counts.good}\t"
                f"{date} {minutes // 60:02}:{minutes % 60:02}:{second:02}.{micros:06}Z\t"
                f"{day.asset}\tquote\t{day.channel}\t{price}\t{tick.bid}\t{tick.ask}\n"
            )
            counts.good += 1
        yield "".join(rows).encode()
