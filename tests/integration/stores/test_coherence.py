"""Local copies against the real server's truth: several clients, every kind of write, lost connections, expiry."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from tests.integration.stores.conftest import Send
from tests.waiting import wait_until

from tailrace.errors import StoreUnavailableError
from tailrace.settings import CacheSettings, ValkeySettings
from tailrace.stores import TieredStore, ValkeyStore
from tailrace.testing.line import Line

PATIENT = ValkeySettings(timeout=20.0, connect_timeout=20.0, reconnect_max_delay=0.01)

KEYS = ["a", "b", "c"]
keys = st.sampled_from(KEYS)
values = st.sampled_from([b"", b"1", b"2", b"3"])
clients = st.integers(0, 1)
lives = st.sampled_from([60.0, 60.0, 60.0, 0.002])


class Coherence(RuleBasedStateMachine):
    """Two tiered clients and a plain one on the server at `url`."""

    url: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clients = [TieredStore(self.url, settings=CacheSettings(memory_entries=2), valkey=PATIENT) for _ in "12"]
        self.plain = ValkeyStore(self.url, settings=PATIENT)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(work)

    @initialize()
    def empty(self) -> None:
        self.run(self.plain.call("test", [("FLUSHALL",)]))

    @rule(client=clients, key=keys, value=values, ttl=lives)
    def write(self, client: int, key: str, value: bytes, ttl: float) -> None:
        self.run(self.clients[client].set({key: value}, ttl))

    @rule(client=clients, key=keys, value=values)
    def add(self, client: int, key: str, value: bytes) -> None:
        self.run(self.clients[client].add({key: value}, 60))

    @rule(client=clients, mark=keys, key=keys, value=values)
    def set_once(self, client: int, mark: str, key: str, value: bytes) -> None:
        self.run(self.clients[client].set_once({mark: {key: value}}, 60, mark_ttl=60))

    @rule(client=clients, key=keys, value=values)
    def release(self, client: int, key: str, value: bytes) -> None:
        self.run(self.clients[client].release(key, value))

    @rule(client=clients, key=keys)
    def clear(self, client: int, key: str) -> None:
        self.run(self.clients[client].clear(key))

    @rule(client=clients, wanted=st.lists(keys, max_size=4))
    def read(self, client: int, wanted: list[str]) -> None:
        async def both() -> tuple[object, object]:
            return await self.clients[client].get(wanted), await self.plain.get(wanted)

        # A key of two milliseconds may end between the two answers.
        seen, truth = self.run(both())
        assert all(a == b or b is None for a, b in zip(seen, truth, strict=True))

    @rule(command=st.sampled_from([("FLUSHALL",), ("SET", "a", "x"), ("PEXPIRE", "b", "1"), ("RENAME", "a", "b")]))
    def meddle(self, command: tuple[str, ...]) -> None:
        async def send() -> None:
            try:
                await self.plain.call("test", [command])
            except StoreUnavailableError:
                assert command[0] == "RENAME"  # there was no such key

        self.run(send())

    @rule()
    def cut_lines(self) -> None:
        self.run(self.plain.call("test", [("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")]))
        for client in self.clients:
            self.run(wait_until(lambda client=client: self.usable(client)))

    @staticmethod
    async def usable(client: TieredStore) -> bool:
        try:
            await client.fence()
        except StoreUnavailableError:
            return False
        return True

    @rule(steps=st.lists(st.tuples(clients, st.sampled_from(["set", "get", "delete", "fence"]), keys, values)))
    def race(self, steps: list[tuple[int, str, str, bytes]]) -> None:
        """All at once, in whatever order it comes to."""

        async def together() -> None:
            await asyncio.gather(*(self.step(*step) for step in steps))

        self.run(together())

    async def step(self, number: int, operation: str, key: str, value: bytes) -> None:
        client = self.clients[number]
        if operation == "set":
            await client.set({key: value}, 60)
        elif operation == "get":
            await client.get(KEYS)
        elif operation == "delete":
            await client.delete([key])
        else:
            await client.fence()

    @invariant()
    def copies_are_the_truth_after_a_fence(self) -> None:
        async def check() -> None:
            for client in self.clients:
                await client.fence()
                # First the truth, then the copy: what has expired in between is gone from both or from the copy.
                for key, value in zip(KEYS, await self.plain.get(KEYS), strict=True):
                    held = client.peek([key])
                    assert held is None or held == [value], (key, held, value)

        self.run(check())

    def teardown(self) -> None:
        for client in (*self.clients, self.plain):
            self.run(client.aclose())
        self.runner.close()


def test_copies_equal_the_servers_truth(valkey_url: str) -> None:
    """Whatever two clients and a stranger do, in turn or at once: after a fence a copy is what the server holds."""
    run_state_machine_as_test(
        type("Coherence", (Coherence,), {"url": valkey_url}),
        settings=settings(
            max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


async def test_own_writes_are_seen_at_once_under_a_storm(valkey_url: str) -> None:
    """While readers of the same process keep a copy warm, `peek` never answers what a finished write has replaced."""
    store = TieredStore(valkey_url, valkey=PATIENT)
    finished = 0
    try:

        async def read() -> None:
            while finished < 500:
                await store.get(["a"])
                seen = store.peek(["a"])
                assert seen in (None, [None]) or int(seen[0] or 0) >= finished

        readers = [asyncio.ensure_future(read()) for _ in range(8)]
        for number in range(1, 501):
            await store.set({"a": b"%d" % number}, 60)
            finished = number
            seen = store.peek(["a"])
            assert seen is None or seen == [b"%d" % number]
        await asyncio.gather(*readers)
    finally:
        await store.aclose()


async def test_a_copy_does_not_outlive_the_key(proxied_url: str, proxy: Line, send: Send) -> None:
    """However late the push about an expiry, the copy has ended with the key."""
    store = TieredStore(proxied_url, valkey=PATIENT)
    try:
        await store.set({"short": b"1"}, 0.3)
        await store.set({"long": b"1"}, 60)
        assert await store.get(["short", "long"]) == [b"1", b"1"]
        assert store.peek(["long"]) == [b"1"]
        proxy.delay = 15.0

        async def expired() -> bool:
            return await send("EXISTS", "short") == 0

        await wait_until(expired)
        assert store.peek(["short"]) is None
        assert store.peek(["long"]) == [b"1"], "the connection is in order, and only the key's time is over"
    finally:
        proxy.delay = 0.0
        await store.aclose()


async def test_what_the_server_stops_tracking_is_dropped(valkey_url: str, send: Send) -> None:
    """When the server's table is full it forgets keys and says so: no copy stays that nobody watches."""
    await send("CONFIG", "SET", "tracking-table-max-keys", "10")
    store = TieredStore(valkey_url, valkey=PATIENT)
    names = [f"k{number}" for number in range(100)]
    try:
        await store.set(dict.fromkeys(names, b"old"), 60)
        await store.get(names)
        # The server trims its table now and then, not with each read.
        await wait_until(lambda: store.statistics().entries <= 10)
        for name in names:
            await send("SET", name, "new")
        await store.fence()
        assert {tuple(store.peek([name]) or ()) for name in names} == {()}
    finally:
        await send("CONFIG", "SET", "tracking-table-max-keys", "1000000")
        await store.aclose()


@pytest.mark.parametrize("bound", [CacheSettings(memory_entries=50), CacheSettings(memory_bytes=30_000)])
async def test_copies_are_bounded(valkey_url: str, bound: CacheSettings) -> None:
    """Copies take no more room than allowed; what does not fit is read from the server."""
    store = TieredStore(valkey_url, settings=bound, valkey=PATIENT)
    names = [f"k{number}" for number in range(500)]
    try:
        await store.set(dict.fromkeys(names, b"v"), 60)
        for name in names:
            assert await store.get([name]) == [b"v"]
        figures = store.statistics()
        assert 0 < figures.entries <= bound.memory_entries
        assert figures.bytes <= bound.memory_bytes
        assert figures.evictions >= 400
    finally:
        await store.aclose()
