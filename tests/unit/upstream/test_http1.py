"""Requests as bytes, and responses out of bytes in whatever pieces they come."""

from __future__ import annotations

import gzip

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.errors import UpstreamError, UpstreamUnavailableError
from tailrace.upstream.http1 import LARGEST_HEAD, MalformedResponseError, ResponseReader, encode_request
from tailrace.upstream.message import OutgoingRequest

LIMIT = 10_000


def reader(method: str = "GET", limit: int = LIMIT) -> ResponseReader:
    return ResponseReader(httptools, name="svc", method=method, limit=limit)


def read(data: bytes, *, method: str = "GET", end: bool = False) -> ResponseReader:
    taken = reader(method)
    taken.feed(data)
    if end:
        taken.end()
    return taken


def plain(body: bytes, *headers: bytes) -> bytes:
    return b"\r\n".join([b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *headers, b"", b""]) + body


def chunked(body: bytes, size: int, *trailers: bytes) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"\r\n".join([b"0", *trailers, b"", b""])


@given(
    body=st.binary(max_size=200),
    form=st.sampled_from(["length", "chunks", "trailers", "gzip", "end"]),
    interim=st.booleans(),
    cuts=st.lists(st.integers(1, 40), max_size=60),
)
def test_a_response_is_the_same_in_whatever_pieces_it_comes(
    body: bytes, form: str, interim: bool, cuts: list[int]
) -> None:
    """Where the network cuts the bytes says nothing about the response."""
    sent = {
        "length": plain(body),
        "chunks": chunked(body, 7),
        "trailers": chunked(body, 50, b"X-Sum: 1"),
        "gzip": plain(gzip.compress(body), b"Content-Encoding: gzip"),
        "end": b"HTTP/1.1 200 OK\r\n\r\n" + body,
    }[form]
    if interim:
        sent = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + sent
    taken, position = reader(), 0
    for cut in [*cuts, len(sent)]:
        piece = sent[position : position + cut]
        position += cut
        if piece:
            taken.feed(piece)
    assert taken.whole is (form != "end")
    if form == "end":
        assert taken.end()
    response = taken.response()
    assert (response.status, response.body) == (200, body)
    assert {"link", "x-sum"}.isdisjoint(response.headers)
    assert taken.keep is (form != "end")


@given(sent=st.sampled_from([plain(b"x" * 30), chunked(b"x" * 30, 7)]), data=st.data())
def test_a_part_is_never_taken_for_the_whole(sent: bytes, data: st.DataObject) -> None:
    """A connection that ends before the last byte has brought no response."""
    taken = reader()
    taken.feed(sent[: data.draw(st.integers(0, len(sent) - 1))])
    assert not taken.whole
    assert not taken.end()


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(noise: bytes) -> None:
    """Whatever comes is a response, is not yet one, or is refused in one of two ways."""
    taken = reader()
    try:
        taken.feed(noise)
        taken.end()
    except (MalformedResponseError, UpstreamError):
        pass


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_some_answers_have_no_body(status: bytes) -> None:
    """204 and 304 are whole with their head, and so is any answer to HEAD, whatever length it tells."""
    assert read(b"HTTP/1.1 " + status + b"\r\n\r\n").whole
    head = read(b"HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n", method="HEAD")
    assert head.whole
    assert head.keep
    assert head.response().body == b""


def test_an_announced_end_is_obeyed() -> None:
    """No other request goes over a connection that the server closes, or that brought more than was asked for."""
    assert read(plain(b"x")).keep
    assert not read(plain(b"x", b"Connection: close")).keep
    assert not read(plain(b"x").replace(b"1.1", b"1.0")).keep
    twice = read(plain(b"x") + plain(b"poison"))
    assert twice.response().body == b"x"
    assert not twice.keep
    late = read(plain(b"x"))
    assert late.feed(plain(b"poison"))
    assert late.response().body == b"x"
    assert not late.keep


@pytest.mark.parametrize(
    "bad",
    [
        b"\x16\x03\x01",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n...",
    ],
)
def test_what_could_be_read_in_two_ways_is_not_read(bad: bytes) -> None:
    """Two lengths, two framings, another protocol: refused, not interpreted."""
    with pytest.raises(MalformedResponseError):
        read(bad)


