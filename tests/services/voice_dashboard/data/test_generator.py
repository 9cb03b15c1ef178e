"""Generated calls are shaped as promised."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import numpy as np
import pytest
from tests.conftest import Originals
from tests.services.conftest import MakeTables

from tailrace_services.identity.keys import hash_api_key
from tailrace_services.voice_dashboard.data import DATA
from tailrace_services.voice_dashboard.generator import SCALES, Scale, generate
from tailrace_services.voice_dashboard.generator.population import populate
from tailrace_services.voice_dashboard.keys import api_key

TINY = Scale("tiny", 4000, 60)
ANCHOR = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def url(make_tables: MakeTables) -> str:
    """A migrated, empty database."""
    return make_tables(DATA)


@pytest.fixture(scope="module")
def tiny_url(originals: Originals) -> str:
    """A database with the tiny scale, only to be read."""

    async def load(url: str) -> None:
        await DATA.migrations.migrate(url)
        await generate(url, TINY, 7, ANCHOR)

    return originals.url("voice_dashboard_tiny", load)


@pytest.fixture
async def loaded(tiny_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to the tiny scale."""
    connection = await asyncpg.connect(tiny_url)
    yield connection
    await connection.close()


async def test_progress_reaches_the_end(url: str) -> None:
    """Each phase is reported from its start to its end."""
    seen: dict[str, list[tuple[int, int]]] = {}
    await generate(url, TINY, 7, ANCHOR, lambda phase, done, total: seen.setdefault(phase, []).append((done, total)))
    assert list(seen) == ["users and agents", "calls", "keys", "statistics"]
    assert all(steps[0][0] == 0 and steps[-1][0] == steps[-1][1] for steps in seen.values())


async def test_shares(loaded: asyncpg.Connection) -> None:
    """User 1 has exactly 5 % of the calls and 50 agents; everybody has calls, nobody more."""
    rows = await loaded.fetch("SELECT user_id, count(*) AS calls FROM calls GROUP BY 1 ORDER BY 2 DESC, 1")
    assert (rows[0]["user_id"], rows[0]["calls"]) == (1, TINY.calls // 20)
    assert rows[1]["calls"] < rows[0]["calls"]
    assert sum(row["calls"] for row in rows) == TINY.calls
    assert len(rows) == TINY.users
    agents = await loaded.fetch("SELECT user_id, count(*) AS agents FROM agents GROUP BY 1 ORDER BY 1")
    assert agents[0]["agents"] == 50
    assert all(1 <= row["agents"] <= 50 for row in agents)


async def test_agents_and_calls_fit(loaded: asyncpg.Connection) -> None:
    """Drafts take no calls, an agent is older than its calls, and all of user 1's agents are there to be listed."""
    odd = await loaded.fetchval(
        "SELECT count(*) FROM calls JOIN agents ON agents.id = agent_id "
        "WHERE agents.status = 'draft' OR agents.created_at > calls.created_at OR agents.user_id <> calls.user_id"
    )
    assert odd == 0
    assert await loaded.fetchval("SELECT bool_and(is_active) FROM agents WHERE user_id = 1")


async def test_times(loaded: asyncpg.Connection) -> None:
    """Calls fall into the year before the anchor, each at its own moment, ids and place on disk in order of time."""
    rows = await loaded.fetch("SELECT id, created_at FROM calls ORDER BY ctid")
    moments = [row["created_at"] for row in rows]
    assert [row["id"] for row in rows] == list(range(1, TINY.calls + 1))
    assert all(earlier < later for earlier, later in itertools.pairwise(moments))
    assert ANCHOR - timedelta(days=365) <= moments[0]
    assert moments[-1] < ANCHOR
    leads = [row["created_at"] for row in await loaded.fetch("SELECT created_at FROM lead_analytics ORDER BY id")]
    assert leads == sorted(leads)
    assert leads[-1] <= ANCHOR


async def test_rhythm(loaded: asyncpg.Connection) -> None:
    """Afternoons are busier than nights and working days than weekends."""
    by_hour = dict(
        await loaded.fetch(
            "SELECT extract(hour FROM created_at AT TIME ZONE 'UTC')::int, count(*) FROM calls GROUP BY 1"
        )
    )
    assert by_hour[14] > 4 * by_hour.get(2, 0)
    by_day = dict(
        await loaded.fetch(
            "SELECT extract(isodow FROM created_at AT TIME ZONE 'UTC')::int, count(*) FROM calls GROUP BY 1"
        )
    )
    assert min(by_day[day] for day in range(1, 6)) > 1.5 * max(by_day[6], by_day[7])


async def test_leads_and_amounts(loaded: asyncpg.Connection) -> None:
    """About 60 % of completed calls are leads, of every quality; credits follow the minutes exactly."""
    row = await loaded.fetchrow(
        "SELECT count(*) FILTER (WHERE status = 'completed') AS completed, count(lead.id) AS leads, "
        "count(DISTINCT call_id) AS led, bool_and(status = 'completed') FILTER (WHERE lead.id IS NOT NULL) AS honest, "
        "count(*) FILTER (WHERE total_score >= 70) AS hot, count(*) FILTER (WHERE total_score < 40) AS cold, "
        "bool_and(lead.created_at > calls.created_at) FILTER (WHERE lead.id IS NOT NULL) AS later "
        "FROM calls LEFT JOIN lead_analytics AS lead ON call_id = calls.id"
    )
    assert 0.55 < row["leads"] / row["completed"] < 0.65
    assert row["led"] == row["leads"]
    assert row["honest"]
    assert row["later"]
    assert row["hot"] > 0.1 * row["leads"]
    assert row["cold"] > 0.1 * row["leads"]
    amounts = await loaded.fetchrow(
        "SELECT bool_and(credits_used = CASE status WHEN 'completed' THEN duration_minutes * 10 ELSE 0 END) AS exact, "
        "bool_and(duration_minutes = 0) FILTER (WHERE status IN ('busy', 'no_answer', 'in_progress')) AS unanswered, "
        "count(DISTINCT status) AS statuses, max(duration_minutes) AS longest, "
        "percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_minutes) FILTER (WHERE status = 'completed') AS middle "
        "FROM calls"
    )
    assert amounts["exact"]
    assert amounts["unanswered"]
    assert amounts["statuses"] >= 4
    assert amounts["longest"] > 8 * amounts["middle"]


async def test_keys_are_the_documented_ones(loaded: asyncpg.Connection) -> None:
    """A generated user's key follows from the seed and hashes to what is stored."""
    row = await loaded.fetchrow("SELECT email, api_key_hash FROM users WHERE id = 1")
    assert tuple(row) == ("user0001@example.com", hash_api_key(api_key(7, 1)))


def test_population_at_every_scale() -> None:
    """User 1 is exactly 5 % and the largest at each scale, and the tail is long: half the users share little."""
    for scale in (*SCALES.values(), Scale("few", 1000, 40)):
        people = populate(scale, 1)
        assert people.calls[0] == scale.calls // 20
        assert people.calls.sum() == scale.calls
        assert people.calls[1:].max() < people.calls[0]
        assert people.calls.min() >= 1
        assert np.allclose(np.bincount(people.agent_user, weights=people.agent_share), 1.0)
    assert np.sort(populate(SCALES["medium"], 1).calls)[:500].sum() < 0.15 * 1_000_000


def test_scale_refuses_what_cannot_hold() -> None:
    """With too few users somebody would have more calls than user 1."""
    with pytest.raises(ValueError, match="users"):
        Scale("one", 1000, 1)
    with pytest.raises(ValueError, match="calls"):
        Scale("none", 10, 100)
