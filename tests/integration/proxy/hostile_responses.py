"""Responses as hostile, broken and odd origins send them, made from a source of chance: the same from the same."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

__all__ = ["Hostile", "hostile"]

POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nCache-Control: max-age=600\r\n\r\npoison"

# What is right stands there more than once, so that a good part of all responses is right, or wrong in one place.
STATUS_LINES = [
    *[b"HTTP/1.1 200 OK"] * 14,
    *(b"HTTP/1.0 200 OK", b"HTTP/1.1 200", b"HTTP/1.1 200 ", b"HTTP/1.1  200 OK", b"HTTP/1.1 204 No"),
    *(b"HTTP/1.1 304 No", b"HTTP/1.1 206 P", b"HTTP/1.1 404 N", b"HTTP/1.1 600 X", b"HTTP/1.1 599 X"),
    *(b"HTTP/1.1 20 X", b"HTTP/1.1 2000 X", b"HTTP/2 200 OK", b"http/1.1 200 OK", b"HTTP/1.1 200 O\x00K"),
    *(b"HTTP/1.1 200 O\rK", b"HTTP/1.1 200 \xff", b"\r\nHTTP/1.1 200 OK", b"\nHTTP/1.1 200 OK", b"ICY 200 OK"),
    *(b"HTTP/1.1 +200 OK", b"HTTP/1.10 200 OK", b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK"),
    *(b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 200 OK", b"HTTP/1.1 102 C\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK"),
    b"HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade",
]
FIELDS = [
    *(b"X: a", b"X: a\r\n b", b"X : a", b" X: a", b"X: a\x00b", b"X: a\rb", b"X: a\nb", b"X", b": a", b"X\x00: a"),
    *(b"X: \xff\xfe", b"X: " + b"a" * 30_000, b"Set-Cookie: a=1", b"Set-Cookie: b=2", b"Vary: *", b"Vary: X-A"),
    *(b"Vary: accept-encoding", b'ETag: "a"', b"ETag: bad", b"Age: -1", b"Age: 99999999999999999999", b"Age: 5, 6"),
    *(b"Date: Thu, 01 Jan 1970 00:00:00 GMT", b"Expires: 0", b"Cache-Control: no-store", b"Cache-Control: private"),
    *(b"Cache-Control: max-age=", b"Cache-Control: max-age=0, max-age=60", b"Connection: close"),
    *(b"Connection: keep-alive", b"Connection: cache-control", b"Connection: content-length", b"Trailer: X-T"),
    *(b"Content-Encoding: gzip", b"Keep-Alive: timeout=0", b"Content-Type: text/html", b"TE: trailers"),
    *(b"Upgrade: h2c", b"Proxy-Connection: close", b"X-Cache: x", b"Cache-Status: x", b"Location: /\r"),
    b"Content-Range: bytes 0-1/2",
]
CODINGS = [
    *[b"Transfer-Encoding: chunked"] * 8,
    *(b"transfer-encoding:chunked", b"Transfer-Encoding: Chunked", b"Transfer-Encoding: chunked "),
    *(b"Transfer-Encoding: \x0bchunked", b"Transfer-Encoding:\tchunked", b"Transfer-Encoding: xchunked"),
    *(b"Transfer-Encoding: chunked, identity", b"Transfer-Encoding: identity", b"Transfer-Encoding: gzip"),
    *(b"Transfer-Encoding: identity, chunked", b'Transfer-Encoding: "chunked"', b"Transfer-Encoding: ,chunked"),
    *(b"Transfer-Encoding: chunked, chunked", b"Transfer-Encoding: chunked;q=1", b"Transfer-Encoding : chunked"),
    *(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", b"Transfer-Encoding:\r\n chunked"),
    b"Transfer_Encoding: chunked",
]
LAST_CHUNKS = [
    *[b"0\r\n\r\n"] * 12,
    *(b"0\r\nX-T: 1\r\n\r\n", b"0\n\n", b"0\r\n", b"", b"00\r\n\r\n", b"0;x\r\n\r\n", b"0\r\nX-T: a\r\n b\r\n\r\n"),
    *(b"0\r\nContent-Length: 3\r\n\r\n", b"0\r\nBad Name: 1\r\n\r\n", b"0\r\nX: \x00\r\n\r\n"),
    *(b"0\r\nCache-Control: max-age=99\r\n\r\n", b"0\r\n\r\n" + POISON),
]
LINE_ENDS = [*[b"\r\n"] * 20, b"\n", b"\r", b"\r\r\n"]


@dataclass(frozen=True, slots=True)
class Hostile:
    """What an origin sends for one request.

    Attributes:
        pieces: the bytes, as they are written.
        closed: whether the connection is closed after them; else it stays open and silent.
    """

    pieces: tuple[bytes, ...]
    closed: bool

    @property
    def sent(self) -> bytes:
        return b"".join(self.pieces)


def hostile(chance: Random, body: bytes) -> Hostile:
    """A response with ``body``, right or wrong in few or many places."""
    framing, payload = _framed(chance, body * chance.choice([0, 1, 2, 5, 50]))
    lines = [b"Cache-Control: max-age=600", *(chance.choice(FIELDS) for _ in range(chance.choice([0, 0, 1, 1, 2, 3])))]
    for line in framing:
        lines.insert(chance.randint(0, len(lines)), line)
    between = chance.choice([*[b"\r\n"] * 30, b"\n", b"\r"])
    end = chance.choice([*[b"\r\n\r\n"] * 30, b"\n\n", b"\r\n\n", b"\r\n"])
    sent = _damaged(chance, chance.choice(STATUS_LINES) + b"\r\n" + between.join(lines) + end + payload)
    return Hostile(tuple(_pieces(chance, sent)), chance.random() < 0.6)


def _framed(chance: Random, body: bytes) -> tuple[list[bytes], bytes]:
    """The fields that say how long ``body`` is, and its bytes."""
    kind, length = chance.random(), b"Content-Length: %d" % len(body)
    if kind < 0.35:
        return [length], body
    if kind < 0.65:
        return [chance.choice(CODINGS)], _chunks(chance, body)
    if kind < 0.72:
        both = [length, b"Transfer-Encoding: chunked"]
        return chance.choice([both, both[::-1]]), _chunks(chance, body)
    if kind < 0.8:
        return [], body
    return [chance.choice(_lengths(len(body)))], body


def _lengths(size: int) -> list[bytes]:
    """Lengths as they should not be."""
    name, said = b"Content-Length: ", b"%d" % size
    return [
        *(name + said + b", " + said, name + b"+" + said, name + b"0x%x" % size, name + said + b" "),
        *(name + said + b"\r\n" + name + said, name + said + b"\r\n" + name + b"%d" % (size + 1)),
        *(name + b"%d" % (size + 3), name + b"%d" % max(0, size - 2), b"Content-Length:", name, name + b"-1"),
        *(name + said + b"\x0b", name + b"1 " + said, name + b"18446744073709551616", name + b"18446744073709551617"),
        *(name + b"00" + said, b"Content-Length : " + said, b"Content-Length:\r\n " + said, b"Content_Length: " + said),
        *(name + said + b";", name + b"\xb2"),
    ]


def _chunks(chance: Random, body: bytes) -> bytes:
    """``body`` in chunks, some with sizes and ends that are wrong."""
    out, rest = b"", body
    while rest:
        size = chance.randint(1, len(rest))
        said = b"%x" % size
        wrong = [b"%X" % size, b"0" + said, said + b";e=1", said + b" ;e", said + b" ", b" " + said, b"0x" + said]
        wrong += [b"+" + said, said + b"\n", said + b"\r", b"%x" % (size + 1), b"%x" % (size - 1), b"-" + said, b""]
        wrong += [b"ffffffffffffffff" + said, said + b';"\r\n"', said + b";a\nb"]
        out += chance.choice([*[said] * 10, *wrong]) + chance.choice(LINE_ENDS)
        out += rest[:size] + chance.choice([*[b"\r\n"] * 20, b"\n", b"", b"\r\n\r\n", b"xx"])
        rest = rest[size:]
    return out + chance.choice(LAST_CHUNKS)


def _damaged(chance: Random, sent: bytes) -> bytes:
    """``sent``, often whole, else cut off, with bytes changed, or with more behind it."""
    kind = chance.random()
    if kind < 0.12:
        return sent[: chance.randint(0, len(sent))]
    if kind < 0.22:
        changed = bytearray(sent)
        for _ in range(chance.randint(1, 4)):
            place, how = chance.randrange(len(changed)), chance.random()
            if how < 0.4:
                changed[place] = chance.choice([0, 10, 13, 9, 32, 58, 44, 127, 255, 48, chance.randrange(256)])
            elif how < 0.7:
                changed[place:place] = chance.choice([b"\r", b"\n", b"\0", b"\r\n", b"\r\n\r\n", b" "])
            else:
                del changed[place]
        return bytes(changed)
    if kind < 0.3:
        return sent + chance.choice([b"x", b"\r\n", POISON, b"\0"])
    return sent


def _pieces(chance: Random, sent: bytes) -> list[bytes]:
    """``sent`` as it is written: at once, or the beginning in small pieces."""
    if chance.random() < 0.5:
        return [sent]
    pieces, place = [], 0
    while place < min(len(sent), 500):
        size = chance.choice([1, 3, 10, 100, 1000])
        pieces.append(sent[place : place + size])
        place += size
    return [*pieces, sent[place:]] if place < len(sent) else pieces
