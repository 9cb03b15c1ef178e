"""Generated calls are shaped as promised."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import numpy as np
import pytest
from tests.conftest import Originals

from tailrace_services.call_coach.analyst import Conversation, Metrics, Turn, measure
from tailrace_services.call_coach.generator import SCALES, Scale, generate
from tailrace_services.call_coach.generator.calls import plan_calls
from tailrace_services.call_coach.generator.population import populate
from tailrace_services.call_coach.generator.turns import KIND, make_turns, skills
from tailrace_services.call_coach.generator.vocabulary import load_vocabulary, sentence_pools
from tailrace_services.call_coach.migrations import migrate
from tailrace_services.call_coach.model import DIMENSIONS
from tailrace_services.data.wording import zipf_ranks

TINY = Scale("tiny", 240, 4_800, 8, 60)
ANCHOR = datetime(2026, 3, 1, 15, tzinfo=UTC)


@pytest.fixture(scope="module")
def tiny_url(originals: Originals) -> str:
    """A database with the tiny data set, only to be read."""

    async def load(url: str) -> None:
        await migrate(url)
        await generate(url, TINY, 7, ANCHOR)

    return originals.url("call_coach_tiny", load)


@pytest.fixture
async def loaded(tiny_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to the tiny data set; what is written is undone."""
    connection = await asyncpg.connect(tiny_url)
    transaction = connection.transaction()
    await transaction.start()
    yield connection
    await transaction.rollback()
    await connection.close()


async def test_counts_are_the_scale(loaded: asyncpg.Connection) -> None:
    """As many calls, turns, representatives and opportunities as asked for, and it is recorded."""
    row = await loaded.fetchrow("SELECT calls, turns, reps, opportunities, emails, sessions FROM dataset")
    counted = [
        await loaded.fetchval(f"SELECT count(*) FROM {table}")
        for table in ("calls", "transcripts", "reps", "opportunities", "emails", "coaching_sessions")
    ]
    assert list(row) == counted
    assert counted[:5] == [TINY.calls, TINY.turns, TINY.reps, TINY.opportunities, TINY.emails]


async def test_work_is_unevenly_spread(loaded: asyncpg.Connection) -> None:
    """A few representatives and opportunities have most of the calls, and everybody has some."""
    reps = await loaded.fetch("SELECT count(*) AS calls FROM speakers WHERE email LIKE 'rep%' GROUP BY email")
    calls = sorted((row["calls"] for row in reps), reverse=True)
    assert len(calls) == TINY.reps
    assert calls[0] > 2 * calls[-1]
    offers = await loaded.fetch("SELECT count(*) AS calls FROM call_opportunities GROUP BY opportunity_id")
    sizes = sorted((row["calls"] for row in offers), reverse=True)
    assert sum(sizes[:12]) > 0.35 * sum(sizes)


async def test_turns_are_plausible_talk(loaded: asyncpg.Connection) -> None:
    """Turns are numbered, start one after the other, sometimes overlap, and nobody talks over themselves."""
    calls: dict[int, list[asyncpg.Record]] = {}
    for row in await loaded.fetch("SELECT * FROM transcripts ORDER BY call_id, sequence_number"):
        calls.setdefault(row["call_id"], []).append(row)
    overlaps = gaps = 0
    for turns in calls.values():
        assert [turn["sequence_number"] for turn in turns] == list(range(1, len(turns) + 1))
        last: dict[int, int] = {}
        for before, turn in itertools.pairwise([None, *turns]):
            assert turn["start_ms"] >= last.get(turn["speaker_id"], 0)
            last[turn["speaker_id"]] = turn["end_ms"]
            if before is not None:
                assert turn["start_ms"] > before["start_ms"]
                overlaps += turn["start_ms"] < before["end_ms"]
                gaps += turn["start_ms"] - before["end_ms"] > 1000
    assert len(calls) == TINY.calls
    assert 0.02 < overlaps / TINY.turns < 0.3
    assert 0.02 < gaps / TINY.turns < 0.4
    pace = await loaded.fetchval(
        "SELECT sum(array_length(string_to_array(text, ' '), 1)) * 60000.0 / sum(end_ms - start_ms) FROM transcripts"
    )
    assert 120 < pace < 190


