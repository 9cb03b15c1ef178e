from __future__ import annotations

import pytest
from httpx_sse._decoders import SSEDecoder, SSELineDecoder
from hypothesis import given
from hypothesis import strategies as st

from tailrace.errors import UpstreamError
from tailrace.upstream.event_stream import EventReader

fields = st.sampled_from(["data", "event", "id", "retry", "", "other", "data "])
lines = st.builds(
    lambda name, colon, value, end: f"{name}{colon}{value}{end}",
    fields,
    st.sampled_from([":", ": ", "", ":  "]),
    st.text(alphabet="a: ü\0\u2028\x85[]1", max_size=6),
    st.sampled_from(["\n", "\r\n", "\r", "\n\n", "\r\n\r\n", "\r\r"]),
)
wires = st.lists(lines, max_size=12).map("".join)


def other_reading(wire: str) -> list[tuple[str, str, str]]:
    """What a client that is not ours makes of it; events without data are left out, which the standard has none of."""
    splitter, decoder, found = SSELineDecoder(), SSEDecoder(), []
    for line in [*splitter.decode(wire), *splitter.flush()]:
        has_data = bool(decoder._data)
        event = decoder.decode(line)
        if event is not None and has_data:
            found.append((event.event or "message", event.data, event.id))
    return found


@given(wires, st.data())
def test_events_are_read_as_others_read_them(wire: str, data: st.DataObject) -> None:
    """Whatever the bytes and wherever they are cut, the events are those that another client finds."""
    sent = wire.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=6)))
    reader, found = EventReader(), []
    for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True):
        found += [(event.event, event.data, event.id) for event in reader.feed(sent[start:end])]
    assert found == other_reading(wire)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(sent: bytes) -> None:
    """What is no event stream has no events, or odd ones; it is never an exception."""
    whole, parts = EventReader(), EventReader()
    once = whole.feed(sent)
    assert once == [event for at in range(len(sent)) for event in parts.feed(sent[at : at + 1])]


def test_an_event_without_end_is_refused() -> None:
    """Neither one long line nor many short ones can use up the memory; comments for ever can, and take none."""
    for piece in (b"x", b"data: x\n"):
        reader = EventReader(largest=1_000)
        with pytest.raises(UpstreamError):
            assert [event for _ in range(10_000) for event in reader.feed(piece)] == []
    reader = EventReader(largest=1_000)
    for _ in range(10_000):
        assert reader.feed(b": still there\n") == []


def test_a_byte_order_mark_is_no_part_of_the_first_line() -> None:
    """It may come first, in however many pieces, and nowhere else."""
    reader = EventReader()
    found = [
        event for byte in b"\xef\xbb\xbfdata: x\n\n\xef\xbb\xbfdata: y\n\n" for event in reader.feed(bytes([byte]))
    ]
    assert [event.data for event in found] == ["x"]
