"""The proof itself, in a short form, on the real services: real servers, the small scale, everybody who writes."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import asyncpg
import pytest

from tailrace.embedded import PostgresServer
from tailrace_services.prove.databases import prepare
from tailrace_services.prove.phases import Effort
from tailrace_services.prove.run import prove
from tailrace_services.prove.subject import Subject
from tailrace_services.prove.timing import Budget
from tailrace_services.research_hub.proof.questions import ERRANDS, WORDINGS, Asked, goals_of
from tailrace_services.services import SERVICES
from tailrace_services.trading_desk.answers.default_corpus import python_sources
from tailrace_services.voice_dashboard.importer.campaign import COLUMNS

collecting = importlib.import_module("tailrace_services.research_hub.proof.collecting")
desk = importlib.import_module("tailrace_services.trading_desk.proof.questions")
asking = importlib.import_module("tailrace_services.trading_desk.proof.asking")
posting = importlib.import_module("tailrace_services.trading_desk.proof.posting")
vectors = importlib.import_module("tailrace_services.research_hub.proof.vectors")
SUBJECTS = [service.subject() for service in SERVICES]


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
async def test_fast_and_slow_answer_alike_at_rest_and_under_writes(
    postgres: PostgresServer, valkey_url: str, subject: Subject
) -> None:
    """Every field of every endpoint, as calculated, as cached, and while API and psql write."""
    databases = await prepare(subject, postgres.url(), lambda phase, done, total: None, scale="small")
    effort = Effort(users=12, writes_seconds=4.0, mix_users=8, mix_seconds=2.0)
    only = ("answers", "sizes", "mix", "writes")
    proof = await prove(subject, databases, valkey_url, scale="small", only=only, effort=effort)
    assert proof.equal, "\n\n".join(map(str, proof.mismatches))
    assert [row.endpoint for row in proof.rows] == [endpoint.name for endpoint in subject.endpoints]
    assert all(row.answers_compared == row.answers_equal > 12 for row in proof.rows)
    asked = [endpoint.share > 0 for endpoint in subject.endpoints]
    assert [row.hit_ratio is not None for row in proof.rows] == asked
    assert any(row.hit_ratio for row in proof.rows)
    errors = next(goal for goal in proof.goals if goal.name == "errors under the mix")
    assert errors.met, errors.measured

    # What this run wrote is put back by the next: both databases hold the same rows again, and neither has work left
    # that the server would do while something is measured.
    again = await prepare(subject, postgres.url(), lambda phase, done, total: None, scale="small")
    assert again.size == databases.size
    assert again.size.count == getattr(subject.data.generation.scales["small"], again.size.of)
    for url in (again.url, again.baseline_url):
        connection = await asyncpg.connect(url)
        try:
            assert await connection.fetchval(f"SELECT count(*) FROM {again.size.of}") == again.size.count
            vacuumed = "SELECT last_vacuum FROM pg_stat_user_tables WHERE relname = $1"
            assert await connection.fetchval(vacuumed, again.size.of)
        finally:
            await connection.close()


async def test_questions_are_timed_by_what_their_answers_say(postgres: PostgresServer, valkey_url: str) -> None:
    """Every question is asked in both wordings, and counted as what its answer says it is."""
    subject = next(subject for subject in SUBJECTS if subject.name == "research-hub")
    databases = await prepare(subject, postgres.url(), lambda phase, done, total: None, scale="small")
    proof = await prove(subject, databases, valkey_url, scale="small", only=("questions",))
    note, vectors_told = proof.notes
    assert vectors_told.endswith("have a vector, the others are found by their words")
    told = re.findall(r"(\w+) [\d.]+ ms \((\d+)\)", note.partition("medians: ")[2])
    assert {outcome for outcome, _ in told} <= {"miss", "similar", "exact", "bypass"}
    assert sum(int(count) for _, count in told) == len(ERRANDS) * len(WORDINGS)


async def test_questions_are_asked_of_posts_with_vectors(
    postgres: PostgresServer, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both databases have the same vectors before questions are proved, and only then; some are made, once."""
    monkeypatch.setattr(vectors, "MOST", 40)
    subject = next(subject for subject in SUBJECTS if subject.name == "research-hub")
    told: list[str] = []
    for phases in (("timing",), ("questions",), ("questions",)):
        databases = await prepare(
            subject, postgres.url(), lambda phase, done, total: told.append(phase), scale="small", phases=phases
        )
        held = [await connection_rows(url, EMBEDDED) for url in (databases.url, databases.baseline_url)]
        assert held[0] == held[1]
        assert len(held[0]) == (0 if phases == ("timing",) else 40)
    assert told.count("vectors of posts") == 1
    assert await vectors.say_vectors(databases.url) == (
        "40 of 5,000 posts have a vector, the others are found by their words"
    )


