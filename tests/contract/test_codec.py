from __future__ import annotations

import gzip
import random
import zlib
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from tests.unit.asgi.driver import decoded, zstd
from zlib_ng import zlib_ng

from tailrace.asgi.codec_streams import decode_whole
from tailrace.asgi.codecs import TABLES, Brotli, Codec, Gzip, Zstd, codec, installed_codecs
from tailrace.settings import CompressionSettings

SETTINGS = CompressionSettings()
TEXT = b'{"name":"a call","minutes":7,"agent":"Ada"},' * 400


@pytest.fixture(params=SETTINGS.encodings)
def any_codec(request: pytest.FixtureRequest) -> Codec:
    """Every codec, with the settings' efforts."""
    return codec(request.param, SETTINGS)


@pytest.mark.parametrize(
    "body", [b"", b"a", TEXT, random.Random(1).randbytes(70_000)], ids=["empty", "one", "text", "noise"]
)
def test_a_whole_body_comes_back(any_codec: Codec, body: bytes) -> None:
    """What was encoded at once is read by a decoder that is not the product's, and by its own."""
    encoded = any_codec.encode(body)
    assert decoded(encoded, any_codec.name) == body
    assert decode_whole(any_codec.decoder(), encoded, len(body)) == body


def test_text_shrinks(any_codec: Codec) -> None:
    """Text becomes less than a fifth."""
    assert len(any_codec.encode(TEXT)) < len(TEXT) / 5


def test_the_same_bytes_give_the_same_bytes(any_codec: Codec) -> None:
    """Encoding again, after other things were encoded, gives the same: nothing of time or of others is in it."""
    first = any_codec.encode(TEXT)
    any_codec.encode(b"something else" * 100)
    assert any_codec.encode(TEXT) == first


def test_gzip_tells_no_time() -> None:
    """The header's time is 0."""
    assert Gzip().encode(TEXT)[4:8] == b"\0\0\0\0"


def test_every_write_can_be_read_at_once(any_codec: Codec) -> None:
    """After each write the receiver has all that was written, before anything else comes."""
    encoder, decoder = any_codec.encoder(), any_codec.decoder()
    for number in range(20):
        event = b"data: %d\n\n" % number
        assert decoder.read(encoder.write(event), 1000) == event
        assert not decoder.finished
    assert decoder.read(encoder.finish(b"end"), 1000) == b"end"
    assert decoder.finished


def test_a_stream_remembers_what_it_wrote(any_codec: Codec) -> None:
    """Parts that resemble earlier ones become small although each is flushed."""
    encoder = any_codec.encoder()
    sizes = [len(encoder.write(TEXT[:900])) for _ in range(3)]
    assert sizes[2] < sizes[0] / 2


def test_streams_do_not_mix(any_codec: Codec) -> None:
    """Several streams and whole bodies at a time are each their own."""
    encoders = [any_codec.encoder() for _ in range(3)]
    written = [[], [], []]  # type: ignore[var-annotated]
    for part in range(5):
        for number, encoder in enumerate(encoders):
            written[number].append(encoder.write(b"%d:%d," % (number, part)))
            assert decoded(any_codec.encode(TEXT), any_codec.name) == TEXT
    for number, encoder in enumerate(encoders):
        body = b"".join(written[number]) + encoder.finish(b"")
        assert decoded(body, any_codec.name) == b"".join([b"%d:%d," % (number, part) for part in range(5)])


def test_threads_share_a_codec(any_codec: Codec) -> None:
    """Whole bodies may be encoded by any number of threads at once."""
    bodies = [random.Random(number).randbytes(2_000) * 20 for number in range(60)]
    with ThreadPoolExecutor(8) as threads:
        encoded = list(threads.map(any_codec.encode, bodies))
    assert [decoded(body, any_codec.name) for body in encoded] == bodies


