"""Transcripts as they come: what is read, what is read past, what is refused and where."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace_services.call_coach.importer.aligned import USUAL_WORD_MS, parse_aligned
from tailrace_services.call_coach.importer.call import Description, RepName, make_call
from tailrace_services.call_coach.importer.transcript import LAPSE_MS, Parsed, Utterance, assemble_turns
from tailrace_services.call_coach.importer.webvtt import parse_webvtt

HEAD = "token|speaker|ts|endTs|punctuation|prepunctuation|case|tags|oldTs|oldEndTs|ali_comment"


def said(parsed: Parsed) -> list[tuple[str, int, int, str]]:
    """Speaker, start, end and text of each utterance of a transcript without problems."""
    assert parsed.problems == ()
    return [(each.speaker, each.start_ms, each.end_ms, each.text) for each in parsed.utterances]


def problems(parsed: Parsed) -> list[tuple[int, str]]:
    """Line and reason of each problem."""
    return [(each.line, each.reason) for each in parsed.problems]


def test_a_meeting_as_software_writes_it() -> None:
    """Names before a colon are speakers; numbers before a cue, settings and line breaks are not said."""
    text = (
        "WEBVTT\r\n\r\n1\r\n00:00:43.570 --> 00:00:44.420 align:start line:0\r\nCsaba: Hi, Kamil.\r\n\r\n"
        "2\r\n01:07.509 --> 01:10.439\r\nKamil S.: All good.\r\nKeep on.\r\n"
    )
    assert said(parse_webvtt(text)) == [
        ("Csaba", 43570, 44420, "Hi, Kamil."),
        ("Kamil S.", 67509, 70439, "All good. Keep on."),
    ]


def test_voices_tags_and_characters() -> None:
    """Voice tags name speakers, several to a cue share its time; other tags vanish; references are resolved."""
    text = (
        "WEBVTT\n\n00:00.000 --> 00:04.000\n<v.loud Ann Lee>R&amp;D <i>is</i> <00:00:01.000>good</v>\n"
        "<v Bo>Sales <3 it</v>\n\n00:05.000 --> 00:06.000\nnobody"
    )
    assert said(parse_webvtt(text)) == [
        ("Ann Lee", 0, 2000, "R&D is good"),
        ("Bo", 2000, 4000, "Sales <3 it"),
        ("Unknown speaker", 5000, 6000, "nobody"),
    ]


def test_what_is_not_said_is_read_past() -> None:
    """A byte order mark, header lines, comments, styles and regions are no cues."""
    text = (
        "\ufeffWEBVTT - a title\nKind: captions\n\nNOTE one\nline: two\n\nSTYLE\n::cue { color: red }\n\n"
        "REGION\nid:fred\n\nNOTE\n\n100:00:00.001 --> 100:00:00.002\nAnn: late\n"
    )
    assert said(parse_webvtt(text)) == [("Ann", 360_000_001, 360_000_002, "late")]


def test_a_colon_alone_is_no_name() -> None:
    """Where most cues have no name in front, a colon is part of what is said."""
    text = (
        "WEBVTT\n\n00:00.000 --> 00:01.000\nplain\n\n00:01.000 --> 00:02.000\nwords\n\n"
        "00:02.000 --> 00:03.000\nnote: this"
    )
    assert [text for _, _, _, text in said(parse_webvtt(text))] == ["plain", "words", "note: this"]


def test_a_cue_without_a_name_goes_on() -> None:
    """Where names are given, a cue without one is still the last speaker's, and so is a long clause with a colon."""
    text = (
        "WEBVTT\n\n00:00.000 --> 00:01.000\nAnn: so\n\n00:01.000 --> 00:02.000\nwell\n\n"
        "00:02.000 --> 00:03.000\nwhat I would really like to say: no\n\n00:03.000 --> 00:04.000\nBo: yes: indeed"
    )
    assert [(speaker, text) for speaker, _, _, text in said(parse_webvtt(text))] == [
        ("Ann", "so"),
        ("Ann", "well"),
        ("Ann", "what I would really like to say: no"),
        ("Bo", "yes: indeed"),
    ]


def test_a_missing_blank_line_costs_no_cue() -> None:
    """A second line of times begins another cue, as in a player."""
    text = "WEBVTT\n\n00:00.000 --> 00:01.000\nAnn: one\n00:01.000 --> 00:02.000\nBo: two\n"
    assert [speaker for speaker, _, _, _ in said(parse_webvtt(text))] == ["Ann", "Bo"]


