"""Generated posts and cards are shaped as promised."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import pytest
from tests.conftest import Originals

from tailrace_services.identity.keys import hash_api_key
from tailrace_services.research_hub.generator import Scale, generate
from tailrace_services.research_hub.generator.people import ADMINISTRATOR
from tailrace_services.research_hub.keys import api_key
from tailrace_services.research_hub.migrations import migrate

TINY = Scale("tiny", 2000, 40, 3000)
SEED = 7
ANCHOR = datetime(2026, 3, 1, 15, tzinfo=UTC)


@pytest.fixture(scope="module")
def tiny_url(originals: Originals) -> str:
    """A database with the tiny data set, only to be read."""

    async def load(url: str) -> None:
        await migrate(url)
        await generate(url, TINY, SEED, ANCHOR)

    return originals.url("research_hub_tiny", load)


@pytest.fixture
async def loaded(tiny_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to the tiny data set."""
    connection = await asyncpg.connect(tiny_url)
    yield connection
    await connection.close()


async def test_work_is_unevenly_spread(loaded: asyncpg.Connection) -> None:
    """A few users, authors and posts have most of the cards and posts, and most have few."""
    for table, owner, factor in (("cards", "user_id", 4), ("contents", "author_id", 8), ("cards", "content_id", 3)):
        rows = await loaded.fetch(f"SELECT count(*) AS n FROM {table} GROUP BY {owner} ORDER BY 1 DESC")
        sizes = [row["n"] for row in rows]
        assert sizes[0] > factor * sizes[len(sizes) // 2], owner
    top, median = await loaded.fetchrow(
        "SELECT max((metrics->>'score')::int), percentile_disc(0.5) WITHIN GROUP (ORDER BY (metrics->>'score')::int) "
        "FROM contents"
    )
    assert top > 50 * median


async def test_moments_are_in_order(loaded: asyncpg.Connection) -> None:
    """Posts are published before they are collected, analysed after, and nothing is later than the anchor."""
    wrong = await loaded.fetchval(
        "SELECT count(*) FROM contents WHERE published_at >= scraped_at OR analyzed_at <= scraped_at "
        "OR greatest(scraped_at, analyzed_at) > $1",
        ANCHOR,
    )
    assert wrong == 0
    wrong = await loaded.fetchval(
        "SELECT count(*) FROM cards c JOIN contents p ON p.id = c.content_id "
        "WHERE c.created_at <= p.scraped_at OR c.published_at < c.created_at OR c.published_at > $1",
        ANCHOR,
    )
    assert wrong == 0
    ids = await loaded.fetchval("SELECT array_agg(id ORDER BY created_at, id) FROM cards")
    assert ids == list(range(1, TINY.cards + 1))
    drafts = await loaded.fetchval("SELECT avg((published_at IS NULL)::int)::float8 FROM cards")
    assert 0.1 < drafts < 0.25


async def test_attributions_add_up(loaded: asyncpg.Connection) -> None:
    """What a card goes back to is whole: different posts, its own first, weights of exactly 1 together."""
    wrong = await loaded.fetchval(
        "SELECT count(*) FROM (SELECT c.id FROM cards c LEFT JOIN attributions a ON a.card_id = c.id GROUP BY c.id "
        "HAVING sum(weight) IS DISTINCT FROM 1 OR count(*) <> count(DISTINCT a.content_id) "
        "OR NOT bool_or(a.content_id = c.content_id)) AS odd"
    )
    assert wrong == 0
    several = await loaded.fetchval("SELECT count(*)::float8 / (SELECT count(*) FROM cards) FROM attributions")
    assert 1.3 < several < 2.5


async def test_nobody_ever_has_less_than_nothing(loaded: asyncpg.Connection) -> None:
    """After every single movement each user's balance is at least zero, and something moved in every way."""
    lowest = await loaded.fetchval(
        "SELECT min(balance) FROM (SELECT sum(amount) OVER (PARTITION BY user_id ORDER BY id) AS balance FROM ("
        "SELECT id, to_user_id AS user_id, amount FROM token_ledger UNION ALL "
        "SELECT id, from_user_id, -amount FROM token_ledger) AS moved WHERE user_id IS NOT NULL) AS balances"
    )
    assert lowest >= 0
    kinds = {row["type"] for row in await loaded.fetch("SELECT DISTINCT type FROM token_ledger")}
    assert kinds == {"grant", "reward", "transfer", "fee"}


async def test_texts_are_about_something(loaded: asyncpg.Connection) -> None:
    """Words of a topic keep together, a few are everywhere, and no slot is left."""
    texts = [row["text"] for row in await loaded.fetch("SELECT title || ' ' || body AS text FROM contents")]
    assert not any(set(text) & set("{}\\\t\n") for text in texts)
    databases = [text for text in texts if "PostgreSQL" in text]
    assert len(databases) > 20
    related = sum("index" in text or "query" in text or "planner" in text or "pool" in text for text in databases)
    unrelated = sum("marathon" in text.lower() for text in databases)
    assert related > 0.5 * len(databases) > 20 * unrelated
    assert len(set(texts)) > 0.95 * len(texts)


async def test_keys_are_derived_and_one_administers(loaded: asyncpg.Connection) -> None:
    """Every user has a key that follows from the seed, and exactly one of them is an administrator's."""
    rows = await loaded.fetch("SELECT id, user_id, key_hash, active, administrator FROM api_keys ORDER BY id")
    assert [row["user_id"] for row in rows] == list(range(1, TINY.users + 1))
    assert all(row["key_hash"] == hash_api_key(api_key(SEED, row["id"])) and row["active"] for row in rows)
    assert [row["id"] for row in rows if row["administrator"]] == [ADMINISTRATOR]


async def test_patterns_have_posts_that_exist(loaded: asyncpg.Connection) -> None:
    """Each pattern names some posts, all of them there and collected before it was found; sessions end in time."""
    wrong = await loaded.fetchval(
        "SELECT count(*) FROM patterns, unnest(content_ids) AS named (id) LEFT JOIN contents p ON p.id = named.id "
        "WHERE p.id IS NULL OR p.scraped_at > discovered_at + interval '1 day'"
    )
    assert wrong == 0
    fewest = await loaded.fetchval("SELECT min(cardinality(content_ids)) FROM patterns")
    assert fewest >= 1
    waiting = await loaded.fetchval(
        "SELECT min(created_at) FROM research_sessions WHERE status IN ('queued', 'running')"
    )
    assert waiting is None or (ANCHOR - waiting).total_seconds() <= 3600


@pytest.mark.parametrize("wrong", [(50, 10, 100), (200, 4, 100), (200, 10, 9)])
def test_scales_refuse_what_cannot_hold(wrong: tuple[int, int, int]) -> None:
    """A data set too small for what it promises is refused at once."""
    with pytest.raises(ValueError, match="must be at least"):
        Scale("wrong", *wrong)
