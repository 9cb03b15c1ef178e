from __future__ import annotations

import pytest
from httpx_sse._decoders import SSEDecoder, SSELineDecoder
from hypothesis import given
from hypothesis import strategies as st

from tailrace.asgi.sse import ServerSentEvent

text = st.text() | st.text(alphabet="ab:\r\n \0\ufeff\u2028\x0b\x0c\x85", max_size=40)
one_line = st.text().filter(lambda value: not set(value) & set("\r\n"))
events = st.builds(
    ServerSentEvent,
    data=text,
    event=st.none() | one_line.filter(bool),
    id=st.none() | one_line.filter(lambda value: "\0" not in value),
    retry=st.none() | st.integers(0, 10**6).map(lambda milliseconds: milliseconds / 1000),
)


def heard(wire: bytes, cut: int) -> list[tuple[str, str, str, int | None]]:
    """What a client that is not ours makes of the bytes, given to it in two parts."""
    lines, decoder, found = SSELineDecoder(), SSEDecoder(), []
    text = wire.decode("utf-8")
    for line in [*lines.decode(text[:cut]), *lines.decode(text[cut:]), *lines.flush()]:
        event = decoder.decode(line)
        if event is not None:
            found.append((event.event, event.data, event.id, event.retry))
    return found


@given(st.lists(events, max_size=5), st.integers(0, 200))
def test_any_client_gets_each_event_and_no_other(sent: list[ServerSentEvent], cut: int) -> None:
    """Whatever stands in an event, a client gets exactly that event: line ends become LF, and nothing else changes."""
    last, expected = "", []
    for event in sent:
        last = event.id if event.id is not None else last
        data = event.data or ""
        data = data.replace("\r\n", "\n").replace("\r", "\n").encode("utf-8", "replace").decode()
        name = (event.event or "message").encode("utf-8", "replace").decode()
        retry = None if event.retry is None else round(event.retry * 1000)
        expected.append((name, data, last.encode("utf-8", "replace").decode(), retry))
    assert heard(b"".join(event.encode() for event in sent), cut) == expected


@given(one_line, st.sampled_from(["\r", "\n", "\r\n"]), one_line)
def test_a_name_or_id_of_two_lines_is_refused(before: str, end: str, after: str) -> None:
    """No line end gets into a field that has one line."""
    for field in ("event", "id"):
        with pytest.raises(ValueError):
            ServerSentEvent("text", **{field: before + end + after})  # type: ignore[arg-type]


@pytest.mark.parametrize("retry", [-1.0, float("nan"), float("inf")])
def test_no_client_is_told_to_wait_for_nonsense(retry: float) -> None:
    """A retry that is no duration is refused, and so is an id with NUL, which clients would ignore."""
    with pytest.raises(ValueError):
        ServerSentEvent(retry=retry)
    with pytest.raises(ValueError):
        ServerSentEvent(id="a\0b")
