"""``analyze_call``: how the representatives did in one call, dimension by dimension. Pure.

An analysis is made once for each call, version of its transcript and version of the rubric, and stored. The version of
a transcript is a hash of all that its turns and speakers say, made by the database from the rows as they are: whoever
changes one, by whatever means, has changed the version.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from pydantic import TypeAdapter

from tailrace.errors import RequestError
from tailrace_services.call_coach.analyst import Analysis
from tailrace_services.call_coach.model import DIMENSIONS

__all__ = [
    "ANALYSIS",
    "CALL_ANALYSIS",
    "TRANSCRIPT_VERSION",
    "AnalyzeCall",
    "CallAnalysis",
    "call_not_found",
]


@dataclass(frozen=True, slots=True)
class AnalyzeCall:
    """What is asked.

    Args:
        call_id: which call.
        dimensions: those that are wanted, of ``DIMENSIONS``.
        force: analyse anew, whatever is stored.
    """

    call_id: int
    dimensions: tuple[str, ...] = DIMENSIONS
    force: bool = False


@dataclass(frozen=True, slots=True)
class CallAnalysis:
    """What is answered. ``analysed_at`` is by the service's clock."""

    call_id: int
    transcript_version: str
    analysed_at: datetime
    analysis: Analysis

    def of(self, dimensions: tuple[str, ...]) -> CallAnalysis:
        """The same with nothing but ``dimensions``, in the rubric's order."""
        wanted = tuple(each for each in self.analysis.dimensions if each.dimension in dimensions)
        return replace(self, analysis=replace(self.analysis, dimensions=wanted))


ANALYSIS = TypeAdapter(Analysis)
"""An analysis to and from JSON, as it is stored."""

CALL_ANALYSIS = TypeAdapter(CallAnalysis)
"""An answer to and from JSON, as it is cached."""

TRANSCRIPT_VERSION = """encode(sha256(convert_to(concat(
    (SELECT json_agg(json_build_array(id, name, email, role, company_side, talk_time_seconds) ORDER BY id)
     FROM speakers WHERE call_id = :call_id),
    (SELECT json_agg(json_build_array(id, speaker_id, sequence_number, start_ms, end_ms, text) ORDER BY id)
     FROM transcripts WHERE call_id = :call_id)), 'UTF8')), 'hex')"""
"""The version as an SQL expression: 64 hexadecimal digits, whatever there is."""


def call_not_found(call_id: int) -> RequestError:
    """The error for a call that never was, or is no more."""
    return RequestError(f"there is no call {call_id}", status=404, code="call_not_found")