async def test_sums_agree(loaded: asyncpg.Connection) -> None:
    """Talk times are the turns' lengths, durations cover the turns, and times do not pass the anchor."""
    wrong = await loaded.fetchval(
        "SELECT count(*) FROM speakers LEFT JOIN (SELECT speaker_id, sum(end_ms - start_ms) / 1000.0 AS talked "
        "FROM transcripts GROUP BY 1) AS spoken ON speaker_id = speakers.id "
        "WHERE talk_time_seconds <> coalesce(talked, 0)"
    )
    assert wrong == 0
    short = await loaded.fetchval(
        "SELECT count(*) FROM calls "
        "WHERE duration_seconds < (SELECT max(end_ms) FROM transcripts WHERE call_id = calls.id) / 1000.0"
    )
    assert short == 0
    ids = [row["id"] for row in await loaded.fetch("SELECT id FROM calls ORDER BY scheduled_at, id")]
    assert ids == list(range(1, TINY.calls + 1))
    row = await loaded.fetchrow(
        "SELECT min(scheduled_at) AS first, max(scheduled_at + duration_seconds * interval '1 second') AS last, "
        "bool_and(extract(isodow FROM scheduled_at AT TIME ZONE 'UTC') <= 5) AS weekdays, "
        "(SELECT max(created_at) FROM coaching_sessions) AS coached, (SELECT max(sent_at) FROM emails) AS sent "
        "FROM calls"
    )
    assert row["first"] >= ANCHOR - timedelta(days=373)
    assert max(row["last"], row["coached"], row["sent"]) <= ANCHOR
    assert row["weekdays"]


async def test_coaching_is_about_the_call(loaded: asyncpg.Connection) -> None:
    """A session's representative spoke in the call, and its evidence quotes a turn of theirs, to the letter."""
    honest = await loaded.fetchval(
        "SELECT bool_and(turn.text = evidence->0->>'quote' AND turn.start_ms = (evidence->0->>'start_ms')::int "
        "AND speaker.email = rep.email AND speaker.name = evidence->0->>'speaker') FROM coaching_sessions "
        "JOIN reps AS rep ON rep.id = rep_id "
        "JOIN transcripts AS turn ON turn.call_id = coaching_sessions.call_id "
        "AND turn.sequence_number = (evidence->0->>'sequence_number')::int "
        "JOIN speakers AS speaker ON speaker.id = turn.speaker_id"
    )
    assert honest
    spread = await loaded.fetch("SELECT avg(score) AS mean FROM coaching_sessions GROUP BY rep_id, dimension")
    means = [float(row["mean"]) for row in spread]
    assert max(means) - min(means) > 15


def test_skill_can_be_measured() -> None:
    """What representatives are good at shows in their turns, by the same metrics that measure real calls."""
    people = populate(Scale("class", 900, 18_000, 12, 60), 3, load_vocabulary())
    plan = plan_calls(people, ANCHOR)
    pools = sentence_pools(people.vocabulary, np.random.default_rng(1))
    run = slice(0, people.scale.calls)
    turns = make_turns(people, plan, run, pools, np.random.default_rng(2))
    rows = zip(turns.speaker.tolist(), turns.start_ms.tolist(), turns.end_ms.tolist(), turns.texts, strict=True)
    parts = [Turn(number, str(who), _side(who), *rest) for number, (who, *rest) in enumerate(rows)]
    ends = np.append(np.flatnonzero(turns.number == 1)[1:], len(parts))
    measured = [measure(Conversation.of(parts[end - count : end])) for count, end in zip(plan.turns, ends, strict=True)]

    def shows_in(dimension: str, figure: str) -> float:
        """How the representatives' average of a figure goes with their average skill, -1..1."""
        skill = skills(people, plan, run)[:, DIMENSIONS.index(dimension)]
        averages = [
            (
                skill[plan.rep == rep].mean(),
                _average([measured[call] for call in np.flatnonzero(plan.rep == rep)], figure),
            )
            for rep in range(people.scale.reps)
        ]
        return float(np.corrcoef(np.array(averages).T)[0, 1])

    assert shows_in("discovery", "open_question_share") > 0.6
    assert shows_in("discovery", "questions") > 0.3
    assert shows_in("objection_handling", "objections_handled") > 0.3
    assert shows_in("engagement", "patience_seconds") > 0.5
    assert shows_in("engagement", "dated_next_steps") > 0.5
    assert shows_in("engagement", "longest_monologue_seconds") < -0.3
    assert shows_in("engagement", "interruptions") < -0.3


