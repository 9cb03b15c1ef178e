"""``analyze_call``, by both implementations: the same answers, stored, and true to the transcript as it is."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest
from pydantic import SecretStr
from tests.services.call_coach.endpoints.conftest import NOW, Service, StartService
from tests.services.chat_server import ChatServer, completion
from tests.services.implementations import IMPLEMENTATIONS

from tailrace.settings import UpstreamSettings
from tailrace_services.call_coach.analyst import RUBRIC_VERSION
from tailrace_services.call_coach.model import DIMENSIONS
from tailrace_services.chat_endpoint import ChatSettings

SESSIONS = (
    "SELECT dimension, score, strengths, improvements, evidence, rep_id, created_at FROM coaching_sessions "
    "WHERE call_id = $1 AND rubric_version = $2 ORDER BY dimension"
)


async def test_both_implementations_answer_alike(start_service: StartService) -> None:
    """Every field of every call's analysis is the same, asked for the first time and again."""
    answers: dict[str, list[bytes]] = {}
    for name in ("baseline", "optimised"):
        async with (
            start_service(name, rate_limit={"enabled": False})
            if name == "optimised"
            else start_service(name) as service
        ):
            answers[name] = []
            for call_id in (1, 2, 3, 50, 111, 200):
                for _ in range(2):
                    reply = await service.ask("analyze_call", call_id=call_id)
                    assert reply.status_code == 200, reply.text
                    answers[name].append(reply.content)
    assert answers["baseline"] == answers["optimised"]
    assert all(first == again for first, again in zip(answers["baseline"][::2], answers["baseline"][1::2], strict=True))


async def test_what_an_analysis_says(service: Service) -> None:
    """Four dimensions in order, each with evidence that is the call's own words and times, and the figures."""
    body = (await service.ask("analyze_call", call_id=7)).json()
    assert body["api_version"] == "v1"
    data = body["data"]
    assert (data["call_id"], data["analyst"], data["rubric_version"]) == (7, "conversation_metrics", RUBRIC_VERSION)
    assert data["degraded"] is False
    assert data["analysed_at"] == NOW.isoformat().replace("+00:00", "Z")
    assert [each["dimension"] for each in data["dimensions"]] == list(DIMENSIONS)
    turns = {
        row["sequence_number"]: dict(row)
        for row in await service.sql(
            "SELECT sequence_number, start_ms, end_ms, text AS quote, name AS speaker "
            "FROM transcripts t JOIN speakers s ON s.id = t.speaker_id WHERE t.call_id = 7"
        )
    }
    evidence = [each for dimension in data["dimensions"] for each in dimension["evidence"]]
    assert evidence
    for each in evidence:
        said = turns[each["sequence_number"]]
        assert said["quote"].startswith(each["quote"].removesuffix("…"))  # cut at a word where it is long
        assert {**said, "quote": each["quote"]} == each
    assert data["metrics"]["speaking_seconds"] > 0


async def test_only_the_dimensions_asked_for(service: Service) -> None:
    """A selection is a part of the whole, in the rubric's order, and does not change what is stored."""
    part = (await service.ask("analyze_call", call_id=7, dimensions=["engagement", "discovery"])).json()["data"]
    whole = (await service.ask("analyze_call", call_id=7)).json()["data"]
    assert [each["dimension"] for each in part["dimensions"]] == ["discovery", "engagement"]
    assert [each for each in whole["dimensions"] if each in part["dimensions"]] == part["dimensions"]
    assert len(whole["dimensions"]) == 4
    assert {**part, "dimensions": 0} == {**whole, "dimensions": 0}


