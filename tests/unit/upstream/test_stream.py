"""Responses on their way through, in whatever pieces they come."""

from __future__ import annotations

import math

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.upstream.http1 import MalformedResponseError
from tailrace.upstream.stream import StreamReader


def framed(body: bytes, form: str) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\n"
    if form == "length":
        return head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    if form == "end":
        return head + b"\r\n" + body
    pieces = b"".join(
        [b"%x;ext=1\r\n%b\r\n" % (len(body[at : at + 7]), body[at : at + 7]) for at in range(0, len(body), 7)]
    )
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + pieces + b"0\r\nX-Sum: 1\r\n\r\n"


@given(
    body=st.binary(max_size=200),
    form=st.sampled_from(["length", "chunks", "end"]),
    interim=st.sampled_from([b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nX-A: 0\r\n\r\n"]),
    cuts=st.lists(st.integers(1, 40), max_size=60),
)
def test_what_comes_out_is_what_went_in(body: bytes, form: str, interim: bytes, cuts: list[int]) -> None:
    """Fields as they stand, bytes in order, trailers behind them, and a 100 told apart from other interim answers."""
    sent = interim + framed(body, form)
    reader, position, taken = StreamReader(httptools, method="GET"), 0, b""
    for cut in [*cuts, len(sent)]:
        piece = sent[position : position + cut]
        position += cut
        if piece:
            reader.feed(piece)
            taken += reader.take()
            assert reader.held == 0
    assert reader.headed
    assert reader.whole is (form != "end")
    if form == "end":
        assert reader.end()
    assert (taken, reader.status) == (body, 200)
    assert reader.pairs[:2] == [(b"X-A", b"1"), (b"x-a", b"2")]
    assert reader.trailers == ([(b"X-Sum", b"1")] if form == "chunks" else [])
    assert reader.continued is (b" 100 " in interim)
    assert reader.keep is (form != "end")


@given(body=st.binary(min_size=1, max_size=60), form=st.sampled_from(["length", "chunks"]), data=st.data())
def test_a_part_is_never_whole(body: bytes, form: str, data: st.DataObject) -> None:
    """Wherever the connection ends before the last byte."""
    sent = framed(body, form)
    reader = StreamReader(httptools, method="GET")
    reader.feed(sent[: data.draw(st.integers(0, len(sent) - 1))])
    assert not reader.whole
    assert not reader.end()


@given(st.binary(max_size=300) | st.binary(max_size=100).map(lambda noise: b"HTTP/1.1 200 OK\r\n" + noise))
def test_no_bytes_break_the_reader(noise: bytes) -> None:
    """Whatever comes is passed on, is waited for, or is refused in one way."""
    reader = StreamReader(httptools, method="GET")
    try:
        reader.feed(noise)
        reader.end()
    except MalformedResponseError:
        assert not reader.whole


@pytest.mark.parametrize(
    ("head", "why"),
    [
        (b"101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: other", "another protocol"),
        (b"999 Odd", "a status that there is not"),
        (b"200 OK\r\nTransfer-Encoding: gzip, chunked", "a transfer coding"),
    ],
)
def test_a_refusal_says_why(head: bytes, why: str) -> None:
    """In words for whoever looks after the origin, not as a failure of the parser's."""
    with pytest.raises(MalformedResponseError, match=why):
        StreamReader(httptools, method="GET").feed(b"HTTP/1.1 " + head + b"\r\n\r\n")


@pytest.mark.parametrize("endless", [b"1;" + b"e" * 100, b"X-A: aaaaaaaaaaaaaaaaaaaaa\r\n"])
def test_words_without_content_are_bounded(endless: bytes) -> None:
    """Chunk extensions and trailers may not go on for ever."""
    reader = StreamReader(httptools, method="GET")
    reader.feed(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n" + (b"" if b";" in endless else b"0\r\n")
    )
    with pytest.raises(MalformedResponseError):
        feed_often(reader, endless)


def feed_often(reader: StreamReader, data: bytes) -> None:
    for _ in range(10_000):
        reader.feed(data)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("timeout=5", 4.0), ("max=100, Timeout=60", 59.0), ("nonsense", math.inf), ("timeout=x", math.inf)],
)
def test_how_long_the_server_keeps_the_connection(said: str, seconds: float) -> None:
    """As it says itself, less a second for what is on its way."""
    reader = StreamReader(httptools, method="GET")
    reader.feed(f"HTTP/1.1 200 OK\r\nKeep-Alive: {said}\r\nContent-Length: 0\r\n\r\n".encode())
    assert reader.whole
    assert reader.keep_for == seconds


def test_a_body_of_many_small_chunks_is_not_words_without_content() -> None:
    """However much framing it takes."""
    reader = StreamReader(httptools, method="GET")
    reader.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(50_000):
        reader.feed(b"1\r\na\r\n")
    reader.feed(b"0\r\n\r\n")
    assert reader.whole
    assert len(reader.take()) == 50_000
