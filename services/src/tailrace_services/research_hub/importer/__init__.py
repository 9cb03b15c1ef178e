"""Import of real posts: exports of subreddits as CSV, plain or gzip."""

from __future__ import annotations

from tailrace_services.data.importing import RowsRejectedError
from tailrace_services.research_hub.importer.load import ImportReport, import_posts
from tailrace_services.research_hub.importer.reader import PostFileError

__all__ = ["ImportReport", "PostFileError", "RowsRejectedError", "import_posts"]
