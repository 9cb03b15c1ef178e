"""Answers written at once beside uvicorn's own ``send``, and header lines beside its checks."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from tests.unit.asgi.driver import http_scope
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HEADER_RE, HEADER_VALUE_RE, RequestResponseCycle

from tailrace.asgi.headers import field_lines
from tailrace.asgi.stored_response import StoredHead, decode_head, encode_response, head_length
from tailrace.asgi.types import Header
from tailrace.asgi.uvicorn_writer import JOINED, UvicornWriter

PLAIN_NAMES = [b"x-a", b"Cache-Control", b"Date"]
names = st.one_of(st.sampled_from([*PLAIN_NAMES, b"connection", b"x:y", b""]), st.binary(max_size=3))
values = st.one_of(st.sampled_from([b"", b"v", b"a b\tc", b"\xe4", b"a\r\nb: c", b"close"]), st.binary(max_size=3))
fields = st.lists(st.tuples(names, values), max_size=4)
defaults = st.one_of(
    st.just([(b"date", b"Mon, 23 Nov 2026 12:00:00 GMT"), (b"server", b"uvicorn")]),
    st.lists(
        st.tuples(
            st.sampled_from([b"x-own", b"Connection", b"content-length", b"transfer-encoding"]),
            st.sampled_from([b"v", b"close", b"chunked", b"3", b"a\nb"]),
        ),
        max_size=2,
    ),
)


class Connection:
    """In place of a transport: keeps what is done to it, in order."""

    def __init__(self) -> None:
        self.done: list[Any] = []

    def write(self, data: bytes) -> None:
        if self.done and isinstance(self.done[-1], bytes):
            self.done[-1] += data  # how it is cut makes no difference to who reads
        else:
            self.done.append(data)

    def close(self) -> None:
        self.done.append("closed")


class Log(logging.Handler):
    def __init__(self, done: list[Any]) -> None:
        super().__init__()
        self.emit = lambda record: done.append(record.getMessage())  # type: ignore[method-assign]


def request(asked: dict[str, Any], default_headers: list[Header]) -> tuple[Any, list[Any]]:
    """uvicorn's record of a request, and what is done on its account."""
    connection: Any = Connection()
    logger = logging.Logger("access")
    logger.addHandler(Log(connection.done))
    scope: Any = http_scope("/a b", query_string=b"c=%20", method=asked["method"], http_version=asked["version"])
    cycle = RequestResponseCycle(
        scope=scope,
        transport=connection,
        flow=FlowControl(connection),
        logger=logger,
        access_logger=logger,
        access_log=asked["log"],
        default_headers=default_headers,
        message_event=asyncio.Event(),
        expect_100_continue=asked["expects"],
        keep_alive=asked["keeps"],
        on_response=lambda: connection.done.append("answered"),
    )
    cycle.disconnected = asked["gone"]
    cycle.response_started = asked["started"]
    cycle.flow.write_paused = asked["full"]
    return cycle, connection.done


def state(cycle: Any) -> dict[str, Any]:
    parts = {name: value for name, value in vars(cycle).items() if isinstance(value, (bool, int, bytes, type(None)))}
    return parts | {"told": cycle.message_event.is_set(), "body": bytes(cycle.body)}


def stored(status: int, headers: list[Header], body: bytes) -> StoredHead | None:
    data = encode_response(status, headers, body, never_stale=False)
    assert data is not None
    size = head_length(data)
    assert size is not None
    return decode_head(data[:size], len(body))


def may_be_written(asked: dict[str, Any]) -> bool:
    return asked["method"] != "HEAD" and not (asked["gone"] or asked["started"] or asked["full"])


def are_plain(headers: list[Header], known: list[bytes]) -> bool:
    return all(name in known and not HEADER_VALUE_RE.search(value) for name, value in headers)


PLAIN = {
    "method": "GET",
    "version": "1.1",
    "log": True,
    "expects": False,
    "keeps": True,
    "gone": False,
    "started": False,
    "full": False,
}
rarely = st.sampled_from([False] * 7 + [True])
requests = st.fixed_dictionaries(
    {
        "method": st.sampled_from(["GET", "GET", "GET", "POST", "HEAD"]),
        "version": st.sampled_from(["1.0", "1.1"]),
        "log": st.booleans(),
        "expects": st.booleans(),
        "keeps": st.booleans(),
        "gone": rarely,
        "started": rarely,
        "full": rarely,
    }
)


@given(
    requests,
    defaults,
    fields,
    st.sampled_from([200, 200, 204, 304, 404, 299, 599]),
    st.sampled_from([b"", b"body", b"x" * (JOINED + 1)]),
    st.sampled_from([0, 304]),
)
@example(PLAIN, [], [(b"x", b"y")], 200, b"body", 0)
@example(PLAIN, [(b"connection", b"close")], [], 200, b"body", 0)
@example(PLAIN, [], [(b"x", b"a\r\nb: c")], 200, b"body", 0)
@example(PLAIN, [], [], 204, b"body", 0)
async def test_written_at_once_as_it_would_be_sent(
    asked: dict[str, Any], default_headers: list[Header], headers: list[Header], status: int, body: bytes, instead: int
) -> None:
    """Whatever is stored, and however it is asked: an answer that is written past uvicorn's ``send`` gives the same
    bytes, lines in the log, end of the connection and state as one that is sent; else nothing at all is done."""
    head = stored(status, headers, body)
    assert head is not None
    if instead and status < 300:
        status, body = instead, b""
    (sent, done), (written, done_at_once) = (request(asked, default_headers) for _ in range(2))
    before, writer, lines = state(written), UvicornWriter(), head.lines(status)
    found = writer.request_of(written.send)
    assert (found is None) is not may_be_written(asked)
    if found is None or not lines or not writer.write(found, status, [lines], body):
        assert (state(written), done_at_once) == (before, [])
        assert not (
            may_be_written(asked)
            and are_plain(headers, PLAIN_NAMES)
            and are_plain(default_headers, [b"x-own"])
            and not (body and status in (204, 304))
        )
        return
    own = head.headers if status == head.status else head.not_modified
    await sent.send({"type": "http.response.start", "status": status, "headers": own})
    await sent.send({"type": "http.response.body", "body": body})
    assert done_at_once == done
    assert state(written) == state(sent)


@given(fields)
def test_lines_are_never_what_uvicorn_would_refuse(headers: list[Header]) -> None:
    """A field that could end its line, or that uvicorn would refuse to send, is in no lines written past it."""
    lines = field_lines(headers)
    if lines is None:
        return
    assert not any(HEADER_RE.search(name) or HEADER_VALUE_RE.search(value) for name, value in headers)
    assert lines.count(b"\n") == len(headers)


def test_only_uvicorns_own_requests_are_written() -> None:
    """What merely looks like uvicorn's, inherits from it, or wraps its ``send``, is sent to in the ordinary way."""

    class Other(RequestResponseCycle):
        pass

    class Overriding(RequestResponseCycle):
        async def send(self, message: Any) -> None:
            await super().send(message)

    writer = UvicornWriter()
    cycle, _ = request(PLAIN, [])
    assert writer.request_of(cycle.send) is cycle

    async def wrapped(message: Any) -> None:
        await cycle.send(message)

    assert writer.request_of(wrapped) is None
    for kind in (Other, Overriding):
        other = kind.__new__(kind)
        vars(other).update(vars(cycle))
        assert writer.request_of(other.send) is None
    assert writer.request_of(SimpleNamespace(send=wrapped).send) is None
