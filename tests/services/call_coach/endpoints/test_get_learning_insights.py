"""``get_learning_insights``, by both implementations."""

from __future__ import annotations

from typing import Any

import pytest
from tests.services.call_coach.endpoints.conftest import Service, StartService

ANN = "rep0001@tailrace.example"
YEAR = {"first_day": "2025-04-01", "last_day": "2026-03-31"}


async def ask(service: Service, **question: Any) -> dict[str, Any]:
    asked = {"rep_email": ANN, "focus_area": "discovery", "period": YEAR, **question}
    reply = await service.ask("get_learning_insights", **asked)
    assert reply.status_code == 200, reply.text
    data: dict[str, Any] = reply.json()["data"]
    return data


async def test_top_performers_have_the_highest_averages(service: Service) -> None:
    """The five best others in the dimension, by the rows, the best first."""
    data = await ask(service)
    rows = await service.sql(
        "SELECT r.email, r.name, count(*) AS sessions, avg(score)::float8 AS average "
        "FROM coaching_sessions s JOIN reps r ON r.id = rep_id WHERE dimension = 'discovery' AND rep_id <> 1 "
        "AND s.created_at >= '2025-04-01Z' AND s.created_at < '2026-04-01Z' GROUP BY 1, 2 HAVING count(*) >= 5 "
        "ORDER BY avg(score) DESC, 1 LIMIT 5"
    )
    assert data["top_performers"] == [{**row, "average": round(row["average"], 2)} for row in rows]
    assert len(rows) >= 3
    assert data["rep"]["email"] == ANN
    assert (data["focus_area"], data["rubric_version"], data["note"]) == ("discovery", "manager-1", None)


async def test_differences_are_measured(service: Service) -> None:
    """Of twelve calls and six for each top performer, the greatest first; advice unless negligible."""
    data = await ask(service)
    assert (data["calls"], data["top_calls"]) == (12, 6 * len(data["top_performers"]))
    deltas = [abs(each["delta"]) for each in data["differences"]]
    assert deltas == sorted(deltas, reverse=True)
    assert len(deltas) > 8
    for each in data["differences"]:
        assert (each["advice"] is None) == (each["magnitude"] == "negligible"), each
        assert -1 <= each["delta"] <= 1
        assert 3 <= each["calls"] <= 12


async def test_segments_are_the_calls_own_words(service: Service) -> None:
    """Each is what a session of a top performer quoted, with the turns around it as they stand in the call."""
    data = await ask(service)
    assert len(data["segments"]) == 5
    scores = [segment["score"] for segment in data["segments"]]
    assert scores == sorted(scores, reverse=True)
    best = {each["email"] for each in data["top_performers"]}
    for segment in data["segments"]:
        evidence = segment["evidence"]
        turns = await service.sql(
            "SELECT sequence_number, name AS speaker, company_side AS side, start_ms, end_ms, text "
            "FROM transcripts t JOIN speakers s ON s.id = t.speaker_id "
            "WHERE t.call_id = $1 AND abs(sequence_number - $2) <= 1 ORDER BY 1",
            *(segment["call_id"], evidence["sequence_number"]),
        )
        assert segment["turns"] == [dict(turn) for turn in turns]
        assert evidence["quote"] in [turn["text"] for turn in segment["turns"]]
        assert segment["rep_email"] in best


async def test_calls_are_measured_once(start_service: StartService) -> None:
    """A second question about the same calls measures none; a changed turn ends what was kept of its call alone."""
    async with start_service("optimised") as service:
        data = await ask(service)
        kept = await service.sql("SELECT call_id, xmin::text AS written FROM call_metrics ORDER BY 1")
        assert len(kept) == data["calls"] + data["top_calls"]
        await ask(service, period={**YEAR, "last_day": "2026-04-01"})
        assert await service.sql("SELECT call_id, xmin::text AS written FROM call_metrics ORDER BY 1") == kept
        changed = kept[0]["call_id"]
        await service.sql("UPDATE transcripts SET text = 'Why?' WHERE call_id = $1", changed)
        await service.settled()
        await ask(service)
        after = await service.sql("SELECT call_id, xmin::text AS written FROM call_metrics ORDER BY 1")
    assert [row["call_id"] for row in after if row not in kept] == [changed]


async def test_what_was_measured_by_other_definitions_does_not_count(start_service: StartService) -> None:
    """Kept figures of another version are measured anew."""
    async with start_service("optimised") as service:
        data = await ask(service)
        await service.sql("UPDATE call_metrics SET definition = 'old', metrics = '{}'")
        assert await ask(service, period={**YEAR, "last_day": "2026-04-01"}) == {
            **data,
            "period": {**YEAR, "last_day": "2026-04-01"},
        }


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE coaching_sessions SET score = 100 - score WHERE dimension = 'discovery'",
        "UPDATE transcripts SET text = 'Why is that?'",
        "UPDATE speakers SET company_side = 'prospect' WHERE company_side = 'rep'",
        "UPDATE calls SET title = 'Renamed'",
        "UPDATE reps SET name = 'Renamed'",
        "UPDATE coaching_sessions SET evidence = '[]'",
        "DELETE FROM calls WHERE id % 2 = 0",
        "TRUNCATE coaching_sessions",
    ],
)
async def test_any_change_is_seen(service: Service, change: str) -> None:
    """Whoever changes what an answer rests on, by plain SQL: the next answer knows."""
    before = await ask(service)
    assert await ask(service) == before
    await service.sql(change)
    await service.settled()
    assert await ask(service) != before


async def test_without_sessions_and_without_others(service: Service) -> None:
    """Somebody new hears who to learn from by asking for a rubric; somebody alone hears that there is nobody."""
    await service.sql("INSERT INTO reps (email, name) VALUES ('new@tailrace.example', 'New')")
    await service.settled()
    idle = await ask(service, rep_email="new@tailrace.example")
    assert (idle["sessions"], idle["average"], idle["top_performers"], idle["segments"]) == (0, None, [], [])
    assert "no coaching sessions" in idle["note"]
    named = await ask(service, rep_email="new@tailrace.example", rubric_version="manager-1")
    assert len(named["top_performers"]) == 5
    assert (named["differences"], len(named["segments"])) == ([], 5)
    await service.sql("DELETE FROM coaching_sessions WHERE rep_id <> 1")
    await service.settled()
    alone = await ask(service)
    assert (alone["top_performers"], alone["differences"], alone["top_calls"]) == ([], [], 0)
    assert alone["note"] == "nobody else has enough coaching sessions in this period"


async def test_somebody_unknown(service: Service) -> None:
    """404 in the service's shape."""
    reply = await service.ask("get_learning_insights", rep_email="nobody@tailrace.example", focus_area="discovery")
    assert (reply.status_code, reply.json()["error"]) == (404, "rep_not_found")


@pytest.mark.parametrize(
    "wrong",
    [
        {"rep_email": ANN},
        {"rep_email": ANN, "focus_area": "charm"},
        {"focus_area": "discovery"},
        {"rep_email": ANN, "focus_area": "discovery", "period": {"first_day": "2026-03-02", "last_day": "2026-03-01"}},
    ],
)
async def test_what_is_refused(service: Service, wrong: dict[str, Any]) -> None:
    """A question that makes no sense is 422."""
    assert (await service.ask("get_learning_insights", **wrong)).status_code == 422