async def test_sessions_are_stored_for_the_representative(service: Service) -> None:
    """Each dimension that has a score becomes a session of who led the call; none more when asked again."""
    for _ in range(2):
        data = (await service.ask("analyze_call", call_id=7)).json()["data"]
    rows = await service.sql(SESSIONS, 7, RUBRIC_VERSION)
    scored = {each["dimension"]: each for each in data["dimensions"] if each["score"] is not None}
    assert {row["dimension"]: row["score"] for row in rows} == {name: each["score"] for name, each in scored.items()}
    (rep,) = await service.sql(
        "SELECT r.id FROM reps r JOIN speakers s USING (email) WHERE s.call_id = 7 AND company_side = 'rep'"
    )
    assert {(row["rep_id"], row["created_at"]) for row in rows} == {(rep["id"], NOW)}
    assert all(row["strengths"] == scored[row["dimension"]]["strengths"] for row in rows)
    assert len(await service.sql("SELECT FROM call_analyses WHERE call_id = 7")) == 1


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE transcripts SET text = text || '!' WHERE id = (SELECT min(id) FROM transcripts WHERE call_id = 7)",
        "UPDATE transcripts SET end_ms = end_ms + 1 WHERE id = (SELECT max(id) FROM transcripts WHERE call_id = 7)",
        "DELETE FROM transcripts WHERE id = (SELECT max(id) FROM transcripts WHERE call_id = 7)",
        "INSERT INTO transcripts (call_id, speaker_id, sequence_number, start_ms, end_ms, text) "
        "SELECT call_id, speaker_id, 999, end_ms + 100, end_ms + 200, '' FROM transcripts WHERE call_id = 7 LIMIT 1",
        "UPDATE speakers SET company_side = 'partner' WHERE call_id = 7 AND company_side = 'prospect'",
        "UPDATE speakers SET name = 'Somebody Else' WHERE call_id = 7 AND company_side = 'rep'",
        "INSERT INTO speakers (call_id, name, company_side) VALUES (7, 'Silent', 'prospect')",
        "TRUNCATE transcripts",
    ],
)
async def test_any_change_of_the_transcript_is_analysed_anew(service: Service, change: str) -> None:
    """Whoever changes a turn or a speaker, by plain SQL: the next answer is about the call as it is now."""
    before = (await service.ask("analyze_call", call_id=7)).json()["data"]
    await service.sql(change)
    await service.settled()
    after = (await service.ask("analyze_call", call_id=7)).json()["data"]
    assert after["transcript_version"] != before["transcript_version"]
    kept = await service.sql("SELECT transcript_version, is_current FROM call_analyses WHERE call_id = 7")
    assert {(row["transcript_version"], row["is_current"]) for row in kept} == {
        (before["transcript_version"], False),
        (after["transcript_version"], True),
    }
    rows = await service.sql(SESSIONS, 7, RUBRIC_VERSION)
    scores = {each["dimension"]: each["score"] for each in after["dimensions"] if each["score"] is not None}
    assert {row["dimension"]: row["score"] for row in rows} in (scores, {})


async def test_a_transcript_that_returns_is_not_analysed_again(service: Service) -> None:
    """Undoing a change brings the first analysis back, its coaching sessions included."""
    first = await service.ask("analyze_call", call_id=7)
    sessions = await service.sql(SESSIONS, 7, RUBRIC_VERSION)
    side = "UPDATE speakers SET company_side = $1 WHERE call_id = 7 AND company_side = $2"
    await service.sql(side, "partner", "rep")
    await service.settled()
    other = await service.ask("analyze_call", call_id=7)
    assert other.json()["data"]["dimensions"] != first.json()["data"]["dimensions"]
    assert await service.sql(SESSIONS, 7, RUBRIC_VERSION) != sessions
    await service.sql(side, "rep", "partner")
    await service.settled()
    mark = "UPDATE call_analyses SET analysis = jsonb_set(analysis, '{analyst}', '\"marked\"') WHERE call_id = 7"
    await service.sql(mark)
    again = (await service.ask("analyze_call", call_id=7)).json()["data"]
    assert again == {**first.json()["data"], "analyst": "marked"}
    assert await service.sql(SESSIONS, 7, RUBRIC_VERSION) == sessions
    current = await service.sql("SELECT transcript_version FROM call_analyses WHERE call_id = 7 AND is_current")
    assert [row["transcript_version"] for row in current] == [again["transcript_version"]]


