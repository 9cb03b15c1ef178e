"""The optimised service on bad days: the provider slow or down, the database slow or gone; and writes seen at once."""

from __future__ import annotations

import asyncio

import asyncpg
import httpx2
import pytest
from tests.services.voice_dashboard.endpoints.conftest import NOW, Provider, Service, StartService
from tests.waiting import wait_until

from tailrace.embedded import PostgresServer
from tailrace.settings import FreshnessSettings
from tailrace_services.voice_dashboard.optimised import analytics as analytics_module


async def test_a_failing_provider_degrades_agents_and_fails_nothing(optimised: Service, provider: Provider) -> None:
    """200 with every figure; the configuration is null, the reason is given, and a second later it is asked again."""
    provider.misbehave(outage="unavailable")
    response = await optimised.get("/api/agents", user=4)
    assert response.status_code == 200
    body = response.json()
    assert body["degraded"]
    assert body["agents"]
    for agent in body["agents"]:
        assert agent["configuration"] is None
        assert agent["configurationAge"] is None
        assert agent["degradedReason"] in (
            "EXTERNAL_API_TIMEOUT",
            "EXTERNAL_API_RETRY_FAILED",
            "EXTERNAL_API_SUSPENDED",
        )
        assert agent["performance"]["conversations"] >= 0
    assert response.headers["cache-control"] == "private, max-age=1"
    agent = body["agents"][0]["id"]
    for path in (f"/api/agents/{agent}", f"/api/agents/{agent}/configuration"):
        single = await optimised.get(path, user=4)
        assert single.status_code == 200
        assert single.json()["degraded"]


async def test_a_hanging_provider_costs_no_more_than_the_patience(optimised: Service, provider: Provider) -> None:
    """Nobody waits for a provider that does not answer: the list comes, marked as timed out or not asked."""
    provider.misbehave(hang=1.0)
    async with asyncio.timeout(30):
        body = (await optimised.get("/api/agents", user=4)).json()
    assert {agent["degradedReason"] for agent in body["agents"]} <= {"EXTERNAL_API_TIMEOUT", "EXTERNAL_API_SUSPENDED"}


async def test_the_provider_is_asked_while_the_figures_are_summed(optimised: Service, provider: Provider) -> None:
    """Neither waits for the other, and an agent created between the two statements has its configuration too."""

    async def served() -> int:
        async with httpx2.AsyncClient() as http:
            return sum((await http.get(f"{provider.url}/_control")).json()["served"].values())

    before = await served()

    async def asked() -> bool:
        return await served() > before

    other = await asyncpg.connect(optimised.database_url)
    try:
        async with other.transaction():
            await other.execute("LOCK TABLE agent_analytics IN ACCESS EXCLUSIVE MODE")
            answer = asyncio.create_task(optimised.get("/api/agents", user=4))
            await wait_until(asked)
            assert not answer.done()
            await other.execute(
                "INSERT INTO agents (user_id, external_id, name, type, status, description) "
                "VALUES (4, 'agent_just_now', 'Just now', 'inbound', 'active', '')"
            )
        response = await answer
    finally:
        await other.close()
    assert response.status_code == 200
    (created,) = [agent for agent in response.json()["agents"] if agent["externalId"] == "agent_just_now"]
    assert created["configuration"] is not None or created["degraded"]


async def test_the_last_known_configuration_survives_the_process(
    start_service: StartService, provider: Provider
) -> None:
    """What was archived by one process serves the next one in an outage, with its age, and ends no cached answer."""
    async with start_service("optimised") as first:
        healthy = (await first.get("/api/agents", user=4)).json()
        before = (await first.get("/api/dashboard/overview", user=4)).json()
        assert not healthy["degraded"]
        count = len(healthy["agents"])
        async with asyncio.timeout(30):
            while (await first.sql("SELECT count(*) AS n FROM provider_configurations"))[0]["n"] < count:
                await asyncio.sleep(0.01)
        await first.settled()
        after = (await first.get("/api/dashboard/overview", user=4)).json()
        assert after["cacheInfo"]["status"] == "hit"
        assert after["cacheInfo"]["calculatedAt"] == before["cacheInfo"]["calculatedAt"]
        provider.misbehave(outage="unavailable")
        async with start_service("optimised", database=first.database_url) as second:
            degraded = (await second.get("/api/agents", user=4)).json()
    assert degraded["degraded"]
    for agent, known in zip(degraded["agents"], healthy["agents"], strict=True):
        assert agent["configuration"] == known["configuration"]
        assert agent["configurationAge"] >= 0
        assert agent["degradedReason"]


