"""Import of what is real: a tracker's issues as work items, a broker's ticks as signals."""

from __future__ import annotations

from tailrace_services.data.importing import RowsRejectedError
from tailrace_services.trading_desk.importer.load import AlreadyImportedError, ImportReport, import_items
from tailrace_services.trading_desk.importer.reader import IssueFileError
from tailrace_services.trading_desk.importer.tick_load import TickReport, TicksAlreadyImportedError, import_ticks
from tailrace_services.trading_desk.importer.ticks import TickFileError

__all__ = [
    "AlreadyImportedError",
    "ImportReport",
    "IssueFileError",
    "RowsRejectedError",
    "TickFileError",
    "TickReport",
    "TicksAlreadyImportedError",
    "import_items",
    "import_ticks",
]
