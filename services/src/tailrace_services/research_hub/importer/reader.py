"""A file of posts. Touches: the file, through :mod:`...data.csv_file`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from tailrace.errors import RequestError
from tailrace_services.data.csv_file import CsvFile
from tailrace_services.research_hub.importer.post import Post, missing_columns, parse_row

__all__ = ["MAX_BYTES", "PostFileError", "post_file"]

MAX_BYTES = 512 * 1024 * 1024
"""Most bytes a file may unpack to; the published ones have some 3 million."""
MAX_ROW = 128 * 1024
"""Most characters in a row; a submission's text has at most 40,000."""


class PostFileError(RequestError):
    """The file is no export of posts; nothing was imported."""

    def __init__(self, message: str) -> None:
        super().__init__(message, status=422, code="post_file_invalid")


def post_file(path: Path, latest: datetime, max_bytes: int = MAX_BYTES) -> CsvFile[Post]:
    """The posts at ``path``.

    Args:
        latest: no post is newer.
        max_bytes: most bytes the file may unpack to.
    """
    subreddit = path.name.removesuffix(".gz").removesuffix(".csv")

    def parse(fields: Mapping[str, str]) -> Post:
        return parse_row(fields, subreddit, latest)

    return CsvFile(path, "posts", parse, missing_columns, PostFileError, max_bytes=max_bytes, max_row=MAX_ROW)
