"""Which header fields a gateway passes on, and which it makes. Pure.

**Source:** RFC 9110 sections 6.6.1 (Date), 7.6.1 (Connection), 7.6.2 (Max-Forwards), 7.6.3 (Via), 8.6 (Content-Length)
and 10.1.1 (Expect); RFC 9112 sections 3.2 (Host) and 6.3 (bodies of requests).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tailrace.asgi.headers import OF_A_CONNECTION, connection_fields, read_headers, token_list, without
from tailrace.asgi.http_cache.requests import is_host
from tailrace.asgi.types import Header, Scope
from tailrace.core.http_date import format_http_date

__all__ = [
    "end_to_end_fields",
    "expects_continue",
    "fields_for_client",
    "fields_for_origin",
    "forwards_left",
    "has_body",
    "names_one_host",
]

VIA = b"1.1 tailrace"

LONGEST_COUNT = 9
"""Digits of a ``Max-Forwards`` that limits anything."""

MADE_HERE = frozenset({b"host", b"trailer", b"via", b"x-forwarded-for", b"x-forwarded-proto"})
"""Fields of a request that the gateway makes itself, or does not make."""

FRAMING = OF_A_CONNECTION | {b"content-length", b"expect", b"host"}
"""Fields of a request that are needed to read it, whatever ``Connection`` says of them."""

WITHOUT_LENGTH = frozenset({204, 304})
"""Statuses whose ``Content-Length`` says nothing about what is sent."""


def end_to_end_fields(headers: Sequence[Header]) -> Sequence[Header]:
    """Those of a request that are meant for more than this connection; what is not is neither passed on nor looked at.

    A field that ``Connection`` names does not reach the origin. If the cache took it for part of the request, a client
    could have what is answered without it kept as the answer to it.

    >>> end_to_end_fields([(b"connection", b"X-Tenant"), (b"x-tenant", b"a")])
    [(b'connection', b'X-Tenant')]
    """
    options = [token for name, value in headers if name == b"connection" for token in token_list(value)]
    named = frozenset(options) - FRAMING - {b"close"}
    return without(headers, named) if named else headers


def fields_for_origin(
    method: str, headers: Sequence[Header], fields: Mapping[bytes, bytes], scheme: str, client: str | None
) -> list[Header]:
    """Those of the request that is sent in place of the client's, without ``Host`` and ``Transfer-Encoding``.

    Args:
        headers: the client's, names in lower case.
        fields: the same by name.
        scheme: by which the client asked.
        client: its address, if that is known.
    """
    left_out = connection_fields(fields) | MADE_HERE
    forwards = forwards_left(method, fields)
    if forwards is not None:
        left_out |= {b"max-forwards"}
    # Blanks around a value are none of it (RFC 9110 section 5.5); some servers hand them on.
    passed = [(name, value.strip(b" \t")) for name, value in headers if name not in left_out]
    passed.append((b"via", _appended(fields.get(b"via"), VIA)))
    if forwards is not None:
        passed.append((b"max-forwards", b"%d" % (forwards - 1)))
    if client is not None:
        passed.append(
            (b"x-forwarded-for", _appended(fields.get(b"x-forwarded-for"), client.encode("ascii", "replace")))
        )
    passed.append((b"x-forwarded-proto", fields.get(b"x-forwarded-proto", scheme.encode("ascii", "replace"))))
    return passed


def fields_for_client(status: int, headers: Sequence[Header], received: float) -> list[Header]:
    """Those of the response that is sent in place of the origin's.

    Args:
        headers: the origin's, names in lower case.
        received: wall time at which they came, which is the date of a response that has none.
    """
    fields = read_headers(headers)
    left_out = connection_fields(fields) | {b"trailer", b"via"}
    if status in WITHOUT_LENGTH:
        left_out |= {b"content-length"}
    passed = [header for header in headers if header[0] not in left_out]
    if b"date" not in fields:
        passed.append((b"date", format_http_date(received)))
    passed.append((b"via", _appended(fields.get(b"via"), VIA)))
    return passed


def names_one_host(scope: Scope) -> bool:
    """Whether a request has the one ``Host`` that HTTP/1.1 asks for; two could be read differently behind the gateway,
    as could one that is no host.

    >>> names_one_host({"http_version": "1.1", "headers": [(b"host", b"a"), (b"host", b"b")]})
    False
    """
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    if not hosts:
        return bool(scope.get("http_version") == "1.0")
    return len(hosts) == 1 and is_host(hosts[0].strip(b" \t"))


def forwards_left(method: str, fields: Mapping[bytes, bytes]) -> int | None:
    """How many times the request may be forwarded still; None if nothing limits that."""
    value = fields.get(b"max-forwards", b"")
    if method not in ("OPTIONS", "TRACE") or not value.isdigit() or len(value) > LONGEST_COUNT:
        return None
    return int(value)


def has_body(fields: Mapping[bytes, bytes]) -> bool:
    """True if a request with these fields has a body."""
    return b"transfer-encoding" in fields or fields.get(b"content-length", b"0").strip(b"0") != b""


def expects_continue(fields: Mapping[bytes, bytes]) -> bool:
    """True if the client waits for a 100 before it sends the body."""
    return fields.get(b"expect", b"").lower() == b"100-continue" and has_body(fields)


def _appended(value: bytes | None, member: bytes) -> bytes:
    return member if not value else value + b", " + member
