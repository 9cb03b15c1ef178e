"""``search_calls``, by both implementations: the same pages, whatever is asked and whoever writes meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from itertools import cycle, product
from typing import Any

import pytest
from tests.services.call_coach.endpoints.conftest import ANCHOR, Service, StartService

from tailrace.core.cursor import Cursors
from tailrace_services.call_coach.optimised import search_statements
from tailrace_services.call_coach.tools.search_calls import RANKED, SORTS, TOTALS

SECRET = "the same secret in both implementations"
REP = "rep0001@tailrace.example"
MONTH = {
    "scheduled_from": (ANCHOR - timedelta(days=60)).isoformat(),
    "scheduled_until": (ANCHOR - timedelta(days=30)).isoformat(),
}
WEEK_END = "2026-03-26T00:00:00Z"
"""The end of a week as they are counted from 1970."""
FILTERS: list[dict[str, Any]] = [
    {},
    {"product": "Atlas Routing"},
    {"product": "nothing of ours"},
    {"call_type": "demo"},
    {"reps": [REP]},
    {"reps": [REP, "rep0003@tailrace.example", "nobody@tailrace.example"]},
    MONTH,
    {"min_score": 55, "max_score": 70.5},
    {"max_score": 40},
    {"text": "discount"},
    {"text": "prices"},
    {"text": '"as a next step"'},
    {"text": "waypoint OR regression"},
    {"text": "migration -discount"},
    {"text": "xyzzy"},
    {"topics": ["security documents", "discount"]},
    {"text": "team", "topics": ["next step"], "product": "Pulse Monitoring", "min_score": 30},
    {"text": "contract", "reps": [REP], **MONTH},
    {"text": "discount", **MONTH},
    {
        "text": "discount",
        "product": "Atlas Routing",
        "scheduled_from": "1931-01-01T00:00Z",
        "scheduled_until": WEEK_END,
    },
]
"""Everything that can restrict, alone and together."""


@pytest.fixture
async def both(start_service: StartService) -> AsyncIterator[tuple[Service, Service]]:
    """Both implementations, whose cursors are signed alike."""
    async with AsyncExitStack() as stack:
        slow = await stack.enter_async_context(start_service("baseline", cursors=Cursors([SECRET.encode()])))
        fast = await stack.enter_async_context(
            start_service("optimised", http={"cursor_secrets": [SECRET]}, rate_limit={"enabled": False})
        )
        yield slow, fast


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few calls would all be walked; with fewer steps others are looked up, after a probe or after all steps."""
    monkeypatch.setattr(search_statements, "STEPS", 40)
    monkeypatch.setattr(search_statements, "STEPS_PER_ROW", 1)


async def same(both: tuple[Service, Service], **question: Any) -> dict[str, Any]:
    """What both answer, which has to be the same to the byte."""
    slow, fast = [await service.ask("search_calls", **question) for service in both]
    assert fast.status_code == slow.status_code == 200, (question, slow.text, fast.text)
    assert fast.content == slow.content, question
    data: dict[str, Any] = fast.json()["data"]
    return data


async def test_every_filter_in_every_order(both: tuple[Service, Service]) -> None:
    """Each filter gives the same page in several orders, and every order comes with words and without."""
    orders = cycle(SORTS)
    found = 0
    for filters, _ in product(FILTERS, range(2)):
        looks = "text" in filters or "topics" in filters
        sort = next(order for order in orders if looks or order != "relevance")
        found += len((await same(both, **filters, sort=sort, limit=4))["items"])
    assert found > 80


async def test_searches_that_differ_in_values_only_are_told_apart(both: tuple[Service, Service]) -> None:
    """One after the other, each is answered by its own words, bounds and places, whichever came first."""
    questions: list[dict[str, Any]] = [
        {"text": "discount", "max_score": 60, "limit": 2},
        {"text": "budget", "max_score": 80, "limit": 3},
        {"text": "thank", "max_score": 99, "limit": 4},
    ]
    for sort in ("-score", "relevance", "-scheduled_at"):
        pages = [await same(both, **question, sort=sort, total="capped") for question in questions]
        assert len({str(page["items"]) for page in pages}) == len(pages)
        for question, page in zip(questions, pages, strict=True):
            if page["has_next"]:
                following = await same(both, **question, sort=sort, cursor=page["next_cursor"])
                assert following["items"] != page["items"]
        assert any(page["has_next"] for page in pages)


