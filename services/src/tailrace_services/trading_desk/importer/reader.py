"""A file of issues. Touches: the file, through :mod:`...data.csv_file`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from tailrace.errors import RequestError
from tailrace_services.data.csv_file import CsvFile, RowError
from tailrace_services.trading_desk.importer.issue import Issue, missing_columns, parse_row

__all__ = ["MAX_BYTES", "IssueFileError", "issue_file"]

MAX_BYTES = 512 * 1024 * 1024
"""Most bytes a file may unpack to; the tracker's that was tried has 31 million."""
MAX_ROW = 4 * 1024 * 1024
"""Most characters in a row; people paste whole logs into a description."""


class IssueFileError(RequestError):
    """The file is no export of issues; nothing was imported."""

    def __init__(self, message: str) -> None:
        super().__init__(message, status=422, code="issue_file_invalid")


def issue_file(path: Path, latest: datetime, max_bytes: int = MAX_BYTES) -> CsvFile[Issue]:
    """The issues at ``path``, each once.

    Args:
        latest: nothing happened later.
        max_bytes: most bytes the file may unpack to.
    """
    seen: set[str] = set()

    def parse(fields: Mapping[str, str]) -> Issue:
        issue = parse_row(fields, latest)
        if issue.key in seen:
            raise RowError(f"{issue.key} is in the file already")
        seen.add(issue.key)
        return issue

    # What is pasted has zero bytes now and then; they are taken out with other control characters.
    return CsvFile(
        path, "issues", parse, missing_columns, IssueFileError, max_bytes=max_bytes, max_row=MAX_ROW, zero_bytes=True
    )
