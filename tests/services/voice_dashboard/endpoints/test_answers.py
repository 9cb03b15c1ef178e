"""Both implementations give the same answers: for every user, at awkward moments, after any sequence of writes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.services.voice_dashboard.endpoints.conftest import NOW, Service, StartService

USERS = range(1, 61)

MOMENTS = {
    "the middle of an hour": NOW,
    "a full hour": datetime(2026, 3, 31, 11, tzinfo=UTC),
    "midnight between two months": datetime(2026, 3, 1, tzinfo=UTC),
    "a microsecond into a year": datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
    "the last microsecond of a year": datetime(2025, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    "the hour that summer time skips": datetime(2026, 3, 29, 1, 30, tzinfo=UTC),
    "before all data": datetime(2024, 2, 29, 12, tzinfo=UTC),
}


def without_cache_info(body: Any) -> Any:
    """The only part in which two correct answers may differ."""
    return {name: value for name, value in body.items() if name != "cacheInfo"}


async def compare(baseline: Service, optimised: Service, path: str, user: int) -> Any:
    """The answer that both give; they must agree to the last byte but for ``cacheInfo``."""
    before, after = await baseline.get(path, user=user), await optimised.get(path, user=user)
    assert (before.status_code, after.status_code) == (200, 200), (path, user, before.text, after.text)
    if path.endswith("/overview"):
        assert list(before.json()) == list(after.json())
        assert without_cache_info(before.json()) == without_cache_info(after.json()), (path, user)
    else:
        assert before.content == after.content, (path, user)
    return after.json()


async def compare_all(baseline: Service, optimised: Service, users: Any, days: Any = (7,)) -> None:
    for user in users:
        await compare(baseline, optimised, "/api/dashboard/overview", user)
        await compare(baseline, optimised, "/api/billing/credits", user)
        for count in days:
            await compare(baseline, optimised, f"/api/dashboard/analytics?days={count}", user)


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
async def test_every_user_gets_the_same_figures_from_both(moment: datetime, start_service: StartService) -> None:
    """Summaries by the hour with raw ends are exact wherever a window begins and ends."""
    users = USERS if moment == NOW else (1, 2, 3, 30, 60)
    async with start_service("baseline", now=moment) as baseline, start_service("optimised", now=moment) as optimised:
        await compare_all(baseline, optimised, users, days=(7,) if moment == NOW else (1, 2, 90))


async def test_agents_are_the_same_from_both(start_service: StartService) -> None:
    """With the provider healthy nothing is degraded, and one agent reads as it does in the list."""
    async with start_service("baseline") as baseline, start_service("optimised") as optimised:
        for user in (1, 2, 59):
            listed = await compare(baseline, optimised, "/api/agents", user)
            assert listed["agents"]
            assert not listed["degraded"]
            for agent in listed["agents"][:3]:
                assert agent["configuration"]
                one = await compare(baseline, optimised, f"/api/agents/{agent['id']}", user)
                assert one == agent
                path = f"/api/agents/{agent['id']}/configuration"
                assert (await compare(baseline, optimised, path, user))["configuration"] == agent["configuration"]


async def test_calls_exactly_on_the_edges_of_windows_count_once(start_service: StartService) -> None:
    """A window excludes its first moment and includes its last; days include their midnight."""
    moment = datetime(2026, 3, 31, 11, tzinfo=UTC)
    edges = [moment - timedelta(days=30), moment, datetime(2026, 3, 25, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)]
    microsecond = timedelta(microseconds=1)
    insert = (
        "INSERT INTO calls (user_id, agent_id, status, duration_minutes, credits_used, created_at) "
        "SELECT user_id, id, 'completed', 0.001, 0.01, $1 FROM agents WHERE user_id = 7 ORDER BY id LIMIT 1"
    )
    clear = "DELETE FROM lead_analytics WHERE call_id IN (SELECT id FROM calls WHERE user_id = 7)"
    async with start_service("baseline", now=moment) as baseline, start_service("optimised", now=moment) as optimised:
        for service in (baseline, optimised):
            await service.sql(clear)
            await service.sql("DELETE FROM calls WHERE user_id = 7")
            for edge in edges:
                for offset in (-microsecond, timedelta(0), microsecond):
                    await service.sql(insert, edge + offset)
        overview = await compare(baseline, optimised, "/api/dashboard/overview", 7)
        # Inside: the first edge's microsecond after, the last one's before and itself, all three of the 25th.
        assert overview["kpis"]["totalInteractions"] == 1 + 2 + 3
        # This month: -1 us and the edge of now, three of the 25th, the 1st's midnight and the microsecond after it; and
        # the 30 days ago, which are the 1st at 11 o'clock, with their neighbours.
        assert overview["credits"]["usedThisMonth"] == 0.1
        analytics = await compare(baseline, optimised, "/api/dashboard/analytics?days=7", 7)
        assert [day["calls"] for day in analytics["callsPerDay"]["data"]] == [2, 0, 0, 0, 0, 0, 2]


async def test_a_user_without_anything_gets_zeros_and_nulls(service: Service) -> None:
    """Nothing to divide by is null, nothing to count is zero, every day is present."""
    await service.sql("DELETE FROM lead_analytics WHERE call_id IN (SELECT id FROM calls WHERE user_id = 9)")
    await service.sql("DELETE FROM calls WHERE user_id = 9")
    await service.sql("DELETE FROM agents WHERE user_id = 9")
    overview = (await service.get("/api/dashboard/overview", user=9)).json()
    assert overview["kpis"] == {
        "totalLeads": 0,
        "totalInteractions": 0,
        "leadsConverted": 0,
        "conversionRate": None,
        "conversationsPerHour": 0.0,
        "averageLeadScore": None,
        "callSuccessRate": None,
    }
    assert overview["recentActivity"] == []
    assert overview["agents"] == {"total": 0, "active": 0, "draft": 0}
    analytics = (await service.get("/api/dashboard/analytics?days=90", user=9)).json()
    assert len(analytics["callsPerDay"]["data"]) == len(analytics["leadsPerDay"]["data"]) == 90
    assert analytics["firstDay"] == "2026-01-01"
    assert {day["calls"] for day in analytics["callsPerDay"]["data"]} == {0}
    assert len(analytics["successByHour"]["data"]) == 24
    assert analytics["agentComparison"]["data"] == []
    assert (await service.get("/api/agents", user=9)).json()["agents"] == []


async def test_figures_are_those_of_their_definitions(service: Service) -> None:
    """Counted by hand: three calls, two leads, halves rounded away from zero."""
    await service.sql("DELETE FROM lead_analytics WHERE call_id IN (SELECT id FROM calls WHERE user_id = 9)")
    await service.sql("DELETE FROM calls WHERE user_id = 9")
    agent = (await service.sql("SELECT id FROM agents WHERE user_id = 9 AND is_active ORDER BY id LIMIT 1"))[0]["id"]
    balance = (await service.get("/api/billing/credits", user=9)).json()["credits"]
    ids = []
    for status, minutes in (("completed", "2.005"), ("completed", "1.000"), ("busy", "0")):
        body = {"agentId": agent, "status": status, "durationMinutes": minutes, "creditsUsed": "1.25"}
        ids.append((await service.post("/api/calls", body, user=9)).json()["id"])
    for call, score in ((ids[0], 70), (ids[1], 39)):
        assert (await service.post(f"/api/calls/{call}/lead", {"totalScore": score}, user=9)).status_code == 201
    overview = (await service.get("/api/dashboard/overview", user=9)).json()
    assert overview["kpis"] == {
        "totalLeads": 2,
        "totalInteractions": 3,
        "leadsConverted": 1,
        "conversionRate": 50.0,
        "conversationsPerHour": 0.0028,
        "averageLeadScore": 54.5,
        "callSuccessRate": 66.67,
    }
    assert overview["conversations"]["totalMinutes"] == 3.005
    assert overview["conversations"]["averageMinutes"] == 1.0
    assert overview["leads"] == {"total": 2, "hot": 1, "warm": 0, "cold": 1}
    assert overview["credits"]["usedThisMonth"] == 3.75
    assert overview["credits"]["current"] == pytest.approx(balance - 3.75, abs=1e-9)
    newest = overview["recentActivity"]
    assert [call["callId"] for call in newest] == ids[::-1]
    assert [call["leadScore"] for call in newest] == [None, 39, 70]
    analytics = (await service.get("/api/dashboard/analytics?days=1", user=9)).json()
    assert analytics["callsPerDay"]["data"] == [
        {"date": "2026-03-31", "calls": 3, "successful": 2, "minutes": 3.005, "creditsUsed": 3.75}
    ]
    assert analytics["successByHour"]["data"][11] == {"hour": 11, "calls": 3, "successful": 2, "successRate": 66.67}
    assert analytics["agentComparison"]["data"][0]["agentId"] == agent


WRITES = st.one_of(
    st.fixed_dictionaries(
        {
            "kind": st.just("call"),
            "status": st.sampled_from(["completed", "failed", "no_answer", "busy", "in_progress"]),
            "minutes": st.decimals(0, 1440, places=3),
            "credits": st.decimals(0, 500, places=2),
            "seconds_ago": st.one_of(st.none(), st.integers(-60, 366 * 86_400), st.sampled_from([0, 30 * 86_400])),
            "agent": st.integers(0, 3),
        }
    ),
    st.fixed_dictionaries(
        {"kind": st.just("lead"), "score": st.sampled_from([0, 39, 40, 69, 70, 100]), "call": st.integers(0, 50)}
    ),
    st.fixed_dictionaries({"kind": st.just("agent"), "status": st.sampled_from(["active", "draft", "paused"])}),
    st.fixed_dictionaries(
        {
            "kind": st.just("change"),
            "name": st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20).filter(
                str.strip
            ),
            "agent": st.integers(0, 3),
        }
    ),
    st.fixed_dictionaries({"kind": st.just("delete"), "agent": st.integers(0, 3)}),
    st.fixed_dictionaries({"kind": st.just("drop"), "call": st.integers(0, 50)}),
)


async def write(service: Service, user: int, step: dict[str, Any]) -> int:
    """Do ``step`` through the API, or, for ``drop``, behind its back. Gives the status."""
    agents = [row["id"] for row in await service.sql("SELECT id FROM agents WHERE user_id = $1 ORDER BY id", user)]
    newest = "SELECT id FROM calls WHERE user_id = $1 ORDER BY created_at DESC, id DESC LIMIT 51"
    calls = [row["id"] for row in await service.sql(newest, user)]
    agent = agents[step.get("agent", 0) % len(agents)] if agents else 1
    call = calls[step.get("call", 0) % len(calls)] if calls else 1
    match step["kind"]:
        case "call":
            ago = step["seconds_ago"]
            moment = {} if ago is None else {"createdAt": (NOW - timedelta(seconds=ago)).isoformat()}
            body = {"agentId": agent, "status": step["status"], "durationMinutes": str(step["minutes"]), **moment}
            return (
                await service.post("/api/calls", {**body, "creditsUsed": str(step["credits"])}, user=user)
            ).status_code
        case "lead":
            return (await service.post(f"/api/calls/{call}/lead", {"totalScore": step["score"]}, user=user)).status_code
        case "agent":
            body = {"name": "New", "type": "support", "status": step["status"]}
            return (await service.post("/api/agents", body, user=user)).status_code
        case "change":
            return (
                await service.request("PATCH", f"/api/agents/{agent}", json={"name": step["name"]}, user=user)
            ).status_code
        case "delete":
            return (await service.request("DELETE", f"/api/agents/{agent}", user=user)).status_code
        case _:
            await service.sql("DELETE FROM calls WHERE id = $1 AND user_id = $2", call, user)
            return 200


async def test_after_any_writes_both_still_agree(start_service: StartService) -> None:
    """No sequence of writes, through the API or behind it, leaves a summary or a cached answer behind."""
    async with start_service("baseline") as baseline, start_service("optimised") as optimised:

        async def run(user: int, steps: list[dict[str, Any]]) -> None:
            for step in steps:
                statuses = [await write(service, user, step) for service in (baseline, optimised)]
                assert statuses[0] == statuses[1], step
                if step["kind"] == "drop":
                    await optimised.settled()
                await compare(baseline, optimised, "/api/dashboard/overview", user)
            await compare_all(baseline, optimised, [user], days=(1, 90))
            await compare(baseline, optimised, "/api/agents", user)

        await run_examples(run)


async def run_examples(run: Any) -> None:
    """Hypothesis calls tests, which cannot await; so it draws here, and the event loop runs what it drew."""
    drawn: list[tuple[int, list[dict[str, Any]]]] = []

    @settings(max_examples=6, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.integers(30, 60), st.lists(WRITES, min_size=1, max_size=5))
    def draw(user: int, steps: list[dict[str, Any]]) -> None:
        drawn.append((user, steps))

    draw()
    for user, steps in drawn:
        await run(user, steps)


async def test_recent_activity_is_ordered_by_time_then_by_id(service: Service) -> None:
    """Calls of one moment come newest id first, in both implementations."""
    agent = (await service.sql("SELECT id FROM agents WHERE user_id = 5 AND is_active ORDER BY id LIMIT 1"))[0]["id"]
    body = {"agentId": agent, "status": "completed", "createdAt": NOW.isoformat()}
    ids = [(await service.post("/api/calls", body, user=5)).json()["id"] for _ in range(25)]
    overview = (await service.get("/api/dashboard/overview", user=5)).json()
    assert [call["callId"] for call in overview["recentActivity"]] == ids[:4:-1]


async def test_moments_are_written_in_utc_whatever_was_sent(service: Service) -> None:
    """An offset changes how a moment is written, not which one it is."""
    agent = (await service.sql("SELECT id FROM agents WHERE user_id = 5 AND is_active ORDER BY id LIMIT 1"))[0]["id"]
    body = {"agentId": agent, "status": "failed", "createdAt": "2026-03-31T13:00:00.5+02:00"}
    row = (await service.post("/api/calls", body, user=5)).json()
    assert row["createdAt"] == "2026-03-31T11:00:00.500000Z"
    activity = (await service.get("/api/dashboard/overview", user=5)).json()["recentActivity"]
    assert row["createdAt"] in [call["createdAt"] for call in activity]
