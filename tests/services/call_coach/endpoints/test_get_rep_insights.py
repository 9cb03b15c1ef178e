"""``get_rep_insights``, by both implementations."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.services.call_coach.endpoints.conftest import Service, StartService
from tests.waiting import wait_until

from tailrace_services.call_coach.model import DIMENSIONS

ANN = "rep0001@tailrace.example"
YEAR = {"first_day": "2025-04-01", "last_day": "2026-03-31"}
SESSION = (
    "INSERT INTO coaching_sessions (call_id, rep_id, dimension, score, improvements, rubric_version, created_at) "
    "VALUES ($1, $2, $3, $4, $5, $6, $7)"
)


async def test_averages_are_the_sessions(service: Service) -> None:
    """Averages and counts are those of the rows, and weeks make up the whole."""
    data = (await service.ask("get_rep_insights", rep_email=ANN, period=YEAR)).json()["data"]
    assert data["rep"]["email"] == ANN
    assert data["period"] == YEAR
    rows = await service.sql(
        "SELECT dimension, count(*) AS sessions, avg(score)::float8 AS average FROM coaching_sessions "
        "WHERE rep_id = 1 AND created_at >= '2025-04-01Z' AND created_at < '2026-04-01Z' GROUP BY 1"
    )
    expected = {row["dimension"]: (row["sessions"], round(row["average"], 2)) for row in rows}
    assert {each["dimension"]: (each["sessions"], each["average"]) for each in data["dimensions"]} == expected
    assert [each["dimension"] for each in data["dimensions"]] == list(DIMENSIONS)
    assert all(sum(week["sessions"] for week in each["weeks"]) == each["sessions"] for each in data["dimensions"])
    assert data["sessions"] == sum(sessions for sessions, _ in expected.values())
    assert data["note"] is None
    assert data["peers"] == 5


async def test_the_period_is_the_latest_days_by_default(service: Service) -> None:
    """Ninety days that end with the service's today."""
    data = (await service.ask("get_rep_insights", rep_email=ANN)).json()["data"]
    assert data["period"] == {"first_day": "2026-01-01", "last_day": "2026-03-31"}


async def test_days_are_whole_and_in_utc(service: Service) -> None:
    """The first moment of the first day counts and the last of the last; what touches them from outside does not."""
    microsecond = "2026-03-31 23:59:59.999999+00", "2026-04-01 00:00:00+00", "2026-02-28 23:59:59.999999+00"
    inside, behind, before = (datetime.fromisoformat(each) for each in microsecond)
    first = datetime(2026, 3, 1, tzinfo=UTC)
    await service.sql("DELETE FROM coaching_sessions")
    for score, moment in ((10, first), (20, inside), (90, behind), (100, before)):
        await service.sql(SESSION, 1, 1, "discovery", score, [], "manager-1", moment)
    await service.settled()
    march = {"first_day": "2026-03-01", "last_day": "2026-03-31"}
    data = (await service.ask("get_rep_insights", rep_email=ANN, period=march)).json()["data"]
    assert (data["sessions"], data["average"], data["percentile"]) == (2, 15.0, None)


async def test_one_rubric_at_a_time(service: Service) -> None:
    """Scores of different rubrics are not mixed: that of most sessions, or the one that is asked for."""
    await service.sql("DELETE FROM coaching_sessions")
    moment = datetime(2026, 3, 2, tzinfo=UTC)
    for rubric, scores in (("manager-1", (40, 50)), ("other-2", (100,))):
        for score in scores:
            await service.sql(SESSION, 1, 1, "discovery", score, ["listen"], rubric, moment)
    await service.sql(SESSION, 1, 2, "discovery", 80, [], "other-2", moment)
    await service.settled()
    most = (await service.ask("get_rep_insights", rep_email=ANN)).json()["data"]
    assert (most["rubric_version"], most["average"], most["peers"]) == ("manager-1", 45.0, 0)
    asked = (await service.ask("get_rep_insights", rep_email=ANN, rubric_version="other-2")).json()["data"]
    assert (asked["average"], asked["peers"], asked["percentile"]) == (100.0, 1, 75.0)
    unknown = (await service.ask("get_rep_insights", rep_email=ANN, rubric_version="none")).json()["data"]
    assert (unknown["rubric_version"], unknown["sessions"], unknown["peers"]) == ("none", 0, 0)


