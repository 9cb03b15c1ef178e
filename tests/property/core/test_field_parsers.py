"""What is read from fields, settings and what others have kept: anything at all, and never a crash.

Others have tests of their own: lists, cookies, dates, ranges and validators beside stored responses, cursors, entries,
tokens of writers and addresses of stores, event streams, the URLs of strangers, and whole responses of origins.
"""

from __future__ import annotations

import json
import math
from ipaddress import ip_network
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from tailrace.asgi.client_address import ClientAddresses, parse_networks
from tailrace.asgi.trace import MAX_TRACESTATE, begin_trace, parse_traceparent
from tailrace.core.byte_ranges import content_range, parse_content_range
from tailrace.core.cache_control import MAX_DELTA, CacheControl, parse_cache_control, parse_targeted
from tailrace.core.gcra import Rate, parse_rate
from tailrace.core.no_vary_search import parse_no_vary_search
from tailrace.core.retry_after import LONGEST_RETRY_AFTER, parse_retry_after
from tailrace.jobs.arguments import decode
from tailrace.upstream.public_address import parse_networks as parse_outbound_networks

PIECES = [
    *("max-age", "s-maxage", "no-store", "private", "params", "except", "key-order", "set-cookie", "bytes", "for="),
    *("=", ",", ";", '"', "\\", "(", ")", " ", "\t", "-", "/", "*", "?0", "?1", "1", "-1", "0.5", "9" * 20, "9" * 5000),
    *("192.0.2.1", ":80", "%eth0", "::ffff:10.0.0.1", "2001:db8::1", "[::1]", "unix", "/33", "00-", "a" * 32),
    *("Thu, 01 Jan 1970", "00:00:00", "GMT", "+9999", "-0000", "@1659578233", ":YWJj:", "second", "minute", "days"),
    *("é", "\x00", "\n"),
]
FIELDS = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=12).map(lambda pieces: "".join(pieces).encode("latin-1")),
    st.binary(max_size=60),
)
TEXTS = FIELDS.map(lambda value: value.decode("latin-1")) | st.text(max_size=40)


def _is_reckonable(found: CacheControl) -> bool:
    """Whether every number of seconds is one that can be added to a moment."""
    times = (found.max_age, found.s_maxage, found.min_fresh, found.stale_while_revalidate, found.stale_if_error)
    return all(seconds is None or 0 <= seconds <= MAX_DELTA for seconds in times)


@given(st.lists(FIELDS, max_size=3))
@example([b"max-age=" + b"9" * 8000])
@example([b'private="' + b"\\" * 99])
def test_cache_control(values: list[bytes]) -> None:
    """Directives are read from anything, one line or several, and what is written of them reads the same."""
    found = parse_cache_control(values)
    assert _is_reckonable(found)
    assert parse_cache_control(b",".join(values)) == found
    assert parse_cache_control(str(found).encode("latin-1")) == found


@given(FIELDS)
def test_structured_fields(value: bytes) -> None:
    """Targeted directives and what queries may differ in: something that can be used, or nothing."""
    targeted = parse_targeted(value)
    assert targeted is None or _is_reckonable(targeted)
    variation = parse_no_vary_search(value)
    if variation is not None:
        variation.normal("a=1&b=%ff&a=&&=c")
        assert parse_no_vary_search(str(variation).encode("latin-1")) == variation


@given(FIELDS)
@example(b"bytes 0-1/" + b"9" * 5000)
def test_content_range(value: bytes) -> None:
    """Bytes of a whole that has them, or nothing."""
    found = parse_content_range(value)
    if found is not None:
        span, length = found
        assert 0 <= span[0] <= span[1] < length
        assert parse_content_range(content_range(span, length)) == found


@given(TEXTS | st.none(), st.floats(0, 1e10))
@example("9" * 18, 0.0)
@example("Thu, 01 Jan 0001 00:00:00 +9999", 0.0)
@example("Fri, 31 Dec 9999 23:59:59 -9999", 0.0)
def test_retry_after(value: str | None, now: float) -> None:
    """Seconds that somebody can wait, or nothing."""
    found = parse_retry_after(value, now)
    assert found is None or 0 <= found <= LONGEST_RETRY_AFTER


@given(FIELDS, FIELDS)
@example(b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01", b"a=\xff\r\n")
def test_traces(traceparent: bytes, tracestate: bytes) -> None:
    """Every request has a trace, whose fields can be sent on: of one line, and the parent's if that is one."""
    trace = begin_trace(traceparent, tracestate, lambda size: b"\x01" * size)
    assert parse_traceparent(trace.traceparent.encode()) == (trace.trace_id, trace.span_id, trace.sampled)
    assert trace.state.isprintable()
    assert len(trace.state) <= MAX_TRACESTATE
    parent = parse_traceparent(traceparent)
    assert (trace.parent_id is None) if parent is None else (trace.trace_id, trace.parent_id) == parent[:2]


@given(
    FIELDS | st.binary(max_size=3000), st.sampled_from(["x-forwarded-for", "forwarded"]), TEXTS | st.just("10.0.0.1")
)
def test_addresses_of_clients(value: bytes, field: Any, peer: str) -> None:
    """An address or a word for none, whatever proxies and clients wrote and whoever is connected."""
    addresses = ClientAddresses("10.0.0.0/8, ::1, unix", field)
    for client in ((peer, 1), None):
        found = addresses.of({"client": client}, {field.encode(): value})
        assert found == "unknown" or ip_network(found).with_prefixlen in (found, f"{found}/32")


@given(TEXTS)
@example("1/0s")
@example("999999999/999999 days")
def test_settings(text: str) -> None:
    """Rates and networks are read or refused in one way, so that all mistakes can be told at once."""
    for read in (parse_rate, parse_networks, parse_outbound_networks):
        try:
            found = read(text)
        except ValueError:
            continue
        if isinstance(found, Rate):
            assert found.interval > 0
            assert math.isfinite(found.burst)


@given(st.binary(max_size=60) | st.recursive(st.none(), st.lists).map(lambda value: json.dumps(value).encode()))
@example(b"[" * 60_000)
@example(b'{"a":' * 10_000)
@example(b'{"a": NaN}')
def test_arguments_of_jobs(payload: bytes) -> None:
    """What lies in the table is a job's arguments or a mistake that is told."""
    try:
        found = decode(payload)
    except ValueError:
        return
    assert isinstance(found, dict)
