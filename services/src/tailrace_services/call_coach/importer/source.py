"""Transcripts out of the files a user named: plain, gzip, or members of an archive, within bounds. Touches: files.

Memory stays at one transcript, whatever a file holds: what would unpack to more than a transcript can be is refused
when the bound is passed, before it is unpacked whole.
"""

from __future__ import annotations

import gzip
import hashlib
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from tailrace.errors import RequestError
from tailrace_services.call_coach.importer.aligned import looks_aligned, parse_aligned
from tailrace_services.call_coach.importer.transcript import Parsed, Problem
from tailrace_services.call_coach.importer.webvtt import parse_webvtt

__all__ = ["MAX_BYTES", "SourceFile", "TranscriptFileError", "parse_transcript", "read_sources"]

MAX_BYTES = 32 * 1024 * 1024
"""Most bytes in one transcript; an hour of speech has about 100 kB."""
SUFFIXES = (".vtt", ".nlp")
_DAMAGED = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, tarfile.TarError)

Position = Callable[[str, int, int], None]


class TranscriptFileError(RequestError):
    """A file cannot be read as transcripts at all; nothing was imported."""

    def __init__(self, message: str) -> None:
        super().__init__(message, status=422, code="transcript_file_invalid")


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One transcript as bytes. ``name`` has the member's path behind the archive's; ``modified`` is seconds."""

    name: str
    path: PurePosixPath
    content: bytes
    modified: float

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes, as hex; the same in an archive and outside."""
        return hashlib.sha256(self.content).hexdigest()


def read_sources(
    paths: list[Path], progress: Position = lambda phase, done, total: None, *, max_bytes: int = MAX_BYTES
) -> Iterator[SourceFile]:
    """All transcripts of the files in ``paths``, in order.

    Args:
        progress: called with "reading", how many of the files' bytes were read, and how many there are.
        max_bytes: most bytes in one transcript.

    Raises:
        TranscriptFileError: a file cannot be read, is damaged, holds too much, or holds no transcript.
    """
    sizes = [_size(path) for path in paths]
    for number, path in enumerate(paths):
        before, total = sum(sizes[:number]), sum(sizes)
        found = 0
        try:
            with path.open("rb") as file:
                for source in _in_file(path, file, max_bytes):
                    found += 1
                    progress("reading", before + file.tell(), total)
                    yield source
        except _DAMAGED as error:
            raise TranscriptFileError(f"{path}: the archive is damaged or cut short: {error}") from error
        except OSError as error:
            raise TranscriptFileError(f"{path}: cannot be read: {error.strerror or error}") from error
        if not found:
            raise TranscriptFileError(f"{path}: the archive has no members ending in {' or '.join(SUFFIXES)}")
        progress("reading", before + sizes[number], total)


def parse_transcript(source: SourceFile) -> Parsed:
    """Read a transcript in the format that its first line, else its name, says."""
    try:
        text = source.content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = source.content.count(b"\n", 0, error.start) + 1
        return Parsed("", (), (Problem(line, "not UTF-8 text"),))
    if looks_aligned(text.split("\n", 1)[0]) or (source.path.name.endswith(".nlp") and not text.startswith("WEBVTT")):
        return parse_aligned(text)
    return parse_webvtt(text)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise TranscriptFileError(f"{path}: cannot be read: {error.strerror or error}") from error


def _in_file(path: Path, file: IO[bytes], max_bytes: int) -> Iterator[SourceFile]:
    modified = path.stat().st_mtime
    if tarfile.is_tarfile(file):
        file.seek(0)
        with tarfile.open(fileobj=file, mode="r:*") as archive:
            yield from _members(path, archive, max_bytes)
        return
    file.seek(0)
    packed = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    stream = gzip.GzipFile(fileobj=file) if packed else file
    name = PurePosixPath(path.name.removesuffix(".gz") if packed else path.name)
    yield SourceFile(str(path), name, _bounded(str(path), stream, max_bytes), modified)


def _members(path: Path, archive: tarfile.TarFile, max_bytes: int) -> Iterator[SourceFile]:
    for member in archive:
        if not member.isfile() or not member.name.endswith(SUFFIXES):
            continue
        name = f"{path}:{member.name}"
        stream = archive.extractfile(member)
        if stream is not None:
            yield SourceFile(name, PurePosixPath(member.name), _bounded(name, stream, max_bytes), float(member.mtime))


def _bounded(name: str, stream: IO[bytes] | gzip.GzipFile, max_bytes: int) -> bytes:
    content = stream.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise TranscriptFileError(f"{name}: holds more than {max_bytes} bytes: this is not a transcript")
    return content
