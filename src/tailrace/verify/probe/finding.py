"""What a probe found. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Finding", "Level", "Report"]

Level = Literal["good", "note", "short"]
"""``good``: as it should be. ``note``: worth knowing, right for some services. ``short``: falls short of the source."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a service does, or does not do.

    Attributes:
        check: compression, caching, ids, errors, limits or pagination; or address, where that answers no 200,
            or refuses what is asked.
        code: stable and machine-readable.
        level: how it is to be taken.
        message: one sentence for people; never holds a value of the caller's own headers.
        source: the rule, where there is one.
    """

    check: str
    code: str
    level: Level
    message: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that was found of one address."""

    url: str
    status: int
    findings: list[Finding] = field(default_factory=list)

    @property
    def short(self) -> list[Finding]:
        """Findings that fall short."""
        return [finding for finding in self.findings if finding.level == "short"]
