"""WebVTT, as meeting software writes it: cues with times, and who speaks by voice tag or by ``Name: ``. Pure.

Stricter than a player: where a player would skip what it cannot read, a problem is reported, because a transcript with
holes would be measured wrong. What only concerns looks (settings, styles, regions, classes) is read past.

**Source:** W3C "WebVTT: The Web Video Text Tracks Format", sections 4 (syntax) and 6 (parsing).
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass

from tailrace_services.call_coach.importer.transcript import UNKNOWN_SPEAKER, Parsed, Problem, Utterance

__all__ = ["parse_webvtt"]

_ARROW = "-->"
_LONGEST_NAME_WORDS = 6
_MOST_HOURS = 500
"""Far more than any call, and milliseconds that the database can hold."""
_SIGNATURE = re.compile(r"WEBVTT(?:[ \t].*)?")
_TIMESTAMP = re.compile(r"(?:([0-9]{2,9}):)?([0-9]{2}):([0-9]{2})\.([0-9]{3})")
_TAG = re.compile(r"<([^<>]*)>")
"""Unlike in a player, what no ``>`` closes is text: nothing that was said is lost."""
_VOICE = re.compile(r"v(?:\.[^ \t\n]*)?[ \t\n]+(.+)", re.DOTALL)
_NAMED = re.compile(r"([^:\n]{1,60}):[ \t]+(?=\S)")
_APART = re.compile(r"(?:NOTE|STYLE|REGION)(?:[ \t].*)?")
_MOST_PROBLEMS = 100


class _BlockError(Exception):
    """A block is not a cue."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.problem = Problem(line, reason)


@dataclass(frozen=True, slots=True)
class _Cue:
    start_ms: int
    end_ms: int
    parts: tuple[tuple[str | None, str], ...]
    """Voice, None if no tag names one, and what it says."""


def parse_webvtt(text: str) -> Parsed:
    """Read a file's text; a byte order mark may be in front.

    Returns: utterances in the order of the file. A cue of several voices is divided among them by length of text.
    """
    lines = _lines(text)
    if not _SIGNATURE.fullmatch(lines[0]):
        return Parsed("webvtt", (), (Problem(1, "the file does not begin with a line WEBVTT"),))
    cues: list[_Cue] = []
    problems: list[Problem] = []
    for number, block in _blocks(lines):
        try:
            cue = _cue(number, block)
        except _BlockError as error:
            problems.append(error.problem)
            if len(problems) == _MOST_PROBLEMS:
                break
        else:
            if cue is not None:
                cues.append(cue)
    if not problems and not any(part for cue in cues for _, part in cue.parts):
        problems.append(Problem(1, "the file has no cue with text"))
    return Parsed("webvtt", tuple(_utterances(cues)), tuple(problems))


def _lines(text: str) -> list[str]:
    """Section 6.1, steps 1 to 3: line ends become line feeds, a zero byte becomes the replacement character."""
    return re.split(r"\r\n|\r|\n", text.removeprefix("\ufeff").replace("\0", "\ufffd"))


def _blocks(lines: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Blocks behind the header: the number of the first line, and the lines.

    A blank line ends a block, and so does a second line of times: a cue whose blank line is missing still counts.
    """
    block: list[str] = []
    begins, in_header = 0, True
    for number, line in enumerate(lines[1:], 2):
        if not line.strip(" \t"):
            if block:
                yield begins, block
            block, in_header = [], False
            continue
        if in_header and _ARROW not in line:
            continue
        in_header = False
        if _ARROW in line and any(_ARROW in earlier for earlier in block):
            yield begins, block
            block = []
        if not block:
            begins = number
        block.append(line)
    if block:
        yield begins, block


def _cue(number: int, block: list[str]) -> _Cue | None:
    """The cue that ``block`` is; None for a comment, a style or a region.

    Raises:
        _BlockError: it is none of these.
    """
    position = next((index for index, line in enumerate(block[:2]) if _ARROW in line), None)
    if position is None:
        if _APART.fullmatch(block[0]):
            return None
        raise _BlockError(number, f"expected a cue, but no '-->' within two lines: {_short(block[0])}")
    at = number + position
    before, _, after = block[position].partition(_ARROW)
    fields = after.split(maxsplit=1)
    start, end = _milliseconds(at, before.strip()), _milliseconds(at, fields[0] if fields else "")
    if end < start:
        raise _BlockError(at, f"the cue ends before it starts: {_short(block[position])}")
    return _Cue(start, end, tuple(_voices(" ".join(block[position + 1 :]))))


def _milliseconds(line: int, stamp: str) -> int:
    match = _TIMESTAMP.fullmatch(stamp)
    if match is None or int(match[2]) > 59 or int(match[3]) > 59:
        raise _BlockError(line, f"not a timestamp like 00:01:02.345: {_short(stamp)}")
    hours = int(match[1] or 0)
    if hours > _MOST_HOURS:
        raise _BlockError(line, f"later than the {_MOST_HOURS} hours that a call can have: {_short(stamp)}")
    return ((hours * 60 + int(match[2])) * 60 + int(match[3])) * 1000 + int(match[4])


def _voices(text: str) -> Iterator[tuple[str | None, str]]:
    """What each voice says, in order, without tags and with character references resolved."""
    voice: str | None = None
    said: list[str] = []
    position = 0
    for tag in [*_TAG.finditer(text), None]:
        said.append(text[position : tag.start() if tag else len(text)])
        if tag is None:
            break
        position = tag.end()
        named = _VOICE.fullmatch(tag[1])
        if named or tag[1] == "/v":
            yield voice, _plain(said)
            voice, said = (_plain([named[1]]) if named else None), []
    yield voice, _plain(said)


def _plain(pieces: list[str]) -> str:
    return " ".join(html.unescape("".join(pieces)).split())


def _utterances(cues: list[_Cue]) -> Iterator[Utterance]:
    spoken = [cue for cue in cues if any(part for _, part in cue.parts)]
    tagged = any(voice is not None for cue in spoken for voice, _ in cue.parts)
    prefixed = not tagged and _names_come_first(spoken)
    speaker = UNKNOWN_SPEAKER
    for cue in spoken:
        parts = [(voice, part) for voice, part in cue.parts if part]
        total, before = sum(len(part) for _, part in parts), 0
        for voice, part in parts:
            start = cue.start_ms + (cue.end_ms - cue.start_ms) * before // total
            before += len(part)
            end = cue.start_ms + (cue.end_ms - cue.start_ms) * before // total
            name = _name(part) if prefixed else None
            if name:
                # A cue without a name goes on with the speaker before it.
                speaker, part = name, part[_NAMED.match(part).end() :]  # type: ignore[union-attr]  # noqa: PLW2901
            yield Utterance((voice or UNKNOWN_SPEAKER) if tagged else speaker, start, end, part)


def _names_come_first(cues: list[_Cue]) -> bool:
    """Whether at least half of the cues look like ``Name: words``; fewer have a colon in what is said."""
    named = sum(_name(next(part for _, part in cue.parts if part)) is not None for cue in cues)
    return named * 2 >= len(cues) > 0


def _name(text: str) -> str | None:
    match = _NAMED.match(text)
    if match is None or len(match[1].split()) > _LONGEST_NAME_WORDS:
        return None
    return match[1].strip() or None


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
