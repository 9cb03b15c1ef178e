"""Import of real calls: the telephone campaign of a bank, as published by the UCI repository."""

from __future__ import annotations

from tailrace_services.data.importing import RowsRejectedError
from tailrace_services.voice_dashboard.importer.campaign import Rejection
from tailrace_services.voice_dashboard.importer.load import AlreadyImportedError, ImportReport, import_campaign
from tailrace_services.voice_dashboard.importer.source import CampaignFileError

__all__ = [
    "AlreadyImportedError",
    "CampaignFileError",
    "ImportReport",
    "Rejection",
    "RowsRejectedError",
    "import_campaign",
]
