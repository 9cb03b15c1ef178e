"""The service's view of the provider, with the real simulator failing in every way it can."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from tests.services.voice_dashboard.provider.running import RunningSimulator
from tests.waiting import wait_until

from tailrace.cache import Cache, CachePolicy
from tailrace.errors import DatabaseUnavailableError
from tailrace.events import CircuitChanged, Event, FallbackUsed
from tailrace.settings import UpstreamSettings
from tailrace.stores import MemoryStore
from tailrace.stores.store import Reader
from tailrace_services.voice_dashboard.provider.client import NAME, VoiceProvider
from tailrace_services.voice_dashboard.provider.last_known import Configuration
from tailrace_services.voice_dashboard.provider.settings import VoiceProviderSettings

AGENTS = [f"agent_00001_{n:03d}" for n in range(50)]

Connect = Callable[..., AbstractAsyncContextManager[VoiceProvider]]


@pytest.fixture
def connect(simulator: RunningSimulator) -> Connect:
    """A provider client of the simulator; keyword arguments change its settings."""

    @asynccontextmanager
    async def connected(
        *,
        cached: bool = False,
        archive: Any = None,
        events: list[Event] | None = None,
        upstream: Mapping[str, Any] | None = None,
        store: MemoryStore | None = None,
        **changes: Any,
    ) -> AsyncIterator[VoiceProvider]:
        before = asyncio.all_tasks()
        defaults = VoiceProviderSettings(base_url=simulator.url, api_key="key")  # type: ignore[arg-type]
        quick = {"backoff": 0.02, "max_backoff": 0.05} | dict(upstream or {})
        settings = defaults.model_copy(
            update=changes | {"upstream": UpstreamSettings(**defaults.upstream.model_dump() | quick)}
        )
        store = store or (MemoryStore() if cached else None)
        cache = Cache(store) if store is not None else None
        observer = None if events is None else events.append
        async with VoiceProvider(settings, cache=cache, archive=archive, observer=observer) as provider:
            yield provider
        if cache is not None:
            await cache.aclose()
        if store is not None:
            await store.aclose()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == before, "a task was left"

    return connected


async def test_fifty_agents_come_at_once(connect: Connect, simulator: RunningSimulator) -> None:
    """All are asked for together, within the bound, and come in the order asked."""
    simulator.set(latency_ms=1000)
    async with connect(patience=20.0) as provider:
        answers = await provider.configurations(AGENTS)
    assert list(answers) == AGENTS
    assert all(not answer.degraded and answer.payload for answer in answers.values())
    assert {name: answer.payload["agent_id"] for name, answer in answers.items() if answer.payload} == {
        name: name for name in AGENTS
    }
    assert simulator.control()["peak_in_flight"] == 50


async def test_what_is_no_configuration_is_fetched_anew(connect: Connect, simulator: RunningSimulator) -> None:
    """Whatever the shared store holds for an agent, the provider's answer is what callers get."""
    store = MemoryStore()

    async def others() -> bytes:
        return b"[1]"

    policy = CachePolicy("forged", ttl=60.0)
    for agent in AGENTS[:2]:
        await Cache(store).read_through(f"{NAME}:{agent}", others, policy=policy)
    assert store.statistics().entries == 2
    async with connect(store=store, patience=20.0) as provider:
        answers = await provider.configurations(AGENTS[:2])
        assert [answer.payload["agent_id"] for answer in answers.values() if answer.payload] == AGENTS[:2]
        assert not any(answer.degraded for answer in answers.values())


async def test_more_agents_than_slots_all_come(connect: Connect, simulator: RunningSimulator) -> None:
    """The bound on concurrency delays, it loses nothing."""
    simulator.set(latency_ms=10)
    names = [f"agent_00002_{n:03d}" for n in range(200)]
    async with connect(patience=20.0) as provider:
        answers = await provider.configurations(names)
    assert not any(answer.degraded for answer in answers.values())
    assert simulator.control()["peak_in_flight"] <= 64


@pytest.mark.parametrize("cached", [False, True])
async def test_what_is_current_is_not_asked_for_again(
    connect: Connect, simulator: RunningSimulator, cached: bool
) -> None:
    """A second look costs no request, with and without a cache."""
    async with connect(cached=cached) as provider:
        first = await provider.configurations(AGENTS[:5])
        asked = simulator.served
        assert await provider.configurations(AGENTS[:5]) == first
        assert simulator.served == asked


async def test_callers_share_a_fetch(connect: Connect, simulator: RunningSimulator) -> None:
    """Ten requests for the same agents make one call for each agent."""
    simulator.set(latency_ms=500)
    async with connect(patience=20.0) as provider:
        await asyncio.gather(*[provider.configurations(AGENTS[:5]) for _ in range(10)])
    assert simulator.served == 5


async def test_an_unknown_agent_is_no_failure(connect: Connect, simulator: RunningSimulator) -> None:
    """The provider does not know it: nothing to show, nothing degraded, and not asked for again at once."""
    async with connect(cached=True) as provider:
        for _ in range(2):
            answer = await provider.configuration("nobody/../x")
            assert (answer.payload, answer.degraded) == (None, False)
    assert simulator.served == 1