async def test_pages_by_cursor_have_every_call_once(both: tuple[Service, Service]) -> None:
    """Followed to the end, an order shows each call once, NULLs last; walked back, the pages are the same."""
    for service in both:
        await service.sql("UPDATE calls SET product = NULL WHERE id % 9 = 0")
    (everything,) = await both[1].sql("SELECT array_agg(call_id) AS ids FROM call_search")
    for sort in ("-score", "score", "product", "-product", "-title", "relevance"):
        question = {"sort": sort, "limit": 50, **({"text": "thank OR time"} if sort == "relevance" else {})}
        walked = [await same(both, **question)]
        while walked[-1]["has_next"]:
            walked.append(await same(both, **question, cursor=walked[-1]["next_cursor"]))
        items = [item for page in walked for item in page["items"]]
        ids = [item["call_id"] for item in items]
        assert len(set(ids)) == len(ids)
        if sort == "relevance":
            values = [item["relevance"] for item in items]
            assert values == sorted(values, reverse=True)
            continue
        assert set(ids) == set(everything["ids"])
        back = await same(both, **question, cursor=walked[-1]["previous_cursor"])
        assert back["items"] == walked[-2]["items"]
        field = {"duration": "duration_seconds"}.get(sort.removeprefix("-"), sort.removeprefix("-"))
        values = [item[field] for item in items]
        known = [value for value in values if value is not None]
        assert values == sorted(known, reverse=sort.startswith("-")) + [None] * (len(values) - len(known))
        assert len(known) < len(values) or field not in ("product", "score")


async def test_offsets_and_totals(both: tuple[Service, Service]) -> None:
    """A page by offset is the one that a cursor leads to; a total says what it is."""
    question = {"text": "discount", "sort": "title", "limit": 5}
    first = await same(both, **question)
    assert (await same(both, **question, offset=5))["items"] == (
        await same(both, **question, cursor=first["next_cursor"])
    )["items"]
    totals = {kind: await same(both, **question, total=kind) for kind in TOTALS}
    (counted,) = await both[1].sql(
        "SELECT count(*) AS calls FROM call_search WHERE document @@ websearch_to_tsquery('english', 'discount')"
    )
    assert {kind: (page["total"], page["total_is"]) for kind, page in totals.items()} == {
        "none": (None, "unknown"),
        **dict.fromkeys(("exact", "capped", "estimated"), (counted["calls"], "exact")),
    }


async def test_exact_totals_of_products_types_and_times(both: tuple[Service, Service]) -> None:
    """Put together from days, and from calls where a time begins or ends within one, they are what there is."""
    (newest,) = await both[1].sql("SELECT max(scheduled_at) AS at FROM calls")
    last, noon = newest["at"], ANCHOR - timedelta(days=40)
    midnight = noon.replace(hour=0)
    times: list[dict[str, Any]] = [
        {},
        {"scheduled_from": noon},
        {"scheduled_until": noon},
        {"scheduled_from": midnight},
        {"scheduled_from": midnight, "scheduled_until": midnight + timedelta(days=30)},
        {"scheduled_from": noon, "scheduled_until": noon + timedelta(days=30, hours=3)},
        {"scheduled_from": last - timedelta(hours=1), "scheduled_until": last + timedelta(seconds=1)},
        {"scheduled_from": last, "scheduled_until": last + timedelta(days=1)},
        {"scheduled_from": midnight - timedelta(hours=20), "scheduled_until": midnight + timedelta(hours=20)},
        {"scheduled_from": datetime.max.replace(tzinfo=UTC)},
    ]
    others: list[dict[str, Any]] = [{}, {"product": "Atlas Routing"}, {"call_type": "demo"}]
    others.append({"product": "Atlas Routing", "call_type": "demo"})
    write = "UPDATE calls SET product = NULL, scheduled_at = scheduled_at - interval '5 days' WHERE id % 9 = 0"
    counted = set()
    for statement in ("SELECT 1", write):
        for service in both:
            await service.sql(statement)
        for time, other in product(times, others):
            asked = other | {name: at.isoformat() for name, at in time.items()}
            counted.add((await same(both, **asked, total="exact", limit=1))["total"])
    assert len(counted) > 12


