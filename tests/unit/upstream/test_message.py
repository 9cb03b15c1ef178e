"""Bounded decoding of bodies."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.errors import UpstreamError, UpstreamUnavailableError
from tailrace.upstream.message import BodyDecoder, UpstreamResponse

PIECES = st.integers(1, 50)


def decode(coding: str | None, data: bytes, limit: int = 10_000, step: int = 1 << 20) -> bytes:
    decoder = BodyDecoder("svc", coding, limit)
    for start in range(0, len(data), step):
        decoder.feed(data[start : start + step])
    return decoder.end()


def raw_deflate(body: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(body) + compressor.flush()


@given(st.binary(max_size=2000), PIECES)
def test_every_coding_gives_the_body_back(body: bytes, step: int) -> None:
    """However it is cut into pieces; gzip members may follow one another, deflate may lack its wrapper."""
    assert decode(None, body, step=step) == body
    assert decode("gzip", gzip.compress(body), step=step) == body
    assert decode("gzip", gzip.compress(body) + gzip.compress(body), step=step) == body + body
    assert decode("deflate", zlib.compress(body), step=step) == body
    assert decode("deflate", raw_deflate(body), step=step) == body


def test_a_decompression_bomb_costs_no_more_than_the_limit() -> None:
    """A gigabyte in a megabyte is refused, and never expanded."""
    bomb = gzip.compress(bytes(200_000_000))
    tracemalloc.start()
    with pytest.raises(UpstreamError, match="more than 10000 bytes"):
        decode("gzip", bomb, limit=10_000_000 // 1000)
    with pytest.raises(UpstreamError, match="more than 1000000 bytes"):
        decode("gzip", bomb, limit=1_000_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000


def test_the_limit_is_exact() -> None:
    """A body of exactly the limit passes, one byte more does not."""
    assert len(decode("gzip", gzip.compress(b"a" * 1000), limit=1000)) == 1000
    with pytest.raises(UpstreamError):
        decode("gzip", gzip.compress(b"a" * 1001), limit=1000)
    with pytest.raises(UpstreamError):
        decode(None, b"a" * 1001, limit=1000)


def test_a_body_that_breaks_off_is_no_body() -> None:
    """A truncated or damaged compressed body is a failure that may pass, never a shorter answer."""
    whole = gzip.compress(b"a" * 500 + b"bcd" * 100)
    with pytest.raises(UpstreamUnavailableError, match="breaks off"):
        decode("gzip", whole[:-9])
    with pytest.raises(UpstreamUnavailableError, match="broken"):
        decode("gzip", b"not gzip at all")


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "compress"])
def test_codings_not_asked_for_are_refused(coding: str) -> None:
    """What we cannot bound, we do not decode."""
    with pytest.raises(UpstreamError, match="coding"):
        BodyDecoder("svc", coding, 100)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000])
def test_json_that_is_none_is_a_failure(body: bytes) -> None:
    """Malformed JSON, however malformed, is the service's failure and not our crash."""
    with pytest.raises(UpstreamUnavailableError):
        UpstreamResponse(200, {}, body).json()
