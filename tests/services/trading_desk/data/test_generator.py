"""Generated items and their log are shaped as promised."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from tests.conftest import Originals

from tailrace_services.identity.keys import hash_api_key
from tailrace_services.trading_desk.generator import Scale, generate
from tailrace_services.trading_desk.generator.signals import SIGNAL_DAYS, make_market, signal_lines
from tailrace_services.trading_desk.generator.vocabulary import load_vocabulary
from tailrace_services.trading_desk.keys import api_key
from tailrace_services.trading_desk.migrations import migrate

TINY = Scale("tiny", 6_000, 30, 20_000)
SEED = 7
ANCHOR = datetime(2026, 3, 1, 15, tzinfo=UTC)


@pytest.fixture(scope="module")
def tiny_desk(originals: Originals) -> str:
    """A database with the tiny data set, only to be read."""

    async def load(url: str) -> None:
        await migrate(url)
        await generate(url, TINY, SEED, ANCHOR)

    return originals.url("trading_desk_tiny", load)


@pytest.fixture
async def loaded(tiny_desk: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to the tiny data set."""
    connection = await asyncpg.connect(tiny_desk)
    yield connection
    await connection.close()


async def test_work_is_unevenly_spread(loaded: asyncpg.Connection) -> None:
    """A few traders, categories and tags have most of the items, and every one has some."""
    for column, source, factor, most in (
        ("trader_id", "audit_log WHERE action = 'created'", 4, TINY.traders),
        ("category", "items", 2, 7),
        ("tag", "items CROSS JOIN unnest(tags) AS tag", 4, 30),
    ):
        rows = await loaded.fetch(f"SELECT count(*) AS n FROM {source} GROUP BY {column} ORDER BY 1 DESC")
        assert len(rows) == most
        assert rows[0]["n"] > factor * rows[len(rows) // 2]["n"], column


async def test_most_old_items_are_done_and_most_young_ones_are_not(loaded: asyncpg.Connection) -> None:
    """As in life: what is active is a small part of all, and new."""
    query = (
        "SELECT avg((status = 'done')::int)::float8 FROM items WHERE created_at {} $1::timestamptz - interval '14 days'"
    )
    assert await loaded.fetchval(query.format("<"), ANCHOR) > 0.85
    assert await loaded.fetchval(query.format(">"), ANCHOR) < 0.3


async def test_moments_are_in_order(loaded: asyncpg.Connection) -> None:
    """Numbers and moments go together; nothing is changed before it was created, or later than the anchor."""
    assert await loaded.fetchval("SELECT array_agg(id ORDER BY created_at, id) FROM items") == list(
        range(1, TINY.items + 1)
    )
    assert (
        await loaded.fetchval("SELECT count(*) FROM items WHERE updated_at < created_at OR updated_at > $1", ANCHOR)
        == 0
    )


async def test_the_log_tells_each_item_s_story(loaded: asyncpg.Connection) -> None:
    """What it says one after the other makes the item what it is, at the moments that the item has."""
    rows = await loaded.fetch(
        "SELECT i.*, (SELECT json_agg(json_build_array(action, changes, a.created_at = i.created_at, "
        "a.created_at = i.updated_at) ORDER BY a.id) FROM audit_log a WHERE item_id = i.id)::text AS story "
        "FROM items i WHERE id % 100 = 0"
    )
    assert len(rows) == TINY.items // 100
    for row in rows:
        story = json.loads(row["story"])
        assert [step[0] for step in story] == ["created", "changed"][: len(story)]
        assert story[0][2]
        assert story[-1][3]
        fields: dict[str, object] = {}
        for _, changes, _, _ in story:
            for name, (before, after) in changes.items():
                assert fields.get(name) == before
                fields[name] = after
        priority = ("low", "medium", "high", "critical")[row["priority"] - 1]
        held = {name: row[name] for name in ("title", "description", "category", "status", "tags")}
        assert fields == {**held, "priority": priority, "metadata": json.loads(row["metadata"])}


async def test_signals_come_unevenly(loaded: asyncpg.Connection) -> None:
    """A few assets have most of them, weekends hardly any, and a minute's burst has far more than a usual minute."""
    assert await loaded.fetchval("SELECT count(*) FROM signals") == TINY.signals
    assets = [
        row["n"] for row in await loaded.fetch("SELECT count(*) AS n FROM signals GROUP BY asset ORDER BY 1 DESC")
    ]
    assert len(assets) == 12
    assert assets[0] > 4 * assets[6]
    minutes = "SELECT count(*) AS n FROM signals GROUP BY date_trunc('minute', time) ORDER BY 1 DESC"
    counts = [row["n"] for row in await loaded.fetch(minutes)]
    assert counts[0] > 20 * counts[len(counts) // 2]
    weekend = "SELECT count(*) FROM signals WHERE extract(isodow FROM time AT TIME ZONE 'UTC') >= 6"
    assert 0 < await loaded.fetchval(weekend) < TINY.signals / 20


async def test_signals_are_in_order_and_make_sense(loaded: asyncpg.Connection) -> None:
    """Numbers and moments go together, within a month; what each type has, and no other, is there."""
    ordered = "SELECT count(*) FROM (SELECT id, row_number() OVER (ORDER BY time, id) AS place FROM signals) AS s"
    assert await loaded.fetchval(f"{ordered} WHERE id <> place") == 0
    first, final = await loaded.fetchrow("SELECT min(time), max(time) FROM signals")
    assert ANCHOR - timedelta(days=SIGNAL_DAYS) <= first < final <= ANCHOR
    wrong = """
        SELECT count(*) FROM signals WHERE price <= 0 OR NOT CASE signal_type
            WHEN 'quote' THEN price = (bid + ask) / 2 AND bid < ask AND raw_message IS NULL AND stop_loss IS NULL
            WHEN 'close' THEN bid IS NULL AND ask IS NULL AND raw_message LIKE 'CLOSE%' AND stop_loss IS NULL
            WHEN 'buy' THEN stop_loss < price AND price < take_profit AND raw_message LIKE 'BUY%'
            WHEN 'sell' THEN stop_loss > price AND price > take_profit AND raw_message LIKE 'SELL%' END
    """
    assert await loaded.fetchval(wrong) == 0


def test_signals_do_not_depend_on_the_machine() -> None:
    """The same seed gives the same lines, another seed others; the market is the same for every run."""
    vocabulary = load_vocabulary()
    made = [
        signal_lines(make_market(vocabulary, seed, int(ANCHOR.timestamp())), seed, 300, slice(100, 200))
        for seed in (1, 1, 2)
    ]
    assert made[0] == made[1] != made[2]
    assert [int(line.partition("\t")[0]) for line in made[0]] == list(range(101, 201))


async def test_keys_follow_from_the_seed(loaded: asyncpg.Connection) -> None:
    """Whoever knows the seed can ask as any trader."""
    for trader_id, key_hash in await loaded.fetch("SELECT id, api_key_hash FROM traders"):
        assert key_hash == hash_api_key(api_key(SEED, trader_id))


@pytest.mark.parametrize(("items", "traders"), [(19, 5), (20, 1)])
def test_too_little_is_refused(items: int, traders: int) -> None:
    """There is no desk of one, nor a year of a few items."""
    with pytest.raises(ValueError, match="at least"):
        Scale("none", items, traders, 0)