async def test_an_agent_the_provider_does_not_know_is_not_degraded(service: Service) -> None:
    """404 from the provider is an answer: there is no configuration."""
    row = (await service.post("/api/agents", {"name": "N", "type": "x", "externalId": "unknown-there"}, user=4)).json()
    body = (await service.get(f"/api/agents/{row['id']}", user=4)).json()
    assert (body["configuration"], body["degraded"], body["degradedReason"]) == (None, False, None)


async def test_the_original_fails_when_the_provider_does(start_service: StartService, provider: Provider) -> None:
    """One failed call fails the whole list, in the service's own body."""
    provider.misbehave(outage="unavailable")
    async with start_service("baseline") as baseline:
        response = await baseline.get("/api/agents", user=60)
    assert response.status_code == 502
    assert response.json()["error"]["code"] == "EXTERNAL_API_RETRY_FAILED"


async def test_a_late_data_set_is_marked_and_the_others_are_whole(
    optimised: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock on one summary delays what reads it and nothing else; the partial answer is not kept."""
    monkeypatch.setattr(analytics_module, "DATASET_TIMEOUT", 0.7)
    whole = (await optimised.get("/api/dashboard/analytics?days=5", user=6)).json()
    await optimised.sql("UPDATE users SET credits = credits WHERE id = 6")
    await optimised.settled()
    (folded,) = await optimised.sql(
        "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables "
        "WHERE schemaname = 'tailrace' AND tablename LIKE '%agent_analytics'"
    )
    connection = await asyncpg.connect(optimised.database_url)
    try:
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE {folded['name']} IN ACCESS EXCLUSIVE MODE")
            response = await optimised.get("/api/dashboard/analytics?days=5", user=6)
    finally:
        await connection.close()
    body = response.json()
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    assert body["partial"] is True
    assert body["partialDatasets"] == ["agentComparison"]
    assert body["agentComparison"] == {"partial": True, "data": None}
    for name in ("callsPerDay", "leadsPerDay", "leadQuality", "successByHour"):
        assert body[name] == whole[name]
    assert (await optimised.get("/api/dashboard/analytics?days=5", user=6)).json() == whole


async def test_without_the_database_the_last_known_answer_comes_with_the_error(
    start_service: StartService, postgres: PostgresServer
) -> None:
    """503 with ``fallbackData`` for what was asked before, without for what was not; afterwards all is as it was."""
    # The horizon stays trusted for longer than the outage, so that it is known who asks.
    patient = FreshnessSettings(bound=60.0, token_ttl=120.0)
    addresses = ("/api/dashboard/overview", "/api/dashboard/analytics?days=7", "/api/agents")
    async with start_service("optimised", freshness=patient) as service:
        known = {path: (await service.get(path, user=6)).json() for path in addresses}
        await service.sql(
            "INSERT INTO calls (user_id, agent_id, status, created_at) "
            "SELECT user_id, id, 'busy', $1 FROM agents WHERE user_id = 6 ORDER BY id LIMIT 1",
            NOW,
        )
        await service.settled()
        postgres.stop()
        try:
            answers = {
                path: await service.get(path, user=6) for path in (*addresses, "/api/dashboard/analytics?days=8")
            }
        finally:
            postgres.start()
        for path, response in answers.items():
            assert response.status_code == 503
            assert int(response.headers["retry-after"]) >= 1
            error = response.json()["error"]
            assert error["code"] == "DATABASE_UNAVAILABLE"
            fallback = error["fallbackData"]
            if path not in known:
                assert fallback is None
            elif path == addresses[0]:
                assert fallback["cacheInfo"]["stale"] is True
                assert {**fallback, "cacheInfo": None} == {**known[path], "cacheInfo": None}
            else:
                assert fallback == known[path]
        after = (await service.get("/api/dashboard/overview", user=6)).json()
        assert after["conversations"]["busy"] == known[addresses[0]]["conversations"]["busy"] + 1


async def test_every_read_comes_from_the_cache_until_its_user_writes(optimised: Service) -> None:
    """Balance and configuration too; the overview, which says how old it is, says so each time it is sent."""
    agent = (await optimised.get("/api/agents", user=12)).json()["agents"][0]["id"]
    paths = (
        "/api/dashboard/overview",
        "/api/dashboard/analytics?days=7",
        "/api/agents",
        f"/api/agents/{agent}",
        f"/api/agents/{agent}/configuration",
        "/api/billing/credits",
    )
    for path in paths:
        await optimised.get(path, user=12)
    for path in paths:
        assert (await optimised.get(path, user=12)).headers["cache-status"].startswith("tailrace; hit"), path
    overview = await optimised.get(paths[0], user=12)
    info = overview.json()["cacheInfo"]
    assert (info["status"], info["stale"]) == ("hit", False)
    assert 0 < info["age"] < 60
    assert info["age"] + info["expires"] == pytest.approx(60, rel=0.11)
    assert "etag" not in overview.headers
    balance = (await optimised.get(paths[-1], user=12)).json()["credits"]
    call = {"agentId": agent, "status": "completed", "creditsUsed": 2.5}
    assert (await optimised.post("/api/calls", call, user=12)).status_code == 201
    after = (await optimised.get(paths[-1], user=12)).json()["credits"]
    assert after == pytest.approx(balance - 2.5, abs=1e-9)
    gone = await optimised.request("DELETE", f"/api/agents/{agent}", user=12)
    assert gone.status_code == 204
    assert (await optimised.get(paths[4], user=12)).status_code == 404


async def test_who_is_switched_off_gets_nothing_from_the_cache(optimised: Service) -> None:
    """Every kept answer ends with the account, and with a new key the old one opens nothing."""
    paths = ("/api/dashboard/overview", "/api/billing/credits", "/api/agents")
    for _ in range(2):
        for path in paths:
            assert (await optimised.get(path, user=13)).status_code == 200
    await optimised.sql("UPDATE users SET is_active = false WHERE id = 13")
    await optimised.settled()
    assert [(await optimised.get(path, user=13)).status_code for path in paths] == [403, 403, 403]
    await optimised.sql("UPDATE users SET is_active = true, api_key_hash = repeat('0', 64) WHERE id = 13")
    await optimised.settled()
    assert [(await optimised.get(path, user=13)).status_code for path in paths] == [401, 401, 401]


async def test_a_write_is_in_the_next_read_of_everything_it_changes(service: Service) -> None:
    """Warm every answer, write, read again: new figures at once. What does not depend on the write stays cached."""
    reads = ("/api/dashboard/overview", "/api/dashboard/analytics?days=2", "/api/agents")
    agents = (await service.get("/api/agents", user=10)).json()["agents"]
    agent = agents[0]["id"]
    for path in reads:
        await service.get(path, user=10)
        await service.get(path, user=11)
    call = {"agentId": agent, "status": "completed", "durationMinutes": 1.5, "creditsUsed": 2.5}
    before = (await service.get(reads[0], user=10)).json()
    row = (await service.post("/api/calls", call, user=10)).json()
    after = (await service.get(reads[0], user=10)).json()
    assert after["recentActivity"][0]["callId"] == row["id"]
    assert after["kpis"]["totalInteractions"] == before["kpis"]["totalInteractions"] + 1
    assert after["credits"]["current"] == pytest.approx(before["credits"]["current"] - 2.5, abs=1e-9)
    performance = (await service.get("/api/agents", user=10)).json()["agents"][0]["performance"]
    assert performance["conversations"] == agents[0]["performance"]["conversations"] + 1
    await service.post(f"/api/calls/{row['id']}/lead", {"totalScore": 90}, user=10)
    assert (await service.get(reads[0], user=10)).json()["recentActivity"][0]["leadScore"] == 90
    await service.request("PATCH", f"/api/agents/{agent}", json={"name": "Renamed"}, user=10)
    assert (await service.get("/api/agents", user=10)).json()["agents"][0]["name"] == "Renamed"
    assert (await service.get(reads[0], user=10)).json()["recentActivity"][0]["agentName"] == "Renamed"
    await service.request("DELETE", f"/api/agents/{agent}", user=10)
    assert agent not in [each["id"] for each in (await service.get("/api/agents", user=10)).json()["agents"]]
    assert (await service.get(f"/api/agents/{agent}", user=10)).status_code == 404
    others = (await service.get(reads[0], user=11)).json()["cacheInfo"]["status"]
    assert others == ("hit" if service.name == "optimised" else "miss")
