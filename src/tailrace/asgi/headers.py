"""Header fields: read once, written safely. Pure.

**Source:** RFC 9110 section 5 (fields), RFC 6265 section 4.2 (Cookie).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from tailrace.asgi.types import Header

__all__ = [
    "OF_A_CONNECTION",
    "answer_lines",
    "connection_fields",
    "cookie_values",
    "field_lines",
    "read_headers",
    "safe_value",
    "token_list",
    "without",
]

OF_A_CONNECTION = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Fields that belong to one connection, so that no cache keeps them (RFC 9111 section 3.1, RFC 9110 section 7.6.1)."""

_UNSAFE = re.compile(rb"[^\t\x20-\x7e\x80-\xff]")
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def read_headers(headers: Iterable[Header]) -> dict[bytes, bytes]:
    """Header fields by lower-case name; several lines of one field are joined as RFC 9110 section 5.3 says.

    Cookie lines are joined with ``; `` (RFC 9113 section 8.2.3).

    >>> read_headers([(b"accept", b"a"), (b"accept", b"b")])
    {b'accept': b'a, b'}
    """
    lines = headers if isinstance(headers, list) else list(headers)
    found = dict(lines)
    if len(found) == len(lines):
        return found
    found = {}
    for name, value in lines:
        known = found.get(name)
        found[name] = value if known is None else known + (b"; " if name == b"cookie" else b", ") + value
    return found


def safe_value(text: str) -> bytes:
    """``text`` as a field value: what could end the line or is no character of a field becomes ``?``.

    >>> safe_value("a\\r\\nSet-Cookie: b")
    b'a??Set-Cookie: b'
    """
    return _UNSAFE.sub(b"?", text.encode("latin-1", "replace")).strip()


def field_lines(headers: Iterable[Header]) -> bytes | None:
    """The fields as HTTP/1.1 sends them, names in lower case; None if one of them could not be sent so.

    >>> field_lines([(b"Age", b"3"), (b"x", b"a b")])
    b'age: 3\\r\\nx: a b\\r\\n'
    >>> field_lines([(b"x", b"a\\r\\nset-cookie: b")]) is None
    True

    **Source:** RFC 9112 section 5; RFC 9110 sections 5.1 (names are tokens) and 5.5 (values).
    """
    lines = []
    for name, value in headers:
        if _TOKEN.fullmatch(name) is None or _UNSAFE.search(value) is not None:
            return None
        lines.append(b"%b: %b\r\n" % (name.lower(), value))
    return b"".join(lines)


def answer_lines(headers: Sequence[Header], length: int | None) -> bytes:
    """The same for all fields of a stored answer; b"" where only a server's own code may send them.

    That is where one could not be sent so, or they say more of the connection, or of the body's length, than is so.

    Args:
        length: what they must say of the length, once; None: nothing.
    """
    told = [value for name, value in headers if name.lower() == b"content-length"]
    if told != ([] if length is None else [b"%d" % length]):
        return b""
    if any(name.lower() in OF_A_CONNECTION for name, _ in headers):
        return b""
    return field_lines(headers) or b""


def token_list(value: bytes | None) -> tuple[bytes, ...]:
    """The lower-case members of a comma-separated list.

    >>> token_list(b"Accept, , X-Y")
    (b'accept', b'x-y')
    """
    if not value:
        return ()
    return tuple([part for part in [item.strip().lower() for item in value.split(b",")] if part])


def connection_fields(fields: Mapping[bytes, bytes]) -> frozenset[bytes]:
    """The names of those that go no further than this connection, the ones that ``Connection`` names among them.

    >>> sorted(connection_fields({b"connection": b"close, X-Hop"}) - OF_A_CONNECTION)
    [b'close', b'x-hop']
    """
    return OF_A_CONNECTION.union(token_list(fields.get(b"connection")))


def without(headers: Iterable[Header], names: frozenset[bytes]) -> list[Header]:
    """``headers`` but those named."""
    return [header for header in headers if header[0] not in names]


def cookie_values(header: bytes | None, name: bytes) -> list[bytes]:
    """The values of the cookies called ``name``, in the order sent.

    A browser sends several when they were set for several paths, the most specific first.
    """
    if header is None or name not in header:
        return []
    found = []
    for part in header.split(b";"):
        key, separator, value = part.strip().partition(b"=")
        if separator and key == name:
            found.append(value.strip(b'" '))
    return found
