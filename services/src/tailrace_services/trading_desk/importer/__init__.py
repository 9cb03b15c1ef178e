"""Import of real work items: the issues of a tracker as CSV, plain or gzip."""

from __future__ import annotations

from tailrace_services.data.importing import RowsRejectedError
from tailrace_services.trading_desk.importer.load import AlreadyImportedError, ImportReport, import_items
from tailrace_services.trading_desk.importer.reader import IssueFileError

__all__ = ["AlreadyImportedError", "ImportReport", "IssueFileError", "RowsRejectedError", "import_items"]