async def test_only_one_product(service: Service) -> None:
    """With a product, only sessions about its calls count, the peers' too; a product nobody knows has none."""
    (row,) = await service.sql(
        "SELECT product, count(*) AS sessions FROM coaching_sessions JOIN calls ON calls.id = call_id "
        "WHERE rep_id = 1 AND coaching_sessions.created_at >= '2025-04-01Z' GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 1"
    )
    ask = {"rep_email": ANN, "period": YEAR}
    data = (await service.ask("get_rep_insights", product=row["product"], **ask)).json()["data"]
    assert (data["product"], data["sessions"]) == (row["product"], row["sessions"])
    nothing = (await service.ask("get_rep_insights", product="Nothing", **ask)).json()["data"]
    assert (nothing["sessions"], nothing["peers"]) == (0, 0)
    assert "no coaching sessions" in nothing["note"]


async def test_a_representative_without_sessions(service: Service) -> None:
    """The answer says so: no average, no percentile, nothing to divide by."""
    await service.sql("INSERT INTO reps (email, name) VALUES ('new@tailrace.example', 'New')")
    await service.settled()
    reply = await service.ask("get_rep_insights", rep_email="new@tailrace.example")
    assert reply.status_code == 200
    data = reply.json()["data"]
    assert "no coaching sessions" in data["note"]
    assert (data["sessions"], data["average"], data["percentile"], data["rubric_version"]) == (0, None, None, None)
    assert [each["average"] for each in data["dimensions"]] == [None] * 4
    assert (data["skill_gaps"], data["plan"]) == ([], [])


async def test_somebody_unknown(service: Service) -> None:
    """404 in the service's shape; and known as soon as they are there."""
    reply = await service.ask("get_rep_insights", rep_email="nobody@tailrace.example")
    assert reply.status_code == 404
    assert reply.json()["error"] == "rep_not_found"
    await service.sql("INSERT INTO reps (email, name) VALUES ('nobody@tailrace.example', 'Somebody')")
    await service.settled()
    assert (await service.ask("get_rep_insights", rep_email="nobody@tailrace.example")).status_code == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"rep_email": ""},
        {"rep_email": "a\x00b"},
        {"rep_email": ANN, "period": {"first_day": "2026-03-02", "last_day": "2026-03-01"}},
        {"rep_email": ANN, "period": {"first_day": "2024-01-01", "last_day": "2025-01-01"}},
        {"rep_email": ANN, "period": {"first_day": "2026-02-30", "last_day": "2026-03-01"}},
        {"rep_email": ANN, "period": {"first_day": "9999-12-31", "last_day": "9999-12-31"}},
        {"rep_email": ANN, "period": {"first_day": "2026-03-01"}},
        {"rep_email": ANN, "products": "Harbor Storage"},
        {"rep_email": ANN, "product": ""},
    ],
)
async def test_what_is_refused(service: Service, wrong: dict[str, Any]) -> None:
    """A question that makes no sense is 422, and nothing of the database is asked."""
    reply = await service.ask("get_rep_insights", **wrong)
    assert reply.status_code == 422, reply.text
    assert reply.json()["error"] == "validation_error"


async def test_a_write_beside_the_service_is_seen(service: Service) -> None:
    """A session that somebody adds by psql is in the next answer, also where the answer was kept."""
    before = (await service.ask("get_rep_insights", rep_email=ANN)).json()["data"]
    again = (await service.ask("get_rep_insights", rep_email=ANN)).json()["data"]
    await service.sql(SESSION, 1, 1, "discovery", 1, [], "manager-1", datetime(2026, 3, 30, tzinfo=UTC))
    await service.settled()
    after = (await service.ask("get_rep_insights", rep_email=ANN)).json()["data"]
    assert before == again
    assert after["sessions"] == before["sessions"] + 1


async def test_repeated_questions_are_answered_from_the_cache(start_service: StartService) -> None:
    """Once an answer is kept it takes no statement, and is the same."""
    async with start_service("optimised") as service:
        first = await service.ask("get_rep_insights", rep_email=ANN, period=YEAR)
        await service.sql("ALTER TABLE coaching_by_day RENAME TO coaching_by_day_hidden")

        async def kept() -> bool:
            """Whether it is answered without the table; for a process that hears too late of writes, it is not."""
            await service.sql("ALTER TABLE coaching_by_day_hidden RENAME TO coaching_by_day")
            await service.ask("get_rep_insights", rep_email=ANN, period=YEAR)
            await service.sql("ALTER TABLE coaching_by_day RENAME TO coaching_by_day_hidden")
            again = await service.ask("get_rep_insights", rep_email=ANN, period=YEAR)
            return (again.status_code, again.content) == (200, first.content)

        await wait_until(kept)