def test_everything_that_comes_in_is_bounded() -> None:
    """Heads, interim heads, one endless header, chunk by chunk, trailers: none of them grows for ever."""
    flood = b"x-a: 1\r\n" * 8
    head = b"HTTP/1.1 200 OK\r\n"

    def feed_on(start: bytes, more: bytes) -> None:
        taken = reader()
        taken.feed(start)
        for _ in range(LARGEST_HEAD):
            taken.feed(more)

    for start, more in (
        (head, flood),
        (head + b"x: ", b"y" * 64),
        (b"HTTP/1.1 103 Hints\r\n\r\n", b"HTTP/1.1 103 Hints\r\n" + flood + b"\r\n"),
    ):
        with pytest.raises(MalformedResponseError):
            feed_on(start, more)
    with pytest.raises(UpstreamError, match="more than"):
        feed_on(head + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", flood)


def test_sizes_and_codings_are_checked() -> None:
    """Too large as announced, as received or as decoded; a coding nobody asked for; a broken one."""
    with pytest.raises(UpstreamError, match="more than"):
        read(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n")
    with pytest.raises(UpstreamError, match="more than"):
        read(chunked(bytes(LIMIT + 1), 1000))
    with pytest.raises(UpstreamError, match="more than"):
        read(plain(gzip.compress(bytes(LIMIT + 1)), b"Content-Encoding: gzip"))
    with pytest.raises(UpstreamError, match="coding"):
        read(plain(b"x", b"Content-Encoding: br"))
    with pytest.raises(UpstreamUnavailableError, match="breaks off"):
        read(plain(gzip.compress(b"x" * 99)[:-9], b"Content-Encoding: gzip"))
    cut = reader()
    cut.feed(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"x" * 99)[:-9])
    with pytest.raises(UpstreamUnavailableError, match="breaks off"):
        cut.end()


def test_repeated_and_empty_headers() -> None:
    """Repeated headers are joined, an empty one is empty, and names come in lower case."""
    response = read(plain(b"", b"X-A: 1", b"x-a:  2 ", b"X-Empty:")).response()
    assert (response.headers["x-a"], response.headers["x-empty"]) == ("1, 2", "")


def test_a_request_is_sent_as_it_is() -> None:
    """One request line, the host, the headers given, and the body."""
    request = OutgoingRequest("POST", b"/a?b=c", ((b"x-a", b"1 \xe4\t2"), (b"content-length", b"2")), b"hi")
    assert encode_request(request, b"h:1") == (
        b"POST /a?b=c HTTP/1.1\r\nhost: h:1\r\nx-a: 1 \xe4\t2\r\ncontent-length: 2\r\n\r\nhi"
    )


@given(st.binary(max_size=20), st.binary(max_size=20), st.binary(max_size=20))
def test_no_request_holds_another(target: bytes, name: bytes, value: bytes) -> None:
    """Whatever a target or header holds, what leaves is one request line and the headers given, or nothing."""
    try:
        data = encode_request(OutgoingRequest("GET", target, ((name, value),)), b"h")
    except ValueError:
        return
    assert data.count(b"\n") == data.count(b"\r\n") == 4
    assert data.endswith(name + b": " + value + b"\r\n\r\n")
    assert b"\x00" not in data


@pytest.mark.parametrize(
    "request_",
    [
        OutgoingRequest("GET", b"/ HTTP/1.1\r\nx: y"),
        OutgoingRequest("GET /", b"/"),
        OutgoingRequest("GET", b""),
        OutgoingRequest("GET", b"/", ((b"host", b"elsewhere"),)),
        OutgoingRequest("POST", b"/", ((b"transfer-encoding", b"chunked"),)),
        OutgoingRequest("POST", b"/", ((b"content-length", b"5"),), b"hi"),
        OutgoingRequest("POST", b"/", ((b"content-length", b"2"), (b"content-length", b"2")), b"hi"),
        OutgoingRequest("POST", b"/", (), b"hi"),
        OutgoingRequest("GET", b"/", ((b"x", b" leading"),)),
    ],
)
def test_what_would_arrive_as_something_else_is_not_sent(request_: OutgoingRequest) -> None:
    """A host, a framing or a length of the caller's own is refused."""
    with pytest.raises(ValueError):
        encode_request(request_, b"h")