async def test_a_wrong_key_is_told_apart(connect: Connect) -> None:
    """A refusal is not an outage: it is not retried and does not open the circuit."""
    from pydantic import SecretStr

    async with connect(api_key=SecretStr("wrong")) as provider:
        answers = await provider.configurations(AGENTS)
        assert {answer.reason for answer in answers.values()} == {"rejected"}
        assert provider.circuit == "closed"


async def test_single_errors_are_retried(connect: Connect, simulator: RunningSimulator) -> None:
    """One request in five fails: the user sees none of it."""
    simulator.set(error_rate=0.2)
    async with connect(
        upstream={"retry_budget_reserve": 500.0, "breaker_minimum_calls": 400}, patience=20.0
    ) as provider:
        answers = await provider.configurations(AGENTS)
    assert not any(answer.degraded for answer in answers.values())
    assert simulator.served > 50


async def test_broken_answers_are_retried(connect: Connect, simulator: RunningSimulator) -> None:
    """A connection reset in the middle of a body is tried again, not passed on."""
    simulator.set(truncate=0.2)
    async with connect(
        upstream={"retry_budget_reserve": 500.0, "breaker_minimum_calls": 400}, patience=20.0
    ) as provider:
        answers = await provider.configurations(AGENTS)
    assert not any(answer.degraded for answer in answers.values())
    assert simulator.control()["served"]["truncate"] > 0


async def test_a_rate_limit_is_obeyed(connect: Connect, simulator: RunningSimulator) -> None:
    """After 429 with ``Retry-After: 1`` the next attempt comes a second later, in the background if need be."""
    simulator.set(rate_limit=1, retry_after=1)
    async with connect() as provider:
        answers = await provider.configurations(AGENTS[:2])
        assert sorted(answer.degraded for answer in answers.values()) == [False, True]
        assert simulator.control()["served"]["limited"] == 1
        simulator.set(rate_limit=None)
        await wait_until(lambda: provider.fetching == 0)
        assert not any(answer.degraded for answer in (await provider.configurations(AGENTS[:2])).values())


@pytest.mark.parametrize("outage", ["unavailable", "reset", "refused"])
async def test_an_outage_costs_no_waiting_and_heals(connect: Connect, simulator: RunningSimulator, outage: str) -> None:
    """Down in any way: everybody is answered, marked; the circuit opens at once and closes when it is over."""
    if outage == "refused":
        simulator.stop()
    else:
        simulator.set(outage=outage)
    events: list[Event] = []
    try:
        async with connect(events=events, upstream={"breaker_open": 0.3}, patience=30.0) as provider:
            answers = await provider.configurations(AGENTS)
            assert all(answer.reason in ("failed", "suspended") for answer in answers.values())
            assert provider.circuit == "open"
            spent = time.perf_counter()
            answers = await provider.configurations(AGENTS)
            spent = time.perf_counter() - spent
            assert spent < 5.0, "patience was waited out although the circuit is open"
            assert all(answer.degraded for answer in answers.values())
            if outage == "refused":
                simulator.start()
            else:
                simulator.control("DELETE")

            async def healed() -> bool:
                return not any(a.degraded for a in (await provider.configurations(AGENTS)).values())

            await wait_until(healed)
            assert provider.circuit == "closed"
    finally:
        if outage == "refused" and provider.circuit != "closed":
            simulator.start()
    states = [event.state for event in events if isinstance(event, CircuitChanged)]
    assert states[:3] == ["closed", "open", "half_open"]
    assert states[-1] == "closed"


class SharedStore(MemoryStore):
    """A store that other processes fill as well: what it holds takes a round trip to know."""

    def peek(self, keys: Sequence[str]) -> None:  # type: ignore[override]
        return None

    def reader(self, monotonic: object = None) -> Reader:
        return lambda key, now=None: None

    async def get(self, keys: Sequence[str]) -> list[bytes | None]:
        return super().peek(keys)


async def test_in_an_outage_others_configurations_count(connect: Connect, simulator: RunningSimulator) -> None:
    """With the circuit open nobody is asked: what any process has kept is current, the rest is marked at once."""
    async with connect(store=SharedStore(), upstream={"breaker_open": 60.0}, patience=30.0) as provider:
        await provider.configurations(AGENTS[:2])
        simulator.set(outage="reset")
        await provider.configurations(AGENTS[10:])
        assert provider.circuit == "open"
        served = simulator.control()["served"]
        answers = await provider.configurations(AGENTS[:10])
        assert [name for name, answer in answers.items() if not answer.degraded] == AGENTS[:2]
        assert {answer.reason for answer in answers.values()} == {None, "suspended"}
        assert list(answers) == AGENTS[:10]
        assert simulator.control()["served"] == served
        assert provider.fetching == 0


