"""Responses are read right however their bytes arrive."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.verify.http1 import MAX_HEAD_BYTES, MalformedResponseError, Response, ResponseParser

PLAIN = b'HTTP/1.1 200 OK\r\nContent-Length: 8\r\nX-One: a\r\nx-one:  b \r\n\r\n{"a": 1}'
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;ext=1\r\nabc\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n"
)


def parsed(data: bytes, cuts: list[int], method: str = "GET") -> list[Response]:
    parser, responses, places = ResponseParser(), [], sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    parser.expect(method)
    for begin, end in itertools.pairwise(places):
        response = parser.feed(data[begin:end])
        if response is not None:
            responses.append(response)
    return responses


@given(cuts=st.lists(st.integers(0, len(CHUNKED))))
def test_fragments_do_not_matter(cuts: list[int]) -> None:
    """A response cut anywhere reads as the whole one."""
    assert [r.body for r in parsed(PLAIN, cuts)] == [b'{"a": 1}']
    assert [r.body for r in parsed(CHUNKED, cuts)] == [b"abc0123456789"]


def test_headers_are_found_whatever_their_case() -> None:
    """Header names have no case, repeated ones keep their order, and absent ones are None."""
    (response,) = parsed(PLAIN, [])
    assert response.headers("X-ONE") == ["a", "b"]
    assert response.header("content-length") == "8"
    assert response.header("one") is None
    assert response.json() == {"a": 1}


@pytest.mark.parametrize(
    ("data", "method"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", "GET"),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", "GET"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", "HEAD"),
    ],
)
def test_responses_without_content_end_with_their_head(data: bytes, method: str) -> None:
    """204, 304 and answers to HEAD have no body, whatever Content-Length says."""
    assert [r.body for r in parsed(data, [], method)] == [b""]


def test_interim_responses_are_passed_over() -> None:
    """A 103 is not the answer; the response behind it is."""
    (response,) = parsed(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + PLAIN, [])
    assert response.status == 200


def test_a_body_without_length_ends_with_the_connection() -> None:
    """Neither length nor chunks: the end of the stream ends the body; a cut-off known length is no response."""
    parser = ResponseParser()
    parser.expect("GET")
    assert parser.feed(b"HTTP/1.1 200 OK\r\n\r\nhal") is None
    assert parser.feed(b"f") is None
    response = parser.finish()
    assert response is not None
    assert response.body == b"half"
    parser.expect("GET")
    assert parser.feed(PLAIN[:-1]) is None
    assert parser.finish() is None


@pytest.mark.parametrize(
    "data",
    [
        b"SMTP ready\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * MAX_HEAD_BYTES,
    ],
)
def test_what_is_no_response_is_refused(data: bytes) -> None:
    """Bytes that are no HTTP/1.1 response raise rather than wait for ever."""
    with pytest.raises(MalformedResponseError):
        parsed(data, [])