async def test_a_search_by_relevance_counts_what_it_ranks(both: tuple[Service, Service]) -> None:
    """No more than the newest calls that fit, where more do; in another order all of them are counted."""
    for service in both:
        await service.sql(
            "WITH added AS (INSERT INTO calls (title, scheduled_at, duration_seconds) SELECT 'new', '2026-03-01Z', 60 "
            f"FROM generate_series(1, {RANKED + 5}) RETURNING id), spoke AS (INSERT INTO speakers (call_id, name, "
            "company_side) SELECT id, 'A', 'rep' FROM added RETURNING id, call_id) INSERT INTO transcripts (call_id, "
            "speaker_id, sequence_number, start_ms, end_ms, text) SELECT call_id, id, 1, 0, 1000, 'quokka' FROM spoke"
        )
    for kind in ("exact", "capped", "estimated"):
        ranked = await same(both, text="quokka", sort="relevance", total=kind)
        assert (ranked["total"], ranked["total_is"]) == (RANKED, "exact")
        counted = await same(both, text="quokka", total=kind)
        assert (counted["total"], counted["total_is"]) == (RANKED + 5, "exact")


async def test_moments_show_what_was_looked_for(service: Service) -> None:
    """Each is a turn of the call, the best first, with the words marked and everything else escaped."""
    await service.sql(
        "UPDATE transcripts SET text = 'If 2 < 3 & <b>zeppelin</b> is no zeppelin' "
        "WHERE call_id = 9 AND sequence_number = 3"
    )
    await service.sql(
        "UPDATE transcripts SET text = 'One Zeppelin, or two balloons' WHERE call_id = 9 AND sequence_number = 2"
    )
    data = (await service.ask("search_calls", text="zeppelins balloon")).json()["data"]
    (call,) = data["items"]
    assert call["call_id"] == 9
    assert [moment["sequence_number"] for moment in call["moments"]] == [2, 3]
    assert call["moments"][0]["snippet"] == "One <mark>Zeppelin</mark>, or two <mark>balloons</mark>"
    second = " ".join(call["moments"][1]["snippet"].split())
    assert second == "If 2 &lt; 3 &amp; <mark>zeppelin</mark> is no <mark>zeppelin</mark>"
    (turn,) = await service.sql(
        "SELECT start_ms, end_ms, s.name AS speaker FROM transcripts t JOIN speakers s ON s.id = speaker_id "
        "WHERE t.call_id = 9 AND sequence_number = 2"
    )
    assert {name: call["moments"][0][name] for name in ("start_ms", "end_ms", "speaker")} == dict(turn)
    assert call["relevance"] > 0
    assert (await service.ask("search_calls", limit=1)).json()["data"]["items"][0]["moments"] == []


WRITES = (
    "INSERT INTO coaching_sessions (call_id, rep_id, dimension, score, rubric_version) "
    "VALUES (7, 1, 'discovery', 3, 'x')",
    "UPDATE coaching_sessions SET score = 99 WHERE call_id % 3 = 0",
    "DELETE FROM coaching_sessions WHERE call_id < 40",
    "UPDATE calls SET product = NULL, title = 'Zzz', scheduled_at = scheduled_at + interval '3 days' WHERE id % 7 = 0",
    "UPDATE transcripts SET text = 'nothing but discount' WHERE call_id % 5 = 0",
    "DELETE FROM transcripts WHERE call_id % 11 = 0",
    "UPDATE speakers SET email = 'rep0001@tailrace.example' WHERE company_side = 'rep' AND call_id % 13 = 0",
    "DELETE FROM calls WHERE id % 17 = 0",
    "INSERT INTO calls (id, title, call_type, scheduled_at, duration_seconds) "
    "VALUES (100000, 'Late', 'other', '2026-03-30 10:00Z', 12.5)",
    "WITH s AS (INSERT INTO speakers (call_id, name, email, company_side) VALUES (100000, 'R', 'r@x', 'rep') "
    "RETURNING id) "
    "INSERT INTO transcripts (call_id, speaker_id, sequence_number, start_ms, end_ms, text) "
    "SELECT 100000, id, 1, 0, 9, 'a large discount' FROM s",
    "TRUNCATE coaching_sessions",
    "TRUNCATE transcripts",
)  # fmt: skip
"""Whatever may happen to the rows, by plain SQL."""


