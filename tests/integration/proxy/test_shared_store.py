"""Several proxies on one store: one asks for all, and a store that misbehaves is never worse than none."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from tests.integration.proxy.raw import Asked, Between, Client, Reply, answering, before, between, plain, request
from tests.integration.proxy.test_command import connected, free_port, start
from tests.listening import listening
from tests.waiting import wait_until

from tailrace.embedded import ValkeyServer
from tailrace.proxy import CacheProxy
from tailrace.settings import CacheSettings, Settings, ValkeySettings
from tailrace.testing.line import Line
from tailrace.upstream.origin import Origin

FRESH = "Cache-Control: max-age=600"


@asynccontextmanager
async def processes(count: int, address: str, valkey_url: str) -> AsyncIterator[list[int]]:
    """That many proxies, each a process of its own; their ports."""
    ports = [free_port() for _ in range(count)]
    environment = {**os.environ, "TAILRACE_VALKEY_URL": valkey_url, "TAILRACE_VALKEY__TIMEOUT": "10"}
    started = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tailrace.cli", "cache", "proxy", "--origin", address, "--port", str(port)),
            env=environment,
            stdout=asyncio.subprocess.DEVNULL,
        )
        for port in ports
    ]
    try:
        for port, process in zip(ports, started, strict=True):
            await (await connected(port, process)).leave()
        yield ports
    finally:
        for process in started:
            process.send_signal(signal.SIGTERM)
        await asyncio.gather(*[process.wait() for process in started])


async def test_a_thousand_cold_readers_on_two_processes_ask_once(valkey_url: str) -> None:
    """However many clients of however many processes ask for what nobody holds, the origin is asked once."""
    gate = asyncio.Event()

    async def gated(asked: Asked) -> None:
        await gate.wait()
        await asked.send(plain(b"made once", FRESH))

    async with answering(gated) as origin, processes(2, origin.url, valkey_url) as ports:
        clients = [Client(*await asyncio.open_connection("127.0.0.1", ports[n % 2])) for n in range(1000)]
        asking = [asyncio.create_task(client.ask(request("/cold"))) for client in clients]
        await wait_until(lambda: len(origin.asked) > 0)
        gate.set()
        replies: list[Reply] = await asyncio.gather(*asking)
        assert Counter((reply.status, reply.body) for reply in replies) == {(200, b"made once"): 1000}
        assert len(origin.asked) == 1
        await asyncio.gather(*[client.leave() for client in clients])


async def test_what_is_not_stored_makes_nobody_wait(valkey_url: str) -> None:
    """As soon as one process sees that a response is for its client alone, the others ask for themselves."""

    async def own(asked: Asked) -> None:
        await asked.send(plain(b"own", "Cache-Control: no-store"))

    settings = Settings(
        database_url=None,
        valkey_url=SecretStr(valkey_url),
        valkey=ValkeySettings(timeout=10),
        cache=CacheSettings(lease=3600),
    )
    async with between(own, settings=settings) as one, between(own, settings=settings) as two:
        async with asyncio.timeout(60):  # who waited for the lease would not be through by then
            replies = await asyncio.gather(*[each.ask(request("/")) for each in (one, two) for _ in range(10)])
        assert {reply.body for reply in replies} == {b"own"}
        assert len(one.origin.asked) + len(two.origin.asked) == 20


async def test_a_process_that_dies_delays_the_others_by_its_lease_at_most(
    valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lease whose owner was killed expires by itself."""
    first = asyncio.Event()

    async def stuck(asked: Asked) -> None:
        if not first.is_set():
            first.set()
            await asked.reader.read()
        else:
            await asked.send(plain(b"in the end", FRESH))

    monkeypatch.setenv("TAILRACE_VALKEY_URL", valkey_url)
    monkeypatch.setenv("TAILRACE_CACHE__LEASE", "0.5")
    port = free_port()
    async with answering(stuck) as origin, processes(1, origin.url, valkey_url) as (other,):
        dying = await start("--origin", origin.url, "--port", str(port))
        client = await connected(port, dying)
        client.writer.write(request("/x"))
        await first.wait()
        dying.kill()
        await dying.communicate()
        await client.leave()
        client = Client(*await asyncio.open_connection("127.0.0.1", other))
        reply = await client.ask(request("/x"))
        assert (reply.status, reply.body) == (200, b"in the end")
        await client.leave()


# --- a store that misbehaves ----------------------------------------------------------------------------------------


async def numbered(asked: Asked) -> None:
    path = asked.line.split(" ")[1]
    await asked.send(plain(path.encode(), FRESH, 'ETag: "a"'))


async def load(proxy: Between, rounds: int) -> Counter[tuple[int, bool]]:
    """Requests from twenty clients at once; how many answers had which status and the right body."""
    found: Counter[tuple[int, bool]] = Counter()

    async def one(number: int) -> None:
        async with proxy.client() as client:
            for turn in range(rounds):
                path = f"/{(number + turn) % 7}"
                reply = await client.ask(request(path))
                found[reply.status, reply.body == path.encode() and reply.whole] += 1

    await asyncio.gather(*[one(number) for number in range(20)])
    return found


