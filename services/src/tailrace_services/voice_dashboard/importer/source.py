"""The file of a campaign, within bounds. Touches: the file, through :mod:`...data.text_file`."""

from __future__ import annotations

from pathlib import Path

from tailrace.errors import RequestError
from tailrace_services.data.text_file import TextFile

__all__ = ["MAX_BYTES", "CampaignFile", "CampaignFileError"]

MAX_BYTES = 256 * 1024 * 1024
"""Most bytes a file may unpack to; the published one has 4.6 million."""
MAX_LINE = 4096
"""Most bytes in a line; the published ones have about 100."""


class CampaignFileError(RequestError):
    """The file is not a campaign; nothing was imported."""

    def __init__(self, message: str) -> None:
        super().__init__(message, status=422, code="campaign_file_invalid")


class CampaignFile(TextFile):
    """One pass over the file of a campaign."""

    def __init__(self, path: Path, *, max_bytes: int = MAX_BYTES) -> None:
        super().__init__(path, CampaignFileError, max_bytes=max_bytes, max_line=MAX_LINE)
