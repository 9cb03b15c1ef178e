"""Import of real transcripts: WebVTT, and the aligned word-by-word format of the fstalign tools."""

from __future__ import annotations

from tailrace_services.call_coach.importer.call import Description, RepName
from tailrace_services.call_coach.importer.load import (
    BrokenTranscript,
    ImportReport,
    TranscriptsRejectedError,
    import_transcripts,
)
from tailrace_services.call_coach.importer.source import TranscriptFileError

__all__ = [
    "BrokenTranscript",
    "Description",
    "ImportReport",
    "RepName",
    "TranscriptFileError",
    "TranscriptsRejectedError",
    "import_transcripts",
]