async def test_what_is_stored_is_not_analysed_again_unless_forced(service: Service) -> None:
    """A stored analysis is given as it stands; ``force`` makes another, which is what is stored from then on."""
    first = (await service.ask("analyze_call", call_id=7)).json()
    await service.sql("UPDATE call_analyses SET analysis = jsonb_set(analysis, '{analyst}', '\"marked\"')")
    await service.settled()
    assert (await service.ask("analyze_call", call_id=7)).json()["data"]["analyst"] == "marked"
    assert (await service.ask("analyze_call", call_id=7, force=True)).status_code == 401
    assert (await service.ask("analyze_call", call_id=7, force=True, caller=1)).json() == first
    assert (await service.ask("analyze_call", call_id=7)).json() == first
    assert len(await service.sql("SELECT FROM call_analyses WHERE call_id = 7")) == 1
    assert len(await service.sql(SESSIONS, 7, RUBRIC_VERSION)) <= 4


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
async def test_a_degraded_analysis_is_not_kept(start_service: StartService, name: str) -> None:
    """What another analyst said for the model that could not is given, and neither stored nor cached as the model's.

    Whoever asks next asks the model again; and its stored word outlives a forced attempt that fails.
    """
    judged = {each: {"score": 70, "strengths": [], "improvements": [], "turns": [1]} for each in DIMENSIONS}
    settings = UpstreamSettings(max_retries=0, breaker_consecutive=1000)
    with closing(ChatServer()) as model:
        chat = ChatSettings(model.url, "judge", SecretStr(""), settings)
        async with start_service(name, chat=chat) as service:

            async def analyst(answer: tuple[int, bytes], **question: Any) -> tuple[str, bool]:
                model.answers = [answer]
                reply = await service.ask("analyze_call", call_id=7, caller=1, **question)
                assert reply.status_code == 200
                data = reply.json()["data"]
                return data["analyst"], data["degraded"]

            for _ in range(2):
                assert await analyst((500, b"{}")) == ("conversation_metrics", True)
            assert len(model.requests) == 2
            assert await service.sql("SELECT FROM call_analyses") == []
            for rubric_version in (RUBRIC_VERSION, "chat-completions-1/judge"):
                assert await service.sql(SESSIONS, 7, rubric_version) == []
            assert await analyst(completion(judged)) == ("chat_completions", False)
            assert await analyst((500, b"{}"), force=True) == ("conversation_metrics", True)
            assert await analyst((500, b"{}")) == ("chat_completions", False)
            assert len(model.requests) == 4
            (stored,) = await service.sql("SELECT rubric_version, is_current FROM call_analyses")
            assert tuple(stored) == ("chat-completions-1/judge", True)


async def test_an_unknown_call(service: Service) -> None:
    """What is not there is 404 in the service's shape, forced or not; once it is there it is found, then gone again."""
    for question in ({"call_id": 999}, {"call_id": 2**63 - 1}, {"call_id": 999, "force": True}):
        reply = await service.ask("analyze_call", caller=1, **question)
        body = reply.json()
        assert (reply.status_code, body["error"]) == (404, "call_not_found")
        assert set(body) == {"error", "message", "details", "request_id"}
    await service.sql("INSERT INTO calls (id, title, scheduled_at, duration_seconds) VALUES (999, '', now(), 0)")
    await service.settled()
    data = (await service.ask("analyze_call", call_id=999)).json()["data"]
    assert [each["score"] for each in data["dimensions"]] == [None] * 4
    await service.sql("DELETE FROM calls WHERE id = 999")
    await service.settled()
    assert (await service.ask("analyze_call", call_id=999)).status_code == 404


@pytest.mark.parametrize(
    "question",
    [
        {},
        {"call_id": 0},
        {"call_id": -1},
        {"call_id": 2**63},
        {"call_id": "7"},
        {"call_id": 7.0},
        {"call_id": None},
        {"call_id": 7, "dimensions": []},
        {"call_id": 7, "dimensions": ["charm"]},
        {"call_id": 7, "dimensions": ["discovery", "discovery"]},
        {"call_id": 7, "dimensions": "discovery"},
        {"call_id": 7, "force": "yes"},
        {"call_id": 7, "forced": True},
    ],
)
async def test_a_question_that_makes_no_sense(service: Service, question: dict[str, Any]) -> None:
    """Values that are missing, unknown, or out of range are 422, each named; what was sent is not repeated."""
    reply = await service.ask("analyze_call", **question)
    body = reply.json()
    assert (reply.status_code, body["error"]) == (422, "validation_error")
    assert all(set(each) == {"location", "message", "type"} for each in body["details"]["errors"])
    assert await service.sql("SELECT FROM call_analyses") == []