async def hits(proxy: Between) -> bool:
    """Whether the store is in use."""
    return "hit" in (await proxy.ask(request("/1"))).value("cache-status")


def settings_at(url: str, port: int = 0, instead: int = 0) -> Settings:
    """For the store at ``url``, by way of the port ``instead`` of its own."""
    url = url.replace(f":{port}/", f":{instead}/")
    quick = ValkeySettings(timeout=0.25, connect_timeout=1.0, reconnect_max_delay=0.05)
    return Settings(database_url=None, valkey_url=SecretStr(url), valkey=quick)


def proxy_at(origin: str, *store: Any) -> CacheProxy:
    """Before ``origin``, on the store that ``settings_at`` finds."""
    return CacheProxy(Origin(origin), settings_at(*store))


def port_of(url: str) -> int:
    return int(url.rsplit(":", 1)[1].partition("/")[0])


async def test_a_slow_store(valkey_url: str) -> None:
    """200 ms on the way: every client is answered, and when the way is quick again the store is used."""
    port = port_of(valkey_url)
    async with Line(port) as way, between(numbered, settings=settings_at(valkey_url, port, way.port)) as proxy:
        assert await load(proxy, 10) == {(200, True): 200}
        way.delay = 0.2
        assert await load(proxy, 5) == {(200, True): 100}
        way.delay = 0.0
        way.silent = True
        assert await load(proxy, 5) == {(200, True): 100}
        way.silent = False
        way.cut()
        assert await load(proxy, 5) == {(200, True): 100}
        await wait_until(lambda: hits(proxy))


async def test_a_store_that_stops_and_comes_back(server_folder: Path) -> None:
    """Killed and started again under load."""
    with ValkeyServer(server_folder / "proxy-valkey") as server:
        async with between(numbered, settings=settings_at(server.url)) as proxy:
            assert await load(proxy, 5) == {(200, True): 100}
            loading = asyncio.create_task(load(proxy, 60))
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
            assert await loading == {(200, True): 1200}
            await wait_until(lambda: hits(proxy))


async def test_a_full_store(server_folder: Path) -> None:
    """One that refuses every write."""
    with ValkeyServer(server_folder / "full-valkey") as server:
        async with between(numbered, settings=settings_at(server.url)) as proxy:
            server.execute("CONFIG", "SET", "maxmemory-policy", "noeviction")
            server.execute("CONFIG", "SET", "maxmemory", "1")
            assert await load(proxy, 10) == {(200, True): 200}
            server.execute("CONFIG", "SET", "maxmemory", "0")
            await wait_until(lambda: hits(proxy))


@pytest.mark.parametrize(
    "answer", [b"\x00\xff" * 40, b"-ERR no\r\n", b"$-1\r\n", b"%1\r\n", b":1\r\n" * 50, b"*2\r\n$1\r\na\r\n", b""]
)
async def test_a_store_that_answers_garbage(answer: bytes) -> None:
    """To every command."""

    async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            writer.write(answer)
            if not answer:
                break

    async with (
        listening(garbage) as port,
        between(numbered, settings=settings_at(f"redis://127.0.0.1:{port}/0")) as proxy,
    ):
        assert await load(proxy, 3) == {(200, True): 60}


@pytest.mark.parametrize("trouble", ["silent", "cut", "full"])
async def test_what_was_changed_while_the_store_was_away_is_not_read_from_it(server_folder: Path, trouble: str) -> None:
    """The store comes back with all that it held; who wrote meanwhile reads what they wrote, in every proxy soon."""
    version = 1

    async def versioned(asked: Asked) -> None:
        nonlocal version
        version += asked.line.startswith("PUT")
        await asked.send(plain(b"%d" % version, FRESH))

    with ValkeyServer(server_folder / f"away-{trouble}") as server:
        port = port_of(server.url)
        async with (
            Line(port) as way,
            answering(versioned) as origin,
            before(origin, proxy_at(origin.url, server.url, port, way.port)) as writer,
            before(origin, proxy_at(origin.url, server.url)) as other,
        ):
            for proxy in (writer, other):
                await wait_until(lambda proxy=proxy: hits(proxy))
            if trouble == "full":
                server.execute("CONFIG", "SET", "maxmemory-policy", "noeviction")
                server.execute("CONFIG", "SET", "maxmemory", "1")
            elif trouble == "silent":
                way.silent = True
            else:
                way.cut()
            assert (await writer.ask(request("/1", method="PUT"))).status == 200
            way.silent = False
            assert (await writer.ask(request("/1"))).body == b"2"
            server.execute("CONFIG", "SET", "maxmemory", "0")
            while not await hits(writer):
                assert (await writer.ask(request("/1"))).body == b"2"
            assert (await writer.ask(request("/1"))).body == b"2"
            await wait_until(lambda: reads(other, b"2"))


async def reads(proxy: Between, body: bytes) -> bool:
    """Whether it answers that."""
    return (await proxy.ask(request("/1"))).body == body
