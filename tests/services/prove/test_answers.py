"""Differences between answers are found wherever they are, and nothing else is called one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tailrace.verify.http1 import Response
from tailrace_services.prove.answers import cache_outcome, compare_responses, differences, explain

ANSWER = {
    "kpis": {"totalLeads": 3, "conversionRate": None},
    "recentActivity": [{"callId": 1, "agentName": "A"}, {"callId": 2, "agentName": "B"}],
    "partial": False,
    "cacheInfo": {"status": "hit", "age": 1.5},
    "calculatedAt": "2026-01-01T00:00:00Z",
}


def response(body: Any, status: int = 200, *headers: str) -> Response:
    return Response(status, "\r\n".join(["HTTP/1.1 200 OK", *headers]).encode(), json.dumps(body).encode())


def changed(path: list[Any], value: Any) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(ANSWER))
    place: Any = copy
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return copy


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        (["kpis", "totalLeads"], 4, "kpis.totalLeads"),
        (["kpis", "conversionRate"], 0, "kpis.conversionRate"),
        (["recentActivity", 1, "agentName"], "C", "recentActivity[1].agentName"),
        (["recentActivity"], [{"callId": 1, "agentName": "A"}], "recentActivity[1]"),
        (["partial"], 0, "partial"),
        (["more"], 1, "more"),
        (["kpis"], {"totalLeads": 3}, "kpis.conversionRate"),
    ],
)
def test_a_planted_difference_is_found(path: list[Any], value: Any, where: str) -> None:
    """A value changed, lost, added, or of another type, at any depth."""
    found = list(differences(ANSWER, changed(path, value)))
    assert [difference.path for difference in found] == [where]
    assert where in explain(found)


def test_only_the_moment_of_answering_may_differ() -> None:
    """cacheInfo and calculatedAt are when and whence; 1 and 1.0 are one number; the order of names is nothing."""
    other = changed(["cacheInfo"], {"status": "miss"})
    other["calculatedAt"] = "2027-01-01T00:00:00Z"
    other["kpis"]["totalLeads"] = 3.0
    assert compare_responses(response(ANSWER), response(dict(reversed(other.items())))) == []


def test_another_order_of_rows_is_a_difference() -> None:
    """The newest first is part of the answer."""
    other = changed(["recentActivity"], list(reversed(ANSWER["recentActivity"])))  # type: ignore[call-overload]
    assert len(compare_responses(response(ANSWER), response(other))) == 4


def test_status_and_bodies_that_are_no_json_are_compared() -> None:
    """An error beside an answer differs, and so do two texts."""
    (status,) = compare_responses(response(ANSWER), response(ANSWER, 503))
    assert status.path == "(status)"
    broken = Response(200, b"HTTP/1.1 200 OK", b"<html>")
    assert compare_responses(response(ANSWER), broken)[0].path == "(body)"
    assert compare_responses(broken, broken) == []


@pytest.mark.parametrize(
    ("value", "outcome"),
    [
        ("tailrace; hit; ttl=42", "hit"),
        ("tailrace; fwd=uri-miss; stored", "uri-miss"),
        ("tailrace; fwd=uri-miss; collapsed", "collapsed"),
        ("origin; hit, tailrace; fwd=stale", "stale"),
        ("tailrace", "unknown"),
    ],
)
def test_cache_status_is_read(value: str, outcome: str) -> None:
    """RFC 9211: the last member is the cache nearest to the client."""
    assert cache_outcome(response({}, 200, f"Cache-Status: {value}")) == outcome
    assert cache_outcome(response({})) is None


def test_an_answer_may_say_itself_whence_it_came() -> None:
    """Without Cache-Status, cacheInfo tells."""
    body = b'{"kpis":{},"cacheInfo":{"status":"miss","age":0.0}}'
    assert cache_outcome(Response(200, b"HTTP/1.1 200 OK", body)) == "miss"


@pytest.mark.parametrize(
    ("timing", "outcome"),
    [
        (b"cache;dur=0.1, total;dur=0.4", "hit"),
        (b"pool;dur=0.1, db;dur=3.0, total;dur=4.0", "computed"),
        (b"cache;dur=0.1, db;dur=3.0, total;dur=4.0", "computed"),
        (b"cache;dur=0.1, upstream;dur=200.0, total;dur=201.0", "computed"),
    ],
)
def test_time_spent_tells_whence_an_answer_came(timing: bytes, outcome: str) -> None:
    """With nothing else to tell, a hit is what took time in the cache and none in the database or elsewhere."""
    head = b"HTTP/1.1 200 OK\r\nserver-timing: " + timing
    assert cache_outcome(Response(200, head, b"{}")) == outcome
