"""Whole answers in one write, where uvicorn serves and its code is the one that is known. Touches: its connections.

An ASGI application hands a server the head of an answer and then its body. uvicorn checks each field of the head by two
regular expressions, joins them, and writes head and body by a system call each. For an answer whose fields lie ready as
bytes, checked when they were made, nothing of that is needed: here the whole is handed to the connection at once, and
uvicorn's own record of the request is left as its ``send`` would have left it. So keep-alive, pipelining, draining at
the end, the access log and the count of requests stay uvicorn's.

Only where the application was given uvicorn's own ``send`` (httptools), nothing was sent yet, and the functions that
are stood in for are, to a byte, ones that are known (``KNOWN``). Everything else is sent in the ordinary way.

**Source:** RFC 9112 sections 4 and 6; uvicorn's ``httptools_impl.py``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import lru_cache
from http import HTTPStatus
from types import MethodType
from typing import Any

from tailrace.asgi.headers import OF_A_CONNECTION, field_lines
from tailrace.asgi.source_digest import source_digest
from tailrace.asgi.types import Header, Send

__all__ = ["KNOWN", "UvicornWriter", "steps_of_uvicorn"]

MODULE = "uvicorn.protocols.http.httptools_impl"

KNOWN = frozenset({"c12f7709bbeac8857b43f0e6cfc846a9eaf407881a16cb39b583723c3af7e989"})
"""What ``steps_of_uvicorn`` gave for each uvicorn whose ``send`` does as this one: 0.53 and 0.54."""

STEPS = ("__init__", "send")
"""The methods of uvicorn's ``RequestResponseCycle`` that are followed here."""

JOINED = 64 * 1024
"""Bytes of a body up to which copying it costs less than writing it by itself."""


def steps_of_uvicorn() -> str:
    """The digest of ``STEPS``; "" where there is none, or one was replaced. Cost: milliseconds."""
    cycle = getattr(sys.modules.get(MODULE), "RequestResponseCycle", None)
    own = vars(cycle) if isinstance(cycle, type) else {}
    return source_digest(own.get(name) for name in STEPS)


@lru_cache(maxsize=16)
def _is_known(kind: Any, function: Any) -> bool:
    """Whether requests of ``kind`` are uvicorn's, and ``function`` is their ``send`` as it is known."""
    cycle: Any = getattr(sys.modules.get(MODULE), "RequestResponseCycle", None)
    return kind is cycle and function is cycle.send and steps_of_uvicorn() in KNOWN


class UvicornWriter:
    """Writes answers to uvicorn's connections.

    Cost: under two microseconds, and the system call.
    """

    __slots__ = ("_defaults", "_function", "_kind", "_known", "_starts")

    def __init__(self) -> None:
        self._defaults: list[Header] | None = None
        self._starts: dict[int, bytes] = {}
        self._kind: Any = None
        self._function: Any = None
        self._known = False

    def request_of(self, send: Send) -> Any:
        """uvicorn's record of the request that ``send`` answers, if all of an answer can be written now; else None."""
        if type(send) is not MethodType:
            return None
        cycle: Any = send.__self__
        kind: Any = type(cycle)
        if kind is not self._kind or send.__func__ is not self._function:
            self._kind, self._function = kind, send.__func__
            self._known = _is_known(kind, send.__func__)
        if not self._known:
            return None
        if cycle.response_started or cycle.disconnected or cycle.flow.write_paused or cycle.scope["method"] == "HEAD":
            return None
        return cycle

    def write(self, cycle: Any, status: int, fields: Sequence[bytes], body: bytes) -> bool:
        """Answer a request that ``request_of`` gave just now; False if that is uvicorn's to do, and nothing was sent.

        Args:
            status: 200 to 599.
            fields: pieces of lines ready to be sent, without those of a connection; with the length of ``body``, unless
                the status has none.
        """
        defaults = cycle.default_headers
        start = (self._starts.get(status) if defaults is self._defaults else None) or self._start(defaults, status)
        if not start:
            return False
        cycle.response_started = True
        cycle.waiting_for_100_continue = False
        if cycle.access_log:
            _log(cycle, status)
        if status not in (204, 304):
            cycle.chunked_encoding = False  # as the length says; a length of 0 is left to come, as at first
        end = b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n"
        if len(body) <= JOINED:
            cycle.transport.write(b"".join([start, *fields, end, body]))
        else:
            cycle.transport.write(b"".join([start, *fields, end]))
            cycle.transport.write(body)
        cycle.response_complete = True
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()
        return True

    def _start(self, defaults: list[Header], status: int) -> bytes:
        """Status line and uvicorn's own fields, of which it makes a new list each second; b"" if they are not plain."""
        if defaults is not self._defaults:
            self._defaults, self._starts = defaults, {}
        start = self._starts.get(status)
        if start is None:
            start = self._starts[status] = _made(defaults, status)
        return start


def _made(defaults: list[Header], status: int) -> bytes:
    names = {name.lower() for name, _ in defaults}
    lines = field_lines(defaults)
    if lines is None or b"content-length" in names or not OF_A_CONNECTION.isdisjoint(names):
        return b""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return b"HTTP/1.1 %d %b\r\n%b" % (status, phrase.encode("ascii"), lines)


def _log(cycle: Any, status: int) -> None:
    """A line in uvicorn's access log, as uvicorn writes it."""
    uvicorn, scope = sys.modules[MODULE], cycle.scope
    cycle.access_logger.info(
        '%s - "%s %s HTTP/%s" %d',
        uvicorn.get_client_addr(scope),
        scope["method"],
        uvicorn.get_path_with_query_string(scope),
        scope["http_version"],
        status,
    )