@pytest.mark.parametrize(
    ("body", "line", "reason"),
    [
        ("1\n00:00:01,000 --> 00:00:02,000\nAnn: hi", 4, "not a timestamp like 00:01:02.345: '00:00:01,000'"),
        ("00:00:01.000 --> 00:61:02.000\nAnn: hi", 3, "'00:61:02.000'"),
        ("00:00:01.000 -->\nAnn: hi", 3, "not a timestamp like 00:01:02.345: ''"),
        ("0:00:01.000 --> 00:00:02.000\nAnn: hi", 3, "'0:00:01.000'"),
        ("00:00:03.000 --> 00:00:02.999\nAnn: hi", 3, "ends before it starts"),
        ("00:00:03.000 --> 999999:00:02.999\nAnn: hi", 3, "later than the 500 hours"),
        ("Ann: hi", 3, "no '-->'"),
        ("1\nAnn: hi\n00:00:01.000 --> 00:00:02.000", 3, "no '-->' within two lines"),
        ("NOTE nothing", 1, "no cue with text"),
        ("00:00:01.000 --> 00:00:02.000\n<i></i>", 1, "no cue with text"),
    ],
)
def test_a_broken_cue_is_named_by_line(body: str, line: int, reason: str) -> None:
    """What a player would skip is a problem here, told with the line it is in."""
    parsed = parse_webvtt(f"WEBVTT\n\n{body}\n")
    assert [found for found, _ in problems(parsed)] == [line]
    assert reason in problems(parsed)[0][1]


@pytest.mark.parametrize("text", ["", "webvtt\n", "WEBVTTX\n", " WEBVTT\n", "1\n00:00:01.000 --> 00:00:02.000\nhi"])
def test_another_file_is_not_webvtt(text: str) -> None:
    """Without the signature, line 1 is the problem."""
    assert problems(parse_webvtt(text)) == [(1, "the file does not begin with a line WEBVTT")]


def test_every_problem_is_told() -> None:
    """Problems do not hide each other, and are limited."""
    text = "WEBVTT\n\n" + "bad\n\n" * 300
    found = problems(parse_webvtt(text))
    assert [line for line, _ in found] == list(range(3, 203, 2))


def test_words_with_times() -> None:
    """Tokens become sentences of a speaker, with punctuation and sounds in brackets."""
    text = "\n".join(
        [
            HEAD,
            "Hello|1|1.0000|1.3999999999999999|,||UC|[]|||",
            "all|1|1.4000|1.6000|.||LC|[]|||",
            "<laugh>|2|2.0|2.1||||[]|||",
            "Yes|2|2.1|2.2|?|(|UC|[]|||",
            "",
        ]
    )
    assert said(parse_aligned(text)) == [
        ("Speaker 1", 1000, 1600, "Hello, all."),
        ("Speaker 2", 2000, 2200, "[laugh] (Yes?"),
    ]


def test_columns_are_found_by_name() -> None:
    """Other versions of the format have other columns, in another order."""
    text = "\ufefftoken|ts|endTs|speaker|punctuation\r\nHi|0.5|0.75|Ann|.\r\n"
    assert said(parse_aligned(text)) == [("Ann", 500, 750, "Hi.")]


def test_words_without_times_lie_between_their_neighbours() -> None:
    """At the beginning before the first known word, in gaps after the last, and never longer than there is room."""
    text = "\n".join(
        [
            HEAD,
            "a|0|||||LC|[]|||del",
            "b|0|2.0|2.2|.||LC|[]|||",
            "c|0|||.||LC|[]|||del",
            "d|0|||.||LC|[]|||del",
            "e|0|2.4|2.4|.||LC|[]|||",
            "f|0|||.||LC|[]|||del",
        ]
    )
    times = [(start, end) for _, start, end, _ in said(parse_aligned(text))]
    assert times == [(1650, 2200), (2200, 2300), (2300, 2400), (2400, 2400), (2400, 2400 + USUAL_WORD_MS)]


def test_no_times_at_all() -> None:
    """A file without a single time is spoken at the usual rate."""
    text = f"{HEAD}\na|0||||||||| \nb|1|||||||||"
    assert [(start, end) for _, start, end, _ in said(parse_aligned(text))] == [(0, 350), (350, 700)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("Hello|1|1.0", "3 fields instead of 11"),
        ("Hello|1|x|1.4|||||||", "ts is not a number of seconds: 'x'"),
        ("Hello|1|-1|1.4|||||||", "ts is not a number of seconds"),
        ("Hello|1|nan|1.4|||||||", "ts is not a number of seconds"),
        ("Hello|1|1.5|1e3|||||||", "endTs is not a number of seconds"),
        ("Hello|1|1.5|1.4|||||||", "ends at 1.4, before it starts"),
        ("|1|1.0|1.4|||||||", "no token"),
        ("Hel\0lo|1|1.0|1.4|||||||", "a zero byte"),
        ("Hello| |1.0|1.4|||||||", "no speaker"),
    ],
)
def test_a_broken_word_is_named_by_line(line: str, reason: str) -> None:
    """A line that is no token is told with its number."""
    ((number, found),) = problems(parse_aligned(f"{HEAD}\nok|1|0.1|0.2|||||||\n{line}\n"))
    assert number == 3
    assert reason in found


