"""The call that a transcript becomes: title, moment, who is on which side. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import PurePosixPath

from tailrace_services.call_coach.importer.transcript import Parsed, Utterance, assemble_turns

__all__ = ["Description", "ImportedCall", "RepName", "make_call"]

_DATE = re.compile(r"(?<![0-9])((?:19|20)[0-9]{2})-([01][0-9])-([0-3][0-9])(?![0-9])")
_SAYS_NOTHING = {"transcript", "captions", "subtitles", "meeting", "call", "recording"}
_NAMED_REP = re.compile(r"\s*([^<>]*?)\s*(?:<\s*([^<>@\s]+@[^<>@\s]+)\s*>)?\s*")
_NOON = 12


@dataclass(frozen=True, slots=True)
class RepName:
    """A representative as the user names one: ``Ann Lee <ann@example.com>``, the address being optional."""

    name: str
    email: str | None

    @classmethod
    def parse(cls, text: str) -> RepName:
        """Read one.

        Raises:
            ValueError: there is no name, or what stands in brackets is no address.
        """
        match = _NAMED_REP.fullmatch(text)
        if match is None or not match[1]:
            raise ValueError(f"give a name, with an address or without, like 'Ann <ann@example.com>': {text!r}")
        return cls(match[1], match[2].lower() if match[2] else None)


@dataclass(frozen=True, slots=True)
class Description:
    """What the user says of all the calls imported at once."""

    product: str | None = None
    call_type: str = "other"
    reps: Mapping[str, RepName] = field(default_factory=dict)
    """By name in lower case. Empty: in each call, whoever talks most."""


@dataclass(frozen=True, slots=True)
class ImportedCall:
    """Everything that is written about a call. ``sides`` has the speakers in the order in which they first speak."""

    title: str
    scheduled_at: datetime
    duration_ms: int
    sides: Mapping[str, str]
    talk_ms: Mapping[str, int]
    turns: list[Utterance]


def make_call(parsed: Parsed, path: PurePosixPath, modified: float, description: Description) -> ImportedCall:
    """The call in a transcript without problems.

    Args:
        path: where it was; a date in it is the call's.
        modified: seconds since 1970; the call's day where ``path`` has no date.
    """
    turns = assemble_turns(parsed.utterances)
    talk: dict[str, int] = {}
    for turn in turns:
        talk[turn.speaker] = talk.get(turn.speaker, 0) + turn.end_ms - turn.start_ms
    reps = {name for name in talk if name.lower() in description.reps}
    if not reps:
        reps = {max(talk, key=lambda name: talk[name])}
    return ImportedCall(
        title=_title(path),
        scheduled_at=_moment(path, modified),
        duration_ms=max(turn.end_ms for turn in turns),
        sides={name: "rep" if name in reps else "prospect" for name in talk},
        talk_ms=talk,
        turns=turns,
    )


def _title(path: PurePosixPath) -> str:
    """The file's name without its endings, or its folders' where the name says nothing.

    >>> _title(PurePosixPath("calls/weekly/2026-05-07_236/transcript.vtt"))
    'weekly 2026-05-07_236'
    """
    stem = path.name.split(".")[0]
    if stem.lower() in _SAYS_NOTHING and len(path.parts) > 1:
        return " ".join(path.parts[-3:-1])
    return stem or path.name


def _moment(path: PurePosixPath, modified: float) -> datetime:
    for match in reversed(list(_DATE.finditer(str(path)))):
        try:
            return datetime(int(match[1]), int(match[2]), int(match[3]), _NOON, tzinfo=UTC)
        except ValueError:
            continue  # like 2026-02-31
    return datetime.fromtimestamp(int(modified), UTC)
