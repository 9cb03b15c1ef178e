"""Signals and their summaries by day, of both implementations."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any, get_args

import pytest
from tests.services.trading_desk.endpoints.conftest import NOW, Service

from tailrace_services.trading_desk import model
from tailrace_services.trading_desk.api import signals as api

QUOTE = {
    "time": "2026-03-31T12:00:00.123456Z",
    "asset": "XAUUSD",
    "signal_type": "quote",
    "channel": "oanda",
    "bid": "2650.125",
    "ask": 2650.25,
}
BUY = {
    "time": "2026-03-31T14:01:00+02:00",
    "asset": "PLATINUM",
    "signal_type": "buy",
    "channel": "gold room",
    "price": "990.50",
    "stop_loss": "0.00000001",
    "take_profit": "1010.00000001",
    "raw_message": 'BUY\tPLATINUM\n@ 990.50, "now" \\N',
}
HELD = "SELECT count(*), max(id) FROM signals"


async def post(service: Service, signals: Sequence[Any], **more: Any) -> Any:
    """Send signals."""
    return await service.ask("POST", "/api/signals", body={"signals": signals}, **more)


async def test_what_is_sent_is_shown(service: Service) -> None:
    """Each field as it was sent, prices to the last digit; a quote's price is the middle of it."""
    answer = await post(service, [QUOTE, BUY])
    assert (answer.status_code, answer.json()) == (201, {"stored": 2})
    buy, quote = (await service.get("/api/signals", limit=2)).json()["items"]
    absent = {"bid": None, "ask": None}
    assert buy == {**BUY, **absent, "id": buy["id"], "time": "2026-03-31T12:01:00Z"}
    none = dict.fromkeys(("stop_loss", "take_profit", "raw_message"))
    assert quote == {**QUOTE, **none, "id": buy["id"] - 1, "ask": "2650.25", "price": "2650.1875"}


FILTERS: list[dict[str, Any]] = [
    {},
    {"asset": "XAUUSD"},
    {"asset": "nothing"},
    {"channel": "oanda"},
    {"signal_type": "buy"},
    {"asset": "EURUSD", "channel": "desk chat"},
    {"asset": "XAUUSD", "channel": "oanda", "signal_type": "quote"},
    {"since": "2026-03-30T00:00:00Z"},
    {"before": "2026-03-20T02:00:00+02:00", "asset": "XAUUSD"},
    {"since": "2026-03-10T00:00:00Z", "before": "2026-03-12T00:00:00Z", "signal_type": "sell"},
    {"since": "0001-01-01T00:00:00Z", "before": "0089-03-12T00:00:00Z"},
    {"before": "0001-01-01T00:00:00Z"},
    {"before": "9999-12-31T23:59:59Z", "asset": "XAUUSD"},
    {"since": "9999-12-31T23:59:59Z"},
]


@pytest.mark.parametrize("sort", ["-time", "time"])
async def test_pages_agree(pair: tuple[Service, Service], sort: str) -> None:
    """Signals, totals, cursors and links, of the first page, the next, and back again."""
    slow, fast = pair
    seen = 0

    async def agreed(**question: Any) -> Any:
        expected, found = await asyncio.gather(
            slow.get("/api/signals", **question), fast.get("/api/signals", **question)
        )
        assert expected.status_code == 200, expected.text
        assert found.json() == expected.json(), question
        assert found.headers["link"] == expected.headers["link"]
        return expected.json()

    for filters in FILTERS:
        question = {**filters, "limit": 9, "sort": sort}
        first = await agreed(**question, total="exact")
        seen += len(first["items"])
        if first["next_cursor"]:
            second = await agreed(**question, cursor=first["next_cursor"])
            assert (await agreed(**question, cursor=second["previous_cursor"]))["items"] == first["items"]
    assert seen > 60


SUMMARIES: list[dict[str, Any]] = [
    {"asset": "XAUUSD"},
    {"asset": "EURUSD", "channel": "oanda"},
    {"asset": "XAUUSD", "signal_type": "quote"},
    {"asset": "WTI", "channel": "desk chat", "signal_type": "buy"},
    {"asset": "XAUUSD", "since": "2026-03-10", "before": "2026-03-20"},
    {"asset": "XAUUSD", "since": "0001-01-01", "before": "9999-12-31"},
    {"asset": "nothing"},
]