def test_a_bomb_comes_in_bounded_pieces(any_codec: Codec) -> None:
    """However much a few bytes stand for, a decoder gives about as much at once as it was asked for."""
    size = 20_000_000
    bomb = any_codec.encode(bytes(size))
    assert len(bomb) < size / 500
    decoder = any_codec.decoder()
    pieces = [decoder.read(bomb, 10_000)]
    while not decoder.hungry:
        pieces.append(decoder.read(b"", 10_000))
    assert max(map(len, pieces)) < 64_000  # brotli gives a block at least
    assert sum(map(len, pieces)) == size
    assert decoder.finished
    with pytest.raises(ValueError, match="longer"):
        decode_whole(any_codec.decoder(), bomb, size - 1)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_stream_may_come_in_any_pieces(any_codec: Codec, size: int) -> None:
    """Input that is cut anywhere gives the same output."""
    encoded, decoder, found = any_codec.encode(TEXT), any_codec.decoder(), b""
    for start, end in pairwise([*range(0, len(encoded), size), len(encoded)]):
        found += decoder.read(encoded[start:end], 500)
        while not decoder.hungry:
            found += decoder.read(b"", 500)
    assert found == TEXT
    assert decoder.finished


def test_what_is_no_stream_is_refused(any_codec: Codec) -> None:
    """Damage, truncation and what follows the end are errors, never a wrong body."""
    encoded = any_codec.encode(TEXT)
    for wrong in (b"this is plain text, not a stream", encoded + b"trailing"):
        with pytest.raises(ValueError):
            decode_whole(any_codec.decoder(), wrong, 100_000)
    with pytest.raises(ValueError, match="not complete"):
        decode_whole(any_codec.decoder(), encoded[:-3], 100_000)


def test_gzip_of_several_members() -> None:
    """Members that follow one another are one body (RFC 1952 section 2.2)."""
    members = gzip.compress(b"one, ") + gzip.compress(b"two")
    assert decode_whole(Gzip().decoder(), members, 100) == b"one, two"


@pytest.mark.parametrize("level", [1, 3, 4, 5, 19])
def test_zstd_encodes_every_size_at_every_level(level: int) -> None:
    """Bodies just within and just beyond each of the tables come back, in any order, and are as small as zstd's own
    tables make them, within 3 %."""
    draw, text = random.Random(level), TEXT * 8
    known = Zstd(level)
    sizes = [size + more for size in TABLES for more in (-1, 0, 1)]
    for size in draw.sample(sizes, len(sizes)):
        rows = b"".join(b'{"id":%d,"at":%d},' % (draw.randrange(10**6), number) for number in range(size // 16))
        body = (text[: size // 3] + rows)[:size].ljust(size)
        encoded = known.encode(body)
        assert decoded(encoded, "zstd") == body
        assert len(encoded) <= 1.03 * len(zstd.compress(body, level))


def test_zstd_takes_no_window_beyond_what_http_allows() -> None:
    """RFC 9659: a frame that would make the receiver keep more than 8 MB is refused, and none is made."""
    options = {zstd.CompressionParameter.window_log: 24, zstd.CompressionParameter.content_size_flag: 0}
    stream = zstd.ZstdCompressor(options=options)
    wide = stream.compress(b"a" * 1000) + stream.flush()
    with pytest.raises(ValueError):
        decode_whole(Zstd().decoder(), wide, 2000)
    strongest = Zstd(19).encode(TEXT * 1000)
    assert decode_whole(Zstd().decoder(), strongest, len(TEXT) * 1000) == TEXT * 1000


def test_all_codecs_are_installed_for_the_tests() -> None:
    """The extra brings all codings, in the order of the settings; gzip is by zlib-ng."""
    assert list(installed_codecs(SETTINGS)) == ["zstd", "br", "gzip"]
    assert isinstance(installed_codecs(SETTINGS)["br"], Brotli)
    assert Gzip()._compressobj is zlib_ng.compressobj
    assert zlib.decompress(Gzip(9).encode(TEXT), 31) == TEXT


def test_a_coding_whose_library_is_missing_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra there is gzip, by Python's own zlib."""
    import sys

    for module in ("brotli", "backports.zstd", "compression.zstd", "zlib_ng.zlib_ng"):
        monkeypatch.setitem(sys.modules, module, None)
    found = installed_codecs(SETTINGS)
    assert list(found) == ["gzip"]
    assert decoded(found["gzip"].encode(TEXT), "gzip") == TEXT
