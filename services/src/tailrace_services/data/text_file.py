"""The lines of a file that a user named, plain or gzip, within bounds. Touches: the file, read once, in order.

Memory stays at one block and one line whatever the file holds: a small archive that unpacks to far more than such a
file can be, or one without line ends, is refused when the bound is passed.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from tailrace.errors import RequestError

__all__ = ["TextFile"]

_BLOCK = 64 * 1024
_GZIP_MAGIC = b"\x1f\x8b"


class TextFile:
    """One pass over a file.

    Args:
        refused: makes the error that says why a file is refused.
        max_bytes: most bytes that it may unpack to.
        max_line: most bytes in a line.
        zero_bytes: whether it may have any, which a text hardly has and PostgreSQL does not keep.

    Attributes:
        size: bytes on disk.
        position: bytes read from disk so far.
        digest: SHA-256 of the unpacked bytes read so far, as hex; the same for a file and its archive.
    """

    def __init__(
        self,
        path: Path,
        refused: Callable[[str], RequestError],
        *,
        max_bytes: int,
        max_line: int,
        zero_bytes: bool = False,
    ) -> None:
        self.path = path
        self.size = 0
        self.position = 0
        self._refused = refused
        self._max_bytes = max_bytes
        self._max_line = max_line
        self._zero_bytes = zero_bytes
        self._hash = hashlib.sha256()

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    def lines(self) -> Iterator[tuple[int, str]]:
        """Number (from 1) and text of each line, without its end.

        Raises:
            RequestError: as ``refused`` makes it: the file cannot be read, is damaged, is not text, or passes a bound.
        """
        for number, raw in enumerate(self._raw_lines(), 1):
            if not self._zero_bytes and b"\0" in raw:
                raise self._refused(f"{self.path}: line {number} has a zero byte: this is not a text file")
            try:
                yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError:
                raise self._refused(f"{self.path}: line {number} is not UTF-8 text") from None

    def _raw_lines(self) -> Iterator[bytes]:
        rest = b""
        for block in self._blocks():
            *whole, rest = (rest + block).split(b"\n")
            for line in whole:
                self._check_length(line)
                yield line.removesuffix(b"\r")
            self._check_length(rest)
        if rest:
            yield rest.removesuffix(b"\r")

    def _check_length(self, line: bytes) -> None:
        if len(line) > self._max_line:
            raise self._refused(f"{self.path}: a line is longer than {self._max_line} bytes: this is no such file")

    def _blocks(self) -> Iterator[bytes]:
        try:
            with self.path.open("rb") as file:
                self.size = self.path.stat().st_size
                packed = file.read(2) == _GZIP_MAGIC
                file.seek(0)
                yield from self._unpacked(gzip.GzipFile(fileobj=file) if packed else file, file)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise self._refused(f"{self.path}: the gzip archive is damaged or cut short: {error}") from error
        except OSError as error:
            raise self._refused(f"{self.path}: cannot be read: {error.strerror or error}") from error

    def _unpacked(self, stream: IO[bytes] | gzip.GzipFile, file: IO[bytes]) -> Iterator[bytes]:
        total = 0
        while block := stream.read(_BLOCK):
            total += len(block)
            if total > self._max_bytes:
                raise self._refused(f"{self.path}: holds more than {self._max_bytes} bytes once unpacked")
            self._hash.update(block)
            self.position = file.tell()
            yield block
