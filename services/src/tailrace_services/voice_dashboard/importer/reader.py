"""A campaign file as batches of calls, with what was left out and why. Touches: the file, through :mod:`.source`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from tailrace_services.voice_dashboard.importer.campaign import (
    COLUMNS,
    Calendar,
    CampaignCall,
    Rejection,
    RowError,
    parse_header,
    parse_row,
)
from tailrace_services.voice_dashboard.importer.source import CampaignFile, CampaignFileError

__all__ = ["LISTED_REJECTIONS", "CampaignReader"]

LISTED_REJECTIONS = 100
"""Most rejected rows remembered one by one; all are counted."""
_BATCH = 5000


@dataclass(slots=True)
class CampaignReader:
    """Reads ``file`` once.

    Attributes:
        rows: rows seen, the header not counted; always ``imported + rejected``.
        imported: rows that became calls.
        rejected: rows that did not.
        rejections: the first of those.
    """

    file: CampaignFile
    imported: int = 0
    rejected: int = 0
    rejections: list[Rejection] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return self.imported + self.rejected

    def batches(self) -> Iterator[list[tuple[int, CampaignCall]]]:
        """Line number and call of each row that is one.

        Raises:
            CampaignFileError: the file is not a campaign: wrong header, no rows, or more of them bad than good.
        """
        lines = self.file.lines()
        if not parse_header(next(lines, (1, ""))[1]):
            raise CampaignFileError(
                f"{self.file.path}: the first line does not name the {len(COLUMNS)} columns of the bank campaign "
                f"({';'.join(COLUMNS)})"
            )
        calendar = Calendar()
        batch: list[tuple[int, CampaignCall]] = []
        for number, line in lines:
            try:
                batch.append((number, parse_row(line, calendar)))
            except RowError as error:
                self._reject(Rejection(number, str(error)))
            if len(batch) == _BATCH:
                self.imported += len(batch)
                yield batch
                batch = []
        self.imported += len(batch)
        yield batch
        self._check()

    def _reject(self, rejection: Rejection) -> None:
        self.rejected += 1
        if len(self.rejections) < LISTED_REJECTIONS:
            self.rejections.append(rejection)

    def _check(self) -> None:
        if not self.rows:
            raise CampaignFileError(f"{self.file.path}: has a header but no rows")
        if self.rejected > self.imported:
            first = self.rejections[0]
            raise CampaignFileError(
                f"{self.file.path}: {self.rejected} of {self.rows} rows are not calls, so this is not the campaign; "
                f"the first is line {first.line}: {first.reason}"
            )
