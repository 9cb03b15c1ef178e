"""A file of posts in batches, with what was left out and why. Touches: the file, through :mod:`...data.text_file`."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from tailrace.errors import RequestError
from tailrace_services.data.text_file import TextFile
from tailrace_services.research_hub.importer.post import Post, RowError, missing_columns, parse_row

__all__ = ["LISTED_REJECTIONS", "MAX_BYTES", "PostFileError", "PostReader", "Rejection"]

MAX_BYTES = 512 * 1024 * 1024
"""Most bytes a file may unpack to; the published ones have some 3 million."""
MAX_LINE = 128 * 1024
"""Most bytes in a line, and characters in a field; a submission's text has at most 40,000 characters."""
LISTED_REJECTIONS = 100
"""Most rejected rows of a file remembered one by one; all are counted."""
_BATCH = 1000


class PostFileError(RequestError):
    """The file is no export of posts; nothing was imported."""

    def __init__(self, message: str) -> None:
        super().__init__(message, status=422, code="post_file_invalid")


@dataclass(frozen=True, slots=True)
class Rejection:
    """A row that was left out: ``line`` is where it begins, counted from 1, the header included."""

    file: str
    line: int
    reason: str


@dataclass(slots=True)
class PostReader:
    """Reads the file at ``path`` once.

    Args:
        latest: no post is newer.
        max_bytes: most bytes it may unpack to.

    Attributes:
        posts: rows that are posts.
        rejected: rows that are not.
        rejections: the first of those.
    """

    path: Path
    latest: datetime
    max_bytes: int = MAX_BYTES
    posts: int = 0
    rejected: int = 0
    rejections: list[Rejection] = field(default_factory=list)
    file: TextFile = field(init=False)

    def __post_init__(self) -> None:
        self.file = TextFile(self.path, PostFileError, max_bytes=self.max_bytes, max_line=MAX_LINE)

    @property
    def rows(self) -> int:
        """All of them."""
        return self.posts + self.rejected

    def batches(self) -> Iterator[list[Post]]:
        """The posts, in order.

        Raises:
            PostFileError: the file is no export: wrong header, no rows, or more of them bad than good.
        """
        lines = csv.reader((line + "\n" for _, line in self.file.lines()), strict=True)
        header = next(self._records(lines), (1, []))[1]
        missing = missing_columns(header)
        if missing or len(set(header)) != len(header):
            lacks = f"it has no {', '.join(missing)}" if missing else "two have one name"
            raise PostFileError(f"{self.path}: the first line does not name the columns of an export: {lacks}")
        subreddit = self.path.name.removesuffix(".gz").removesuffix(".csv")
        batch: list[Post] = []
        for line, fields in self._records(lines):
            try:
                if len(fields) != len(header):
                    raise RowError(f"{len(fields)} fields instead of {len(header)}")
                batch.append(parse_row(dict(zip(header, fields, strict=True)), subreddit, self.latest))
            except RowError as error:
                self._reject(line, str(error))
            if len(batch) == _BATCH:
                self.posts += len(batch)
                yield batch
                batch = []
        self.posts += len(batch)
        yield batch
        self._check()

    def _records(self, lines: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
        """The line on which each record begins, and its fields; blank lines are none."""
        while True:
            begins = lines.line_num + 1  # type: ignore[attr-defined]
            try:
                record = next(lines)
            except StopIteration:
                return
            except csv.Error as error:
                raise PostFileError(f"{self.path}: line {begins} is not CSV: {error}") from error
            if record:
                yield begins, record

    def _reject(self, line: int, reason: str) -> None:
        self.rejected += 1
        if len(self.rejections) < LISTED_REJECTIONS:
            self.rejections.append(Rejection(str(self.path), line, reason))

    def _check(self) -> None:
        if not self.rows:
            raise PostFileError(f"{self.path}: has a header but no rows")
        if self.rejected > self.posts:
            first = self.rejections[0]
            raise PostFileError(
                f"{self.path}: {self.rejected} of {self.rows} rows are not posts, so this is no export; the first is "
                f"line {first.line}: {first.reason}"
            )