async def test_days_agree(pair: tuple[Service, Service]) -> None:
    """The kept summary says what the signals themselves do, before and after others came, late ones too."""
    slow, fast = pair

    async def agreed() -> list[Any]:
        found = []
        for question in SUMMARIES:
            for page in ({}, {"limit": 4}, {"limit": 3, "sort": "day"}):
                expected, shown = await asyncio.gather(
                    slow.get("/api/signals/summary", **question, **page),
                    fast.get("/api/signals/summary", **question, **page),
                )
                assert expected.status_code == 200, expected.text
                assert shown.json() == expected.json(), question
                found += expected.json()["items"]
        return found

    before = await agreed()
    assert len(before) > 60
    late = [{**QUOTE, "time": f"2026-03-{day:02}T00:00:00Z", "ask": "9999"} for day in (9, 11, 31)]
    assert (await post(fast, [*late, *late])).status_code == 201
    assert await agreed() != before


async def test_a_day_s_figures(service: Service) -> None:
    """By the moment of a price, of one moment the extremes; days without signals are left out."""
    prices = {
        "2026-03-02T23:59:59.999999Z": ["7", "5"],
        "2026-03-03T00:00:00Z": ["3", "1", "2"],
        NOW.isoformat(): ["4"],
    }
    sent = [{**BUY, "time": time, "price": price} for time, some in prices.items() for price in some]
    assert (await post(service, list(reversed(sent)))).status_code == 201
    days = (await service.get("/api/signals/summary", asset="PLATINUM")).json()["items"]
    assert [(day["day"], day["signals"]) for day in days] == [("2026-03-31", 1), ("2026-03-03", 3), ("2026-03-02", 2)]
    figures = [[Decimal(day[name]) for name in ("open", "high", "low", "close", "mean")] for day in days]
    assert figures == [[4, 4, 4, 4, 4], [1, 3, 1, 3, 2], [5, 7, 5, 7, 6]]
    second = (await service.get("/api/signals/summary", asset="PLATINUM", limit=1)).json()["next_cursor"]
    page = (await service.get("/api/signals/summary", asset="PLATINUM", limit=1, cursor=second)).json()["items"]
    assert page == days[1:2]


async def test_ten_thousand_at_once(optimised: Service) -> None:
    """As many as a request may bring are stored; one more is none."""
    many = [{**QUOTE, "asset": f"A{number % 7}"} for number in range(api.MOST_SIGNALS)]
    assert (await post(optimised, [*many, QUOTE])).status_code == 422
    ((held, _),) = await optimised.sql(HELD)
    assert (await post(optimised, many)).json() == {"stored": api.MOST_SIGNALS}
    assert (await optimised.sql(HELD))[0][0] == held + api.MOST_SIGNALS


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no moment": ({"time": "soon"}, "time"),
    "no zone": ({"time": "2026-03-31T12:00:00"}, "time"),
    "no asset": ({"asset": " "}, "asset"),
    "not a type": ({"signal_type": "hold"}, "signal_type"),
    "what cannot be kept": ({"channel": "a\x00"}, "channel"),
    "for nothing": ({"bid": "0"}, "bid"),
    "no number": ({"bid": "NaN"}, "bid"),
    "without end": ({"ask": "1e30"}, "ask"),
    "too fine": ({"ask": "2651.123456789"}, "ask"),
    "upside down": ({"bid": "3000"}, "bid must not be above ask"),
    "half a quote": ({"ask": None}, "a quote has bid and ask"),
    "a quote with a price": ({"price": "1"}, "a quote has bid and ask"),
    "advice without": ({"signal_type": "buy"}, "what is no quote has a price"),
    "something else": ({"volume": 1}, "volume"),
    "long ago": ({"time": (NOW - timedelta(days=731)).isoformat()}, "signals.3: its time must lie between"),
    "the future": ({"time": (NOW + timedelta(days=2)).isoformat()}, "signals.3: its time must lie between"),
}


async def test_one_wrong_signal_is_named_and_nothing_stored(service: Service) -> None:
    """The request is refused whole, and says which signal it is for and why."""
    before = await service.sql(HELD)
    for wrong, (changes, reason) in WRONG.items():
        answer = await post(service, [QUOTE, BUY, QUOTE, {**QUOTE, **changes}, BUY])
        assert answer.status_code == 422, (wrong, answer.text)
        problem = answer.json()
        told = [*(".".join(map(str, error["location"])) for error in problem.get("errors", [])), problem["detail"]]
        assert any("signals.3" in each for each in told), wrong
        assert reason in answer.text, wrong
    assert await service.sql(HELD) == before


