from __future__ import annotations

import pytest

from tailrace.core.content_negotiation import Choice, choose_encoding

OURS = ("zstd", "br", "gzip")


@pytest.mark.parametrize(
    ("value", "encoding", "identity_allowed"),
    [
        (None, "identity", True),
        (b"", "identity", True),
        # The examples of RFC 9110 section 12.5.3.
        (b"compress, gzip", "gzip", True),
        (b"*", "zstd", True),
        (b"compress;q=0.5, gzip;q=1.0", "gzip", True),
        (b"gzip;q=1.0, identity; q=0.5, *;q=0", "gzip", True),
        # What browsers, curl and Python's clients send.
        (b"gzip, deflate, br, zstd", "zstd", True),
        (b"gzip, deflate, br", "br", True),
        (b"gzip, deflate", "gzip", True),
        (b"deflate", "identity", True),
        (b"identity", "identity", True),
        (b"identity;q=1, *;q=0", "identity", True),
        # Weights decide before the server's preference does.
        (b"zstd;q=0.1, br;q=0.2, gzip;q=0.3", "gzip", True),
        (b"gzip;q=0.001", "gzip", True),
        (b"br;q=0.999, gzip", "gzip", True),
        (b"gzip;q=0.5, identity", "identity", True),
        (b"gzip, identity", "gzip", True),
        # What is refused is not sent.
        (b"gzip;q=0", "identity", True),
        (b"gzip;q=0.0", "identity", True),
        (b"gzip;q=0.000, br;q=0", "identity", True),
        (b"*;q=0", "identity", False),
        (b"identity;q=0", "identity", False),
        (b"identity;q=0, gzip;q=0.1", "gzip", False),
        (b"*;q=0, gzip", "gzip", False),
        (b"*;q=0, identity", "identity", True),
        (b"zstd;q=0, *;q=0.5", "br", True),
        # Names in any case, an old name, room around, empty members, several lines joined.
        (b"GZIP", "gzip", True),
        (b"x-gzip", "gzip", True),
        (b" , gzip ;\tq=0.8 ,, ", "gzip", True),
        (b"gzip;Q=0, br", "br", True),
        # A coding named twice, also by its old name, counts with its lowest weight.
        (b"gzip, gzip;q=0", "identity", True),
        (b"gzip, x-gzip;q=0", "identity", True),
        # A weight that cannot be read refuses; that of identity is passed over, since it would forbid everything.
        (b"gzip;q=2", "identity", True),
        (b"gzip;q=-1", "identity", True),
        (b"gzip;q=0.1234", "identity", True),
        (b"gzip;q=.5", "identity", True),
        (b"gzip;q", "identity", True),
        (b"gzip;level=9", "identity", True),
        (b"gzip;q=1;x=y", "identity", True),
        (b"identity;q=nothing", "identity", True),
        # What is no coding at all is passed over.
        (b"g zip, br", "br", True),
        (b"\xff\x00, gzip", "gzip", True),
        (b";q=1, gzip", "gzip", True),
    ],
)
def test_what_is_sent(value: bytes | None, encoding: str, identity_allowed: bool) -> None:
    """A client gets the coding that it likes best of those at hand, and never one that it refused."""
    assert choose_encoding(value, OURS) == Choice(encoding, identity_allowed)


@pytest.mark.parametrize("first", OURS)
def test_the_server_decides_between_equals(first: str) -> None:
    """Of several codings with the same weight the server's favourite is sent, whatever the order in the field."""
    available = (first, *[name for name in OURS if name != first])
    assert choose_encoding(b"br, gzip, zstd", available).encoding == first


def test_nothing_at_hand() -> None:
    """Without any coding the answer is sent as it is."""
    assert choose_encoding(b"gzip, br;q=0.5", ()).encoding == "identity"


def test_too_long_to_be_honest() -> None:
    """A field beyond the bound is not parsed at all, so nobody can make it costly."""
    members = b"gzip;q=0.5," * 10_000
    assert choose_encoding(members, OURS) == Choice("identity")
    assert choose_encoding(members[: 93 * 11], OURS) == Choice("gzip")