def test_headers_that_will_not_do() -> None:
    """A missing column or a file without words is a problem in line 1."""
    assert problems(parse_aligned("token|speaker|ts\n")) == [(1, "the first line does not name the column endTs")]
    assert problems(parse_aligned(HEAD + "\n")) == [(1, "the file has no words")]


def test_turns_end_with_the_speaker_or_in_silence() -> None:
    """Utterances of one speaker are one turn unless another speaks in between or all are silent for long."""
    turns = assemble_turns(
        [
            Utterance("Bo", 5000, 6000, "third"),
            Utterance("Ann", 0, 1000, "first"),
            Utterance("Ann", 1000 + LAPSE_MS, 4500, "first too"),
            Utterance("Bo", 6000 + LAPSE_MS + 1, 9900, "after silence"),
        ]
    )
    assert [(turn.speaker, turn.text) for turn in turns] == [
        ("Ann", "first first too"),
        ("Bo", "third"),
        ("Bo", "after silence"),
    ]


utterances = st.lists(
    st.builds(
        lambda speaker, start, length: Utterance(speaker, start, start + length, "x"),
        st.sampled_from("ABC"),
        st.integers(0, 60_000),
        st.integers(0, 20_000),
    ),
    max_size=40,
)


@given(utterances)
def test_turns_keep_every_word_and_all_order(given_utterances: list[Utterance]) -> None:
    """Whatever is said is in one turn of its speaker; turns start in order and are no longer than their parts span."""
    turns = assemble_turns(given_utterances)
    for speaker in "ABC":
        words = sum(turn.text.count("x") for turn in turns if turn.speaker == speaker)
        assert words == sum(each.speaker == speaker for each in given_utterances)
    assert [turn.start_ms for turn in turns] == sorted(turn.start_ms for turn in turns)
    assert {turn.start_ms for turn in turns} <= {each.start_ms for each in given_utterances}
    assert {turn.end_ms for turn in turns} <= {each.end_ms for each in given_utterances}


@given(st.text(alphabet=st.sampled_from("WEBVT\n\r-> 0123:.<v>/&;Ann,|\ufeff\0é"), max_size=200))
def test_no_text_breaks_the_parsers(text: str) -> None:
    """Any text at all is read or refused by line; nothing else happens."""
    for parsed in (parse_webvtt("WEBVTT\n\n" + text), parse_aligned(HEAD + "\n" + text)):
        assert bool(parsed.problems) or all(each.end_ms >= each.start_ms >= 0 for each in parsed.utterances)
        assert all(found.line >= 1 for found in parsed.problems)


@pytest.mark.parametrize(
    ("path", "title", "day"),
    [
        ("weekly/2026-05-07_236/transcript.vtt", "weekly 2026-05-07_236", "2026-05-07"),
        ("acme 2025-12-31.vtt", "acme 2025-12-31", "2025-12-31"),
        ("4482383.aligned.nlp", "4482383", "1970-01-02"),
        ("x/2026-02-31/a.vtt", "a", "1970-01-02"),
        ("transcript.vtt", "transcript", "1970-01-02"),
    ],
)
def test_title_and_day_come_from_the_path(path: str, title: str, day: str) -> None:
    """A date in the path is the call's; a name that says nothing is replaced by its folders'."""
    parsed = Parsed("webvtt", (Utterance("Ann", 0, 1, "hi"),), ())
    call = make_call(parsed, PurePosixPath(path), 86_400.9, Description())
    assert (call.title, call.scheduled_at.date().isoformat()) == (title, day)


def test_who_is_the_representative() -> None:
    """Those who are named, whatever the case; else whoever talks most."""
    parsed = Parsed("webvtt", (Utterance("Ann", 0, 10, "hi"), Utterance("Bo", 10, 90, "hello")), ())
    path = PurePosixPath("a.vtt")
    assert make_call(parsed, path, 0, Description()).sides == {"Ann": "prospect", "Bo": "rep"}
    named = Description(reps={"ann": RepName.parse("ann <ANN@example.com>")})
    assert make_call(parsed, path, 0, named).sides == {"Ann": "rep", "Bo": "prospect"}
    assert named.reps["ann"].email == "ann@example.com"
    for wrong in ("", "<a@b.c>", "Ann <nonsense>", "Ann <a@b"):
        with pytest.raises(ValueError, match="give a name"):
            RepName.parse(wrong)
