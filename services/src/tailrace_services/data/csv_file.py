"""The rows of a CSV file that a user named, in batches, with what was left out and why. Touches: the file, read once.

Memory stays at one batch: what bounds the file and its lines is in :mod:`...data.text_file`, and a row, whose fields
may have line ends, is bounded here.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from tailrace.errors import RequestError
from tailrace_services.data.text_file import TextFile

__all__ = ["LISTED_REJECTIONS", "CsvFile", "Rejection", "RowError", "short"]

LISTED_REJECTIONS = 100
"""Most rejected rows of a file remembered one by one; all are counted."""
_BATCH = 1000

R = TypeVar("R")
"""What a row is."""


class RowError(ValueError):
    """A row is not what the file's rows should be; the message says why."""


def short(text: str) -> str:
    """A field as it is quoted in the reason why its row was left out."""
    return repr(text if len(text) <= 60 else text[:57] + "...")


@dataclass(frozen=True, slots=True)
class Rejection:
    """A row that was left out: ``line`` is where it begins, counted from 1, the header included."""

    file: str
    line: int
    reason: str


class CsvFile(Generic[R]):
    """Reads the file at ``path`` once; its first line names the columns.

    Args:
        rows: what its rows are, in the plural.
        parse: the row of these fields, by the names of columns; ``RowError`` for what is none.
        missing: what a header lacks.
        refused: makes the error that says why the file is refused.
        max_bytes: most bytes that it may unpack to.
        max_row: most characters in a row, and bytes in a line.
        zero_bytes: whether fields may have any, for ``parse`` to take out.

    Attributes:
        good: rows that were parsed.
        rejected: rows that were not.
        rejections: the first of those.
    """

    def __init__(
        self,
        path: Path,
        rows: str,
        parse: Callable[[Mapping[str, str]], R],
        missing: Callable[[Sequence[str]], Sequence[str]],
        refused: Callable[[str], RequestError],
        *,
        max_bytes: int,
        max_row: int,
        zero_bytes: bool = False,
    ) -> None:
        self.path = path
        self.good = 0
        self.rejected = 0
        self.rejections: list[Rejection] = []
        self.file = TextFile(path, refused, max_bytes=max_bytes, max_line=max_row, zero_bytes=zero_bytes)
        self._rows = rows
        self._parse = parse
        self._missing = missing
        self._refused = refused
        self._max_row = max_row
        self._row_length = 0

    def batches(self) -> Iterator[list[R]]:
        """The rows, in order.

        Raises:
            RequestError: as ``refused`` makes it: wrong header, no rows, or more of them bad than good.
        """
        # The module's own bound is the whole process's, and lower; ours is checked line by line.
        csv.field_size_limit(max(csv.field_size_limit(), self._max_row))
        lines = csv.reader(self._bounded_lines(), strict=True)
        header = next(self._records(lines), (1, []))[1]
        self._check_header(header)
        batch: list[R] = []
        for line, fields in self._records(lines):
            try:
                if len(fields) != len(header):
                    raise RowError(f"{len(fields)} fields instead of {len(header)}")
                batch.append(self._parse(dict(zip(header, fields, strict=True))))
            except RowError as error:
                self._reject(line, str(error))
            if len(batch) == _BATCH:
                self.good += len(batch)
                yield batch
                batch = []
        self.good += len(batch)
        yield batch
        self._check_rows()

    def _bounded_lines(self) -> Iterator[str]:
        for number, line in self.file.lines():
            self._row_length += len(line) + 1
            if self._row_length > self._max_row + 1:
                raise self._refused(
                    f"{self.path}: the row that reaches line {number} is longer than {self._max_row} characters"
                )
            yield line + "\n"

    def _records(self, lines: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
        """The line on which each record begins, and its fields; blank lines are none."""
        while True:
            begins = lines.line_num + 1  # type: ignore[attr-defined]
            self._row_length = 0
            try:
                record = next(lines)
            except StopIteration:
                return
            except csv.Error as error:
                raise self._refused(f"{self.path}: line {begins} is not CSV: {error}") from error
            if record:
                yield begins, record

    def _reject(self, line: int, reason: str) -> None:
        self.rejected += 1
        if len(self.rejections) < LISTED_REJECTIONS:
            self.rejections.append(Rejection(str(self.path), line, reason))

    def _check_header(self, header: Sequence[str]) -> None:
        missing = self._missing(header)
        if missing or len(set(header)) != len(header):
            lacks = f"it has no {', '.join(missing)}" if missing else "two have one name"
            raise self._refused(f"{self.path}: the first line does not name the columns of an export: {lacks}")

    def _check_rows(self) -> None:
        if not self.good and not self.rejected:
            raise self._refused(f"{self.path}: has a header but no rows")
        if self.rejected > self.good:
            first = self.rejections[0]
            raise self._refused(
                f"{self.path}: {self.rejected} of {self.good + self.rejected} rows are not {self._rows}, so this is no "
                f"export; the first is line {first.line}: {first.reason}"
            )
