"""The simulator keeps to the provider's contract, and misbehaves as told."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import httpx2
import pytest
from elevenlabs.client import AsyncElevenLabs
from elevenlabs.core.api_error import ApiError
from elevenlabs.types import GetAgentResponseModel
from hypothesis import given
from hypothesis import strategies as st
from tests.services.voice_dashboard.provider.running import RunningSimulator
from tests.waiting import wait_until

from tailrace_services.voice_dashboard.provider.catalogue import agent_body
from tailrace_services.voice_dashboard.provider.faults import Faults, FaultSettings

AGENT = "agent_00001_007"


@pytest.fixture
async def sdk(simulator: RunningSimulator):  # type: ignore[no-untyped-def]
    """The provider's official client library, pointed at the simulator."""
    from httpx import AsyncClient

    async with AsyncClient() as http:
        yield AsyncElevenLabs(base_url=simulator.url, api_key="key", httpx_client=http)


async def test_the_official_sdk_reads_an_agent(sdk: AsyncElevenLabs) -> None:
    """Every part that the service shows arrives typed, and the whole answer fits the SDK's own models."""
    agent = await sdk.conversational_ai.agents.get(agent_id=AGENT)
    assert agent.agent_id == AGENT
    settings = agent.conversation_config
    assert settings.agent is not None
    assert settings.agent.prompt is not None
    assert settings.tts is not None
    assert settings.conversation is not None
    assert settings.agent.language in {"en", "de", "es", "fr", "pt", "it", "nl", "pl"}
    assert isinstance(settings.agent.prompt.llm, str)
    assert isinstance(settings.tts.stability, float)
    assert (settings.conversation.max_duration_seconds or 0) >= 300
    assert agent.metadata.created_at_unix_secs <= agent.metadata.updated_at_unix_secs


@given(st.from_regex(r"agent_[A-Za-z0-9_-]{1,94}", fullmatch=True))
def test_every_agent_fits_the_sdks_models_strictly(agent_id: str) -> None:
    """The SDK is lenient when it reads; validated for real, every body still fits its model."""
    body = agent_body(agent_id)
    assert body is not None
    assert GetAgentResponseModel.model_validate(json.loads(body)).agent_id == agent_id


async def test_the_official_sdk_pages_through_the_list(sdk: AsyncElevenLabs) -> None:
    """Following the cursor gives every agent once."""
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = await sdk.conversational_ai.agents.list(page_size=40, cursor=cursor)
        assert len(page.agents) <= 40
        seen += [agent.agent_id for agent in page.agents]
        if not page.has_more:
            break
        cursor = page.next_cursor
    assert page.next_cursor is None
    assert len(seen) == len(set(seen)) == 150


async def test_search_and_order(sdk: AsyncElevenLabs) -> None:
    """The list is searched by name and sorted as asked."""
    page = await sdk.conversational_ai.agents.list(search="00002_01", sort_by="name", sort_direction="asc")
    names = [agent.name for agent in page.agents]
    assert len(names) == 10
    assert names == sorted(names)


async def test_the_sdk_sees_the_providers_errors(sdk: AsyncElevenLabs, simulator: RunningSimulator) -> None:
    """Unknown agents, wrong keys and wrong parameters fail the way the SDK expects."""
    with pytest.raises(ApiError) as unknown:
        await sdk.conversational_ai.agents.get(agent_id="nobody")
    assert unknown.value.status_code == 404
    with pytest.raises(ApiError) as invalid:
        await sdk.conversational_ai.agents.list(page_size=101)
    assert invalid.value.status_code == 422
    assert invalid.value.body["detail"][0]["loc"] == ["query", "page_size"]  # type: ignore[index]
    from httpx import AsyncClient

    async with AsyncClient() as http:
        stranger = AsyncElevenLabs(base_url=simulator.url, api_key="wrong", httpx_client=http)
        with pytest.raises(ApiError) as refused:
            await stranger.conversational_ai.agents.get(agent_id=AGENT)
    assert refused.value.status_code == 401
    assert refused.value.body["detail"]["status"] == "invalid_api_key"  # type: ignore[index]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("page_size=0", 422),
        ("page_size=x", 422),
        ("page_size=-1", 422),
        ("page_size=" + "9" * 5000, 422),
        ("sort_direction=up", 422),
        ("cursor=%00", 400),
        ("cursor=YWZ0ZXI6LTE=", 400),
        ("cursor=%C3%A4", 400),
        ("cursor=YWZ0ZXI6OTk5", 200),
        ("page_size=1", 200),
    ],
)
async def test_odd_parameters_never_break_it(simulator: RunningSimulator, query: str, status: int) -> None:
    """Each wrong parameter is refused in the provider's shape; nothing is a 500."""
    async with httpx2.AsyncClient(headers={"xi-api-key": "key"}) as http:
        response = await http.get(f"{simulator.url}/v1/convai/agents?{query}")
    assert response.status_code == status
    assert "detail" in response.json() or status == 200


async def test_the_same_agent_is_the_same_everywhere() -> None:
    """Configurations are a function of the id: two processes, two runs, the same bytes."""
    code = (
        "from tailrace_services.voice_dashboard.provider.catalogue import agent_body as b;"
        f"import sys; sys.stdout.buffer.write(b({AGENT!r}))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == agent_body(AGENT)


async def test_faults_are_repeatable() -> None:
    """The same seed and order of requests give the same fates; another seed gives others."""
    settings = FaultSettings(error_rate=0.3, hang=0.1, latency_ms=10, jitter_ms=20)

    def fates(seed: int) -> list[object]:
        faults = Faults(settings, seed)
        return [faults.decide(float(n)) for n in range(200)]

    assert fates(1) == fates(1) != fates(2)
    errors = sum(fate.kind == "error" for fate in fates(3))  # type: ignore[attr-defined]
    assert 30 <= errors <= 90


async def test_a_rate_limit_says_when_to_come_back(simulator: RunningSimulator) -> None:
    """Beyond the rate: 429 with ``Retry-After``."""
    simulator.set(rate_limit=2, retry_after=3)
    async with httpx2.AsyncClient(headers={"xi-api-key": "key"}) as http:
        statuses = [(await http.get(f"{simulator.url}/v1/convai/agents/{AGENT}")) for _ in range(4)]
    assert [response.status_code for response in statuses][:3] == [200, 200, 429]
    assert statuses[2].headers["retry-after"] == "3"


async def test_wrong_controls_change_nothing(simulator: RunningSimulator) -> None:
    """Misspelt or impossible faults are refused as a whole."""
    simulator.set(latency_ms=5)
    for wrong in ({"latncy": 1}, {"error_rate": 2}, {"outage": "sometimes"}):
        with pytest.raises(urllib.error.HTTPError) as refused:
            simulator.set(**wrong)
        assert refused.value.code == 422
        refused.value.close()
    assert simulator.control()["faults"]["latency_ms"] == 5


async def test_it_runs_from_the_command_line_and_ends_when_told() -> None:
    """``python -m ...simulator --port N`` serves, and SIGTERM ends it."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    module = "tailrace_services.voice_dashboard.provider.simulator"
    process = subprocess.Popen([sys.executable, "-m", module, "--port", str(port), "--latency-ms", "1"])
    try:

        def answers() -> bool:
            try:
                url = f"http://127.0.0.1:{port}/v1/convai/agents/{AGENT}"
                request = urllib.request.Request(url, headers={"xi-api-key": "simulated"})
                with urllib.request.urlopen(request) as response:
                    return response.read() == agent_body(AGENT)
            except urllib.error.URLError:
                return False

        await wait_until(answers)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)