async def test_writes_show_at_once(both: tuple[Service, Service]) -> None:
    """After each write, by whomever, both answer alike and as the rows are now."""
    for statement in WRITES:
        for service in both:
            await service.sql(statement)
        await same(both, reps=[REP, "r@x"], sort="-score", total="exact", limit=50)
        await same(both, text="discount", total="exact", limit=4)


@pytest.mark.parametrize(
    ("question", "status", "code"),
    [
        ({"offset": 1001}, 400, "page_too_deep"),
        ({"cursor": "AQB0" * 20}, 400, "invalid_cursor"),
        ({"text": "the and of"}, 422, "nothing_to_look_for"),
        ({"text": "-discount"}, 422, "nothing_to_look_for"),
        ({"text": "discount", "topics": ["of the"]}, 422, "nothing_to_look_for"),
        ({"sort": "relevance"}, 422, None),
        ({"min_score": 70, "max_score": 60}, 422, None),
        ({"scheduled_from": "2026-02-01T00:00:00Z", "scheduled_until": "2026-01-01T00:00:00Z"}, 422, None),
        ({"scheduled_from": "2026-02-01T00:00:00"}, 422, None),
        ({"scheduled_from": "0001-01-01T00:00:00+14:00"}, 422, None),
        ({"scheduled_until": "9999-12-31T23:59:59-14:00"}, 422, None),
        ({"text": "a\0b"}, 422, None),
        ({"sort": "title; DROP TABLE calls"}, 422, None),
        ({"limit": 51}, 422, None),
        ({"limti": 5}, 422, None),
    ],
)
async def test_what_cannot_be_answered_is_refused(
    service: Service, question: dict[str, Any], status: int, code: str | None
) -> None:
    """The client is told what is wrong; a page too deep names the cursor."""
    reply = await service.ask("search_calls", **question)
    assert reply.status_code == status, reply.text
    body = reply.json()
    assert code is None or body["error"] == code
    assert code != "page_too_deep" or "next_cursor" in body["message"]


async def test_a_cursor_is_good_for_its_own_search_only(service: Service) -> None:
    """Another filter or order refuses it, as if it were forged."""
    cursor = (await service.ask("search_calls", product="Atlas Routing", limit=2)).json()["data"]["next_cursor"]
    assert (await service.ask("search_calls", product="Atlas Routing", limit=3, cursor=cursor)).status_code == 200
    for other in ({"product": "Pulse Monitoring"}, {"product": "Atlas Routing", "sort": "title"}, {}):
        reply = await service.ask("search_calls", **other, cursor=cursor)
        assert (reply.status_code, reply.json()["error"]) == (400, "invalid_cursor")


@pytest.mark.parametrize(
    "text",
    [
        "'",
        "\\",
        "it's \\'x\\' & | ! <-> (",
        "a:* 'b",
        "naïve café 東京 🙂 discount",
        "www.example.com/a'b\\c?d=e",
        '"',
        "(((",
    ],
)
async def test_whatever_is_typed_is_words(both: tuple[Service, Service], text: str) -> None:
    """Signs that mean something to PostgreSQL mean nothing to a search, and break nothing."""
    slow, fast = [await service.ask("search_calls", text=text) for service in both]
    assert fast.status_code == slow.status_code
    assert fast.status_code in (200, 422)
    if fast.status_code == 200:
        assert fast.content == slow.content