EMBEDDED = "SELECT id, embedding::text FROM contents WHERE embedding IS NOT NULL ORDER BY id"


async def connection_rows(url: str, statement: str) -> list[tuple[object, ...]]:
    """What a statement gives."""
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()


async def test_streamed_answers_are_timed_to_their_first_piece(
    postgres: PostgresServer, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each reader's questions are counted as what their streams say, and held to what is aimed for."""
    few = [source for source in python_sources() if source.path in ("topics/for", "topics/with", "library/heapq")]
    monkeypatch.setattr(desk, "python_sources", lambda: few)
    monkeypatch.setattr(desk, "READERS", 3)
    monkeypatch.setattr(desk, "PAUSE", 0.01)
    monkeypatch.setattr(asking, "ENDINGS", ("please?",))
    subject = next(subject for subject in SUBJECTS if subject.name == "trading-desk")
    databases = await prepare(subject, postgres.url(), lambda phase, done, total: None, scale="small")
    proof = await prove(subject, databases, valkey_url, scale="small", only=("questions",))
    asked, together, streamed = proof.notes[-3:]
    counted = re.findall(r"\w+ [\d.]+ ms \((\d+)\)", asked.partition("medians: ")[2])
    assert sum(map(int, counted)) == len(desk.ERRANDS) * len(desk.WORDINGS)
    outcomes = {name: int(count) for name, count in re.findall(r"(\w+) (\d+)[,;]", together.partition("own: ")[2])}
    assert sum(outcomes.values()) == len(desk.ERRANDS) * len(asking.BEGINNINGS)
    assert outcomes["similar"] > 0
    assert streamed == f"answers streamed to 3 readers: miss {3 * desk.TURNS}"
    assert [goal.wanted for goal in proof.goals if "questions" in goal.name or "streamed" in goal.name] == [
        "< 60 ms",
        "< 10 ms",
        "< 50 ms",
        "> 250 req/s",
        "0",
    ]


async def test_posted_items_are_timed(
    postgres: PostgresServer, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All are stored, those posted alone and those of many; what they wrote is put back by the next proof."""
    monkeypatch.setattr(posting, "WARM_UPS", 2)
    monkeypatch.setattr(posting, "ALONE", 5)
    monkeypatch.setattr(posting, "SECONDS", 0.2)
    subject = next(subject for subject in SUBJECTS if subject.name == "trading-desk")
    databases = await prepare(subject, postgres.url(), lambda phase, done, total: None, scale="small")
    proof = await prove(subject, databases, valkey_url, scale="small", only=("posting",))
    goals = {goal.name: goal for goal in proof.goals}
    assert goals["POST items: errors"].met
    tried = int(goals["POST items: errors"].measured.split()[2].replace(",", ""))
    assert tried > 5
    assert "POST items, 800 a second" in goals
    assert "to two processes" in proof.notes[-1]
    counted = "SELECT count(*) FROM items"
    connection = await asyncpg.connect(databases.url)
    assert await connection.fetchval(counted) > databases.size.count + tried  # warm-ups and the original's code, too
    await connection.close()
    connection = await asyncpg.connect(databases.baseline_url)
    assert await connection.fetchval(counted) == databases.size.count
    await connection.close()
    again = await prepare(subject, postgres.url(), lambda phase, done, total: None, scale="small")
    assert again.size == databases.size


async def test_collected_posts_are_timed_and_compared(
    postgres: PostgresServer, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each address counts once as collected, and nothing of it stays; what is not the site's is refused."""
    monkeypatch.setattr(collecting, "SAMPLES", 8)
    monkeypatch.setattr(collecting, "BEFORE", 3)
    subject = next(subject for subject in SUBJECTS if subject.name == "research-hub")
    databases = await prepare(subject, postgres.url(), lambda phase, done, total: None, scale="small")
    proof = await prove(subject, databases, valkey_url, scale="small", only=("collecting",))
    assert proof.equal, "\n\n".join(map(str, proof.mismatches))
    row = proof.rows[-1]
    assert (row.endpoint, row.answers_compared) == ("collected", 16)
    assert proof.samples["collected"] == (3, 4, 8 * collecting.AGAIN)
    assert min(row.before_p95_ms, row.cold_p95_ms) > collecting.SITE.latency_ms > 0
    assert next(goal for goal in proof.goals if "not public" in goal.name).met
    for url in (databases.url, databases.baseline_url):
        connection = await asyncpg.connect(url)
        assert await connection.fetchval("SELECT count(*) FROM contents") == databases.size.count
        assert await connection.fetchval("SELECT count(*) FROM authors WHERE platform = '127.0.0.1'") == 0
        await connection.close()


def test_refused_items_are_failures() -> None:
    """What is not stored counts as a failure, and never among the times."""
    many = [posting.Together([0.011] * 20, rate) for rate in (790.0, 801.0, 799.0, 801.0, 1.0)]
    goals = list(posting.goals_of(posting.Posted([0.002] * 20, 1, *many)))
    assert [goal.met for goal in goals] == [True, True, False, False, True, False, True, False]
    assert goals[-1].measured == "1 of 101"


def test_questions_have_goals_of_their_own_kind() -> None:
    """What was retrieved is held to what retrieval may take, what was like another to what finding that may take."""
    found = {"miss": [0.03, 0.039], "similar": [0.007, 0.009], "exact": [9.0], "bypass": [9.0]}
    goals = [(goal.wanted, goal.measured, goal.met) for goal in goals_of(Asked([1.0], found))]
    assert [(wanted, met) for wanted, _, met in goals] == [("< 150 ms", True), ("< 40 ms", True), ("< 8 ms", False)]
    assert list(goals_of(Asked([1.0], {"bypass": [9.0]}))) == []


async def test_imported_rows_are_proved_as_generated_ones_are(
    postgres: PostgresServer, valkey_url: str, tmp_path: Path
) -> None:
    """They belong to one user, who is then asked for in every turn."""
    subject = next(subject for subject in SUBJECTS if subject.name == "voice-dashboard")
    file = tmp_path / "campaign.csv"
    person = '58;"management";"married";"tertiary";"no";2143;"yes";"no";"x";5;"may";{};1;-1;0;"unknown";"{}"'
    calls = [person.format(30 * number, "no" if number % 3 else "yes") for number in range(1, 41)]
    file.write_text("\n".join([";".join(f'"{name}"' for name in COLUMNS), *calls, ""]))
    databases = await prepare(subject, postgres.url(), lambda phase, done, total: None, scale="small", imported=file)
    assert databases.size.count == len(calls)
    effort = Effort(users=3, budget=Budget(baseline_samples=1, cold_samples=2, warm_samples=2))
    proof = await prove(subject, databases, valkey_url, scale="imported", only=("answers", "timing"), effort=effort)
    assert proof.equal, "\n\n".join(map(str, proof.mismatches))
    assert {row.scale for row in proof.rows} == {"imported"}
    assert all(row.answers_compared and row.cold_p95_ms and row.warm_p95_ms for row in proof.rows)
