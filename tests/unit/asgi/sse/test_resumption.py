from __future__ import annotations

import re
from collections.abc import AsyncIterator

from tailrace.asgi.sse import MemoryReplayLog, Recorded, ResumableStreams, ServerSentEvent
from tailrace.errors import StoreUnavailableError
from tailrace.events import Event, StreamResumed

FRAME = re.compile(rb"id: ([\w-]{22})\.(\d+)\ndata: (.*)\n\n")


class Work:
    """A source that counts its runs."""

    def __init__(self, *texts: str) -> None:
        self.texts = texts
        self.runs = 0
        self.closed = 0

    async def __call__(self) -> AsyncIterator[ServerSentEvent]:
        self.runs += 1
        try:
            for text in self.texts:
                yield ServerSentEvent(text)
        finally:
            self.closed += 1


async def take(
    streams: ResumableStreams, work: Work, last: str | None = None, *, most: int = 100
) -> list[tuple[str, str, str]] | None:
    """Stream, number and text of the events that a client gets before it leaves."""
    events = await streams.open(work, scope="ann", last_event_id=last)
    if events is None:
        return None
    got = []
    async for frame in events:
        found = FRAME.fullmatch(frame)
        assert found is not None
        got.append((found[1].decode(), found[2].decode(), found[3].decode()))
        if len(got) == most:
            await events.aclose()  # type: ignore[attr-defined]
            break
    return got


def texts(got: list[tuple[str, str, str]] | None) -> list[str]:
    assert got is not None
    return [text for _, _, text in got]


def last_id(got: list[tuple[str, str, str]] | None) -> str:
    assert got
    return f"{got[-1][0]}.{got[-1][1]}"


async def test_numbers_events_of_one_stream() -> None:
    """Ids count from 1 under a name that no other stream has."""
    streams, work = ResumableStreams(MemoryReplayLog()), Work("a", "b")
    first, second = await take(streams, work), await take(streams, work)
    assert first is not None
    assert second is not None
    assert [(number, text) for _, number, text in first] == [("1", "a"), ("2", "b")]
    assert len({stream for stream, _, _ in first + second}) == 2


async def test_replays_what_was_missed_of_a_stream_that_ended() -> None:
    """The rest comes from the log under the same ids, nothing is computed, and then there is nothing more."""
    seen: list[Event] = []
    streams, work = ResumableStreams(MemoryReplayLog(), observer=seen.append), Work("a", "b", "c")
    got = await take(streams, work)
    assert got is not None
    assert await take(streams, work, f"{got[0][0]}.1") == got[1:]
    assert await take(streams, work, last_id(got)) is None
    assert work.runs == 1
    assert seen == [StreamResumed("replayed"), StreamResumed("had_all")]


async def test_work_stops_with_its_client_and_goes_on_with_it() -> None:
    """Work that was stopped is done again; the client gets only what it has not got."""
    streams, work = ResumableStreams(MemoryReplayLog()), Work("a", "b", "c", "d")
    got = await take(streams, work, most=2)
    assert work.closed == 1
    rest = await take(streams, work, last_id(got))
    assert texts(rest) == ["c", "d"]
    assert (work.runs, work.closed) == (2, 2)
    assert await take(streams, work, last_id(rest)) is None


async def test_a_client_may_be_cut_off_again_and_again() -> None:
    """However often, it gets each event once and in order."""
    streams, work = ResumableStreams(MemoryReplayLog()), Work(*"abcdefgh")
    got, last = list[str](), None
    while (part := await take(streams, work, last, most=1)) is not None:
        got += texts(part)
        last = last_id(part) if part else last
    assert got == list("abcdefgh")
    assert work.runs == 9  # the last one to learn that "h" was the last


async def test_an_answer_that_is_another_now_begins_anew() -> None:
    """The client gets the new answer whole rather than its end after the old one's beginning."""
    streams = ResumableStreams(MemoryReplayLog())
    for now in (("a", "B", "c"), ("a", "b", "C", "d"), ("a",), ("x",)):
        got = await take(streams, Work("a", "b", "c"), most=2)
        again = await take(streams, Work(*now), last_id(got))
        expected = list(now[2:]) if now[:2] == ("a", "b") else list(now)
        assert texts(again) == expected
        assert again is not None
        if expected == list(now):
            assert [number for _, number, _ in again] == [str(at) for at in range(1, len(now) + 1)]


async def test_what_was_sent_and_not_received_is_sent_again() -> None:
    """The log may be ahead of what the client got; the client says where it is."""
    streams, work = ResumableStreams(MemoryReplayLog()), Work("a", "b", "c", "d")
    got = await take(streams, work, most=3)
    assert got is not None
    assert texts(await take(streams, work, f"{got[0][0]}.1")) == ["b", "c", "d"]


async def test_an_id_is_worth_nothing_to_anybody_else() -> None:
    """Who asks in another scope, or for an id that was never given, gets a stream of their own."""
    seen: list[Event] = []
    streams, work = ResumableStreams(MemoryReplayLog(), observer=seen.append), Work("a", "b")
    got = await take(streams, work)
    assert got is not None
    other = await streams.open(work, scope="bob", last_event_id=last_id(got))
    assert other is not None
    assert [FRAME.fullmatch(frame)[3] async for frame in other] == [b"a", b"b"]  # type: ignore[index]
    assert seen == [StreamResumed("unknown")]
    name = got[0][0]
    for odd in (
        f"{name}.3",
        f"{name}.0",
        f"{name}.01",
        f"{name}.1 ",
        name,
        "",
        "7",
        f"{name}.99999999999",
        f"{name}.٣",
    ):
        assert texts(await take(streams, work, odd)) == ["a", "b"]


async def test_a_stream_that_is_too_long_is_not_kept() -> None:
    """The log's bounds hold for each stream; a client of such a one begins anew."""
    log = MemoryReplayLog()
    for streams in (ResumableStreams(log, most_events=2), ResumableStreams(log, most_bytes=20)):
        work = Work("a", "b", "c")
        got = await take(streams, work)
        assert texts(got) == ["a", "b", "c"]
        assert log.size == 0
        assert texts(await take(streams, work, last_id(got))) == ["a", "b", "c"]


class Failing(MemoryReplayLog):
    """A log whose server goes away after some calls."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self.left = calls

    def _call(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise StoreUnavailableError("gone")

    async def append(self, stream: str, number: int, body: bytes) -> None:
        self._call()
        await super().append(stream, number, body)

    async def end(self, stream: str, number: int) -> None:
        self._call()
        await super().end(stream, number)

    async def forget(self, stream: str) -> None:
        self._call()
        await super().forget(stream)

    async def read(self, stream: str) -> Recorded | None:
        self._call()
        return await super().read(stream)


async def test_without_its_log_a_stream_is_sent_all_the_same() -> None:
    """A log that is down costs the resumption, never an event, and what is left in it misleads nobody."""
    for calls in range(5):
        log, work = Failing(calls), Work("a", "b", "c")
        streams = ResumableStreams(log)
        got = await take(streams, work)
        assert texts(got) == ["a", "b", "c"]
        assert got is not None
        again = await take(streams, work, f"{got[0][0]}.1")
        assert texts(again) == ["a", "b", "c"]
        log.left = 1_000
        again = await take(streams, work, f"{got[0][0]}.1")
        assert texts(again) in (["a", "b", "c"], ["b", "c"])