def test_cold_prospects_object() -> None:
    """Prospects of opportunities that will hardly be won object more and are less enthusiastic."""
    people = populate(Scale("moods", 600, 12_000, 8, 80), 3, load_vocabulary())
    plan = plan_calls(people, ANCHOR)
    pools = sentence_pools(people.vocabulary, np.random.default_rng(1))
    turns = make_turns(people, plan, slice(0, 600), pools, np.random.default_rng(2))
    warm = (plan.warmth > 0.5)[turns.call]
    shares = {
        (kind, mood): float((turns.kind[warm == mood] == KIND[kind]).mean())
        for kind in ("objection", "enthusiasm")
        for mood in (True, False)
    }
    assert shares["objection", False] > 1.15 * shares["objection", True]
    assert shares["enthusiasm", True] > 1.3 * shares["enthusiasm", False]


async def test_words_follow_zipf(loaded: asyncpg.Connection) -> None:
    """A few words are everywhere and many are rare; each product has words of its own; search finds them."""
    texts = [row["text"] for row in await loaded.fetch("SELECT text FROM transcripts")]
    counts = Counter(word for text in texts for word in re.findall(r"[a-z']+", text.lower()))
    ranked = [count for _, count in counts.most_common()]
    assert len(ranked) > 500
    assert ranked[0] > 10 * ranked[99]
    assert ranked[99] > 4 * ranked[399]
    assert not any(set(text) & set("{}\\\t\n") for text in texts)
    found = await loaded.fetch(
        "SELECT product, count(*) AS turns FROM transcripts JOIN calls ON calls.id = call_id "
        "WHERE search @@ websearch_to_tsquery('english', 'invoices') GROUP BY 1 ORDER BY 2 DESC"
    )
    assert found[0]["product"] == "Ledger Billing"
    questions = sum(text.rstrip().endswith("?") for text in texts)
    assert 0.1 < questions / len(texts) < 0.35


def test_plan_at_every_scale() -> None:
    """Each scale has exactly its turns, some calls far longer than most, and ids without gaps."""
    vocabulary = load_vocabulary()
    for scale in (SCALES["small"], SCALES["medium"], Scale("few", 50, 300, 4, 4)):
        plan = plan_calls(populate(scale, 1, vocabulary), ANCHOR)
        assert plan.turns.sum() == scale.turns
        assert plan.turns.min() >= 6
        assert (np.diff(plan.first_turn) == plan.turns[:-1]).all()
        assert (np.diff(plan.first_speaker) == plan.speakers[:-1]).all()
        assert (np.diff(plan.scheduled) >= 0).all()
    assert plan_calls(populate(SCALES["medium"], 1, vocabulary), ANCHOR).turns.max() > 8 * 20


def test_scales_refuse_what_cannot_hold() -> None:
    """A data set too small for what it promises is refused at once."""
    for wrong in ((10, 600, 5, 10), (100, 500, 5, 10), (100, 600, 1, 10), (100, 600, 5, 4)):
        with pytest.raises(ValueError, match="must be at least"):
            Scale("wrong", *wrong)


def test_zipf_ranks() -> None:
    """Rank r is drawn about 1/(r+1) as often as the first, and none is out of range."""
    counts = np.bincount(zipf_ranks(np.random.default_rng(1).random(200_000), 20), minlength=20)
    assert counts.size == 20
    assert 1.4 < counts[0] / counts[1] < 2.0
    assert 6 < counts[0] / counts[9] < 14


def _side(speaker: int) -> str:
    return "prospect" if speaker else "rep"


def _average(measured: list[Metrics], figure: str) -> float:
    return float(np.mean([value for each in measured if (value := getattr(each, figure)) is not None]))
