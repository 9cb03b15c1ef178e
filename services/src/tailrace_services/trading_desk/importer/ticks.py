"""Files of ticks: bids and asks as a broker's archive has them. Touches: the files, a day at a time.

A day is a zip of one CSV, ``20140507_xauusd_tick_quote.csv``, whose name says the UTC day and the asset; each line is
``milliseconds since midnight,bid,ask``. A file is such a zip, or a tar of them, packed or not. The market stands in a
day's path, as in ``oanda/tick/xauusd/20140507_quote.zip``.

**Source:** QuantConnect LEAN, "Data/readme.md" (ticks of forex and CFD).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO

from tailrace.errors import RequestError
from tailrace_services.data.csv_file import RowError, short

__all__ = ["Day", "Tick", "TickFileError", "parse_line", "read_days"]

MAX_DAY_BYTES = 64 * 1024 * 1024
"""Most bytes of a day, packed and unpacked; the largest of those that were tried has 8 million."""
MAX_DAYS = 1_000
"""Most days of one file."""
NO_MARKET = "ticks"
"""The channel of a day in whose path no market stands."""

_DAY_US = 86_400_000_000
_MEMBER = re.compile(r"(\d{8})_([a-z0-9]{1,32})_tick_quote\.csv", re.ASCII)
_LINE = re.compile(rb"(\d{1,8}(?:\.\d{1,9})?),(\d{1,9}(?:\.\d{1,8})?),(\d{1,9}(?:\.\d{1,8})?)")
_ZIP = b"PK\x03\x04"
_ENCRYPTED = 1
_DAMAGED = (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError, NotImplementedError)


class TickFileError(RequestError):
    """The file holds no ticks; nothing was imported."""

    def __init__(self, message: str) -> None:
        super().__init__(message, status=422, code="tick_file_invalid")


@dataclass(frozen=True, slots=True)
class Day:
    """A day's ticks, not yet looked at.

    Attributes:
        name: of its file, and where in that it is.
        asset, channel: whose they are.
        start: midnight, UTC.
        lines: without their ends.
        digest: SHA-256 of the unpacked bytes, as hex.
    """

    name: str
    asset: str
    channel: str
    start: datetime
    lines: list[bytes]
    digest: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A bid and an ask as the file has them, and the microseconds since midnight."""

    microseconds: int
    bid: str
    ask: str


def read_days(path: Path) -> Iterator[Day]:
    """The days of the file at ``path``, in its order.

    Raises:
        TickFileError: it cannot be read, is damaged or none of the archives above, or passes a bound.

    Cost: one day's bytes at a time, packed and unpacked.
    """
    found = 0
    try:
        for name, content in _zips(path):
            found += 1
            if found > MAX_DAYS:
                raise TickFileError(f"{path}: holds more than {MAX_DAYS} days")
            yield _day(f"{path.name}:{name}" if name else path.name, PurePosixPath(name or path.as_posix()), content)
    except _DAMAGED as error:
        raise TickFileError(f"{path}: the archive is damaged, or none that is known: {error}") from error
    except OSError as error:
        raise TickFileError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not found:
        raise TickFileError(f"{path}: holds no day of ticks")


def parse_line(line: bytes) -> Tick:
    """The tick that a line is.

    >>> parse_line(b"62.2662,1291.619,1292.007")
    Tick(microseconds=62266, bid='1291.619', ask='1292.007')

    Raises:
        RowError: it is none.
    """
    match = _LINE.fullmatch(line)
    if match is None:
        raise RowError(f"not milliseconds, bid and ask: {short(line[:100].decode('ascii', 'backslashreplace'))}")
    moment, bid, ask = match.groups()
    microseconds = round(float(moment) * 1_000)
    if microseconds >= _DAY_US:
        raise RowError(f"a day has 86,400,000 milliseconds: {short(moment.decode())}")
    if not 0 < float(bid) <= float(ask):
        raise RowError(f"bid and ask must be prices, bid not above ask: {short(line.decode())}")
    return Tick(microseconds, bid.decode(), ask.decode())


def _zips(path: Path) -> Iterator[tuple[str, bytes]]:
    """The name within ``path`` and the bytes of each zip; the file itself, without a name, if it is one."""
    with path.open("rb") as file:
        begins = file.read(len(_ZIP))
        file.seek(0)
        if begins == _ZIP:
            yield "", _bounded(file, str(path))
            return
        with tarfile.open(fileobj=file, mode="r|*") as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isreg() and member.name.endswith(".zip") else None
                if content is not None:
                    yield member.name.removeprefix("./"), _bounded(content, f"{path}: {member.name}")


def _bounded(stream: IO[bytes], name: str) -> bytes:
    content = stream.read(MAX_DAY_BYTES + 1)
    if len(content) > MAX_DAY_BYTES:
        raise TickFileError(f"{name}: holds more than {MAX_DAY_BYTES} bytes")
    return content


def _day(name: str, path: PurePosixPath, packed: bytes) -> Day:
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        members = archive.infolist()
        match = _MEMBER.fullmatch(members[0].filename) if len(members) == 1 else None
        if match is None or members[0].flag_bits & _ENCRYPTED:
            raise TickFileError(f"{name}: is not one CSV, named like 20140507_xauusd_tick_quote.csv")
        try:
            start = datetime.strptime(match[1], "%Y%m%d").replace(tzinfo=UTC)
        except ValueError:
            raise TickFileError(f"{name}: {match[1]} is no day") from None
        with archive.open(members[0]) as stream:
            content = _bounded(stream, name)
    market = path.parts[-4:-3] if path.parts[-3:-2] == ("tick",) else ()
    lines = content.replace(b"\r\n", b"\n").removesuffix(b"\n").split(b"\n")
    digest = hashlib.sha256(content).hexdigest()
    return Day(name, match[2].upper(), market[0] if market else NO_MARKET, start, lines, digest)