async def test_all_or_nothing_in_the_database(service: Service) -> None:
    """What the database refuses of one signal is kept of none."""
    await service.sql("ALTER TABLE signals ADD CONSTRAINT refused CHECK (asset <> 'GOLD') NOT VALID")
    before = await service.sql("SELECT count(*) FROM signals")
    answer = await post(service, [QUOTE, {**QUOTE, "asset": "GOLD"}])
    assert answer.status_code in (409, 500)
    assert await service.sql("SELECT count(*) FROM signals") == before
    days = (await service.get("/api/signals/summary", asset="XAUUSD", limit=1)).json()
    assert (await post(service, [QUOTE])).status_code == 201
    after = (await service.get("/api/signals/summary", asset="XAUUSD", limit=1)).json()
    assert after["items"][0]["signals"] == days["items"][0]["signals"] + 1


async def test_what_makes_no_sense(service: Service) -> None:
    """It is 422, never a failure of the database."""
    for body in ({}, {"signals": []}, {"signals": {}}, {"signals": [1]}, {"signals": [QUOTE], "more": 1}, []):
        assert (await service.ask("POST", "/api/signals", body=body)).status_code == 422, body
    moments = ("yesterday", "2026-01-01T00:00:00", "0001-01-01T00:00:00+14:00")
    questions: list[dict[str, Any]] = [{"since": moment} for moment in moments]
    questions += [{"asset": ""}, {"asset": "a\x00"}, {"signal_type": "hold"}, {"channel": "x" * 65}, {"limit": 1_001}]
    for query in questions:
        assert (await service.get("/api/signals", **query)).status_code == 422, query
    for query in (
        {},
        {"asset": "X", "since": "soon"},
        {"asset": "X", "limit": 367},
        {"asset": "X", "before": "2026-02-30"},
    ):
        assert (await service.get("/api/signals/summary", **query)).status_code == 422, query


async def test_signals_are_for_traders(service: Service) -> None:
    """Nobody reads or writes them without a key."""
    for path in ("/api/signals", "/api/signals/summary"):
        assert (await service.get(path, asset="XAUUSD")).status_code == 200
        assert (await service.ask("GET", path, trader=None, asset="XAUUSD")).status_code == 401
    assert (await post(service, [QUOTE], trader=None)).status_code == 401


async def test_an_answer_ends_with_what_it_shows(optimised: Service) -> None:
    """A write of signals ends the answers of their assets and channels, at once for who wrote, and no others."""

    async def kept(path: str, **query: Any) -> bool:
        return "hit" in (await optimised.get(path, **query)).headers["cache-status"]

    concerned: list[tuple[str, dict[str, Any]]] = [
        ("/api/signals", {}),
        ("/api/signals", {"asset": "PLATINUM"}),
        ("/api/signals", {"channel": "gold room", "limit": 5}),
        ("/api/signals/summary", {"asset": "PLATINUM"}),
        ("/api/signals/summary", {"asset": "PLATINUM", "channel": "gold room"}),
    ]
    others: list[tuple[str, dict[str, Any]]] = [
        ("/api/signals", {"asset": "XAUUSD"}),
        ("/api/signals", {"channel": "oanda"}),
        ("/api/signals/summary", {"asset": "XAUUSD", "channel": "gold room"}),
        ("/api/items", {}),
    ]
    for path, query in (*concerned, *others):
        await kept(path, **query)
        assert await kept(path, **query), (path, query)
    assert (await post(optimised, [BUY, BUY])).status_code == 201
    for path, query in others:
        assert await kept(path, **query), (path, query)
    for path, query in concerned:
        assert not await kept(path, **query), (path, query)
    shown = (await optimised.get("/api/signals/summary", asset="PLATINUM")).json()["items"]
    assert [day["signals"] for day in shown] == [2]


def test_what_is_said_twice_is_the_same() -> None:
    """The types of requests are those that the table accepts, and what is written is all that a row has."""
    assert get_args(api.SignalType) == model.SIGNAL_TYPES
    assert {"id", *api.SIGNAL_FIELDS} == {column.name for column in model.Signal.__table__.c}
