"""Transcripts aligned word by word, one token a line: the ``.nlp`` files of the fstalign tools. Pure.

Columns are found by their names in the first line: ``token``, ``speaker``, ``ts``, ``endTs`` and ``punctuation`` must
be there, ``prepunctuation`` may be. Times are seconds. A word that could not be aligned has none; it is placed between
its neighbours, as long as a word usually is, and never longer than there is room.

**Source:** https://github.com/revdotcom/fstalign, "NLP format", and the readme of the Earnings-22 corpus.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tailrace_services.call_coach.importer.transcript import LAPSE_MS, Parsed, Problem, Utterance

__all__ = ["looks_aligned", "parse_aligned"]

USUAL_WORD_MS = 350
"""Length of a word that has no times, at about 170 words a minute."""
_REQUIRED = ("token", "speaker", "ts", "endTs", "punctuation")
_SECONDS = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,20})?")
_SOUND = re.compile(r"<([^<>]+)>")
_SENTENCE_ENDS = (".", "?", "!", "…")
_MOST_PROBLEMS = 100


@dataclass(slots=True)
class _Word:
    text: str
    speaker: str
    start_ms: int | None
    end_ms: int | None


class _LineError(Exception):
    """A line is not a token."""


def looks_aligned(first_line: str) -> bool:
    """Whether a file that begins like this is meant to be one."""
    return {"token", "speaker"} <= set(first_line.removeprefix("\ufeff").strip().split("|"))


def parse_aligned(text: str) -> Parsed:
    """Read a file's text.

    Returns: an utterance for each sentence of each speaker, ``Speaker N`` where the file has the number N.
    """
    lines = re.split(r"\r\n|\r|\n", text.removeprefix("\ufeff"))
    columns = {name: index for index, name in enumerate(lines[0].split("|"))}
    if missing := [name for name in _REQUIRED if name not in columns]:
        return Parsed("aligned", (), (Problem(1, f"the first line does not name the column {missing[0]}"),))
    words: list[_Word] = []
    problems: list[Problem] = []
    for number, line in enumerate(lines[1:], 2):
        if not line:
            continue
        try:
            words.append(_word(line, columns))
        except _LineError as error:
            problems.append(Problem(number, str(error)))
            if len(problems) == _MOST_PROBLEMS:
                break
    if not problems and not words:
        problems.append(Problem(1, "the file has no words"))
    if problems:
        return Parsed("aligned", (), tuple(problems))
    _place(words)
    return Parsed("aligned", tuple(_sentences(words)), ())


def _word(line: str, columns: Mapping[str, int]) -> _Word:
    fields = line.split("|")
    if "\0" in line:
        raise _LineError("a zero byte: this is not text")
    if len(fields) != len(columns):
        raise _LineError(f"{len(fields)} fields instead of {len(columns)}")
    token, speaker = fields[columns["token"]], fields[columns["speaker"]].strip()
    if not token or not speaker:
        raise _LineError("no token" if not token else "no speaker")
    start, end = (_milliseconds(name, fields[columns[name]]) for name in ("ts", "endTs"))
    if start is not None and end is not None and end < start:
        raise _LineError(f"the word ends at {fields[columns['endTs']]}, before it starts")
    before = fields[columns["prepunctuation"]] if "prepunctuation" in columns else ""
    said = _SOUND.sub(r"[\1]", token)
    return _Word(
        before + said + fields[columns["punctuation"]],
        f"Speaker {speaker}" if speaker.isdigit() else speaker,
        start,
        end if start is not None else None,
    )


def _milliseconds(name: str, field: str) -> int | None:
    if not field.strip():
        return None
    if not _SECONDS.fullmatch(field.strip()):
        raise _LineError(f"{name} is not a number of seconds: {field[:40]!r}")
    return round(float(field) * 1000)


def _place(words: list[_Word]) -> None:
    """Give times to words without: after the word before, or before the word after where there is none before."""
    known = [index for index, word in enumerate(words) if word.start_ms is not None]
    for index in known:
        word = words[index]
        if word.end_ms is None and word.start_ms is not None:
            word.end_ms = word.start_ms + USUAL_WORD_MS
    if not known:
        _spread(words, 0, None)
        return
    first = words[known[0]].start_ms or 0
    _spread(words[: known[0]], max(0, first - USUAL_WORD_MS * known[0]), first)
    for index, following in zip(known, [*known[1:], len(words)], strict=True):
        limit = words[following].start_ms if following < len(words) else None
        _spread(words[index + 1 : following], words[index].end_ms or 0, limit)


def _spread(words: list[_Word], start: int, limit: int | None) -> None:
    """One word after the other from ``start``, each of usual length or shorter, so that ``limit`` is not passed."""
    room = USUAL_WORD_MS if limit is None else max(0, limit - start) / max(len(words), 1)
    length = min(float(USUAL_WORD_MS), room)
    for number, word in enumerate(words):
        word.start_ms = start + round(number * length)
        word.end_ms = start + round((number + 1) * length)


def _sentences(words: list[_Word]) -> Iterator[Utterance]:
    pending: list[_Word] = []
    for word in words:
        if pending and (word.speaker != pending[0].speaker or _start(word) - _end(pending[-1]) > LAPSE_MS):
            yield _utterance(pending)
            pending = []
        pending.append(word)
        if word.text.endswith(_SENTENCE_ENDS):
            yield _utterance(pending)
            pending = []
    if pending:
        yield _utterance(pending)


def _utterance(words: list[_Word]) -> Utterance:
    start = min(_start(word) for word in words)
    end = max(_end(word) for word in words)
    return Utterance(words[0].speaker, start, end, " ".join(word.text for word in words))


def _start(word: _Word) -> int:
    return word.start_ms or 0


def _end(word: _Word) -> int:
    return word.end_ms or 0