async def test_a_hanging_provider_costs_the_user_patience_once(connect: Connect, simulator: RunningSimulator) -> None:
    """The user gets what there is at the end of the patience; the hanging attempts open the circuit by themselves."""
    simulator.set(hang=1)
    events: list[Event] = []
    upstream = {"attempt_timeout": 0.5, "breaker_open": 30.0}
    async with connect(events=events, patience=0.1, upstream=upstream) as provider:
        answers = await provider.configurations(AGENTS)
        assert {answer.reason for answer in answers.values()} == {"timeout"}
        assert provider.fetching > 0
        await wait_until(lambda: provider.circuit == "open" and provider.fetching == 0)
        answers = await provider.configurations(AGENTS)
        assert {answer.reason for answer in answers.values()} == {"suspended"}
    assert any(isinstance(event, FallbackUsed) for event in events)


@pytest.mark.parametrize("fault", [{"latency_ms": 300}, {"drip_ms": 3}])
async def test_a_slow_provider_fills_the_cache_in_the_background(
    connect: Connect, simulator: RunningSimulator, fault: dict[str, float]
) -> None:
    """Slower than the patience: marked for now, there for the next request, asked for once."""
    simulator.set(**fault)
    async with connect(cached=True, patience=0.05) as provider:
        answers = await provider.configurations(AGENTS[:5])
        assert {answer.reason for answer in answers.values()} == {"timeout"}
        await wait_until(lambda: provider.fetching == 0)
        assert not any(answer.degraded for answer in (await provider.configurations(AGENTS[:5])).values())
    assert simulator.served == 5


async def test_the_last_known_configuration_stands_in(connect: Connect, simulator: RunningSimulator) -> None:
    """After its time, with the provider down, the old configuration is shown with the time it was fetched."""
    async with connect(ttl=0.05, stale_while_revalidate=0.0) as provider:
        fresh = await provider.configuration(AGENTS[0])
        simulator.set(outage="unavailable")

        async def outdated() -> bool:
            return (await provider.configuration(AGENTS[0])).degraded

        await wait_until(outdated)
        answer = await provider.configuration(AGENTS[0])
        assert answer.payload == fresh.payload
        assert answer.configuration is not None
        assert fresh.configuration is not None
        assert answer.configuration.fetched_at == fresh.configuration.fetched_at


class Archive:
    """An archive in memory that can be made to fail."""

    def __init__(self) -> None:
        self.kept: dict[str, Configuration] = {}
        self.down = False

    async def recall(self, external_ids: Sequence[str]) -> Mapping[str, Configuration]:
        if self.down:
            raise DatabaseUnavailableError("down")
        return {name: self.kept[name] for name in external_ids if name in self.kept}

    async def remember(self, configurations: Mapping[str, Configuration]) -> None:
        if self.down:
            raise DatabaseUnavailableError("down")
        self.kept.update(configurations)


async def test_the_archive_outlives_the_process(connect: Connect, simulator: RunningSimulator) -> None:
    """What one process fetched stands in for another that starts in an outage; the archive's own trouble is none."""
    archive = Archive()
    async with connect(archive=archive) as provider:
        await provider.configurations(AGENTS[:3])
        await wait_until(lambda: len(archive.kept) == 3)
    simulator.set(outage="unavailable")
    async with connect(archive=archive) as provider:
        answers = await provider.configurations(AGENTS[:4])
        assert [answer.payload is not None for answer in answers.values()] == [True, True, True, False]
        assert all(answer.degraded for answer in answers.values())
        archive.down = True
        assert all(answer.degraded for answer in (await provider.configurations(AGENTS[10:12])).values())


async def test_a_caller_that_leaves_stops_nobody_else(connect: Connect, simulator: RunningSimulator) -> None:
    """A cancelled request ends at once; the fetches it began serve the others."""
    simulator.set(latency_ms=500)
    async with connect(patience=20.0) as provider:
        leaving = asyncio.create_task(provider.configurations(AGENTS[:5]))
        await wait_until(lambda: provider.fetching == 5)
        staying = asyncio.create_task(provider.configurations(AGENTS[:5]))
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert not any(answer.degraded for answer in (await staying).values())
    assert simulator.served == 5


async def test_background_work_is_bounded(connect: Connect, simulator: RunningSimulator) -> None:
    """A hanging provider never gathers more fetches than allowed; what is beyond is answered as suspended."""
    simulator.set(hang=1)
    async with connect(background=20, patience=0.05) as provider:
        answers = await provider.configurations(AGENTS)
        assert provider.fetching == 20
        reasons = [answer.reason for answer in answers.values()]
        assert reasons.count("timeout") == 20
        assert reasons.count("suspended") == 30


async def test_closing_leaves_no_connection(connect: Connect, simulator: RunningSimulator) -> None:
    """Closed in the middle of hanging fetches: the simulator sees every connection go."""
    simulator.set(hang=1)
    async with connect(patience=0.05) as provider:
        await provider.configurations(AGENTS)
    await wait_until(lambda: simulator.control()["in_flight"] == 0)
