from __future__ import annotations

from tests.unit.asgi.test_variants import BODY, ENCODINGS, Service

from tailrace.settings import ValkeySettings
from tailrace.stores import TieredStore

PATIENT = ValkeySettings(timeout=10, connect_timeout=10)


async def test_processes_share_codings(valkey_url: str) -> None:
    """What one process has encoded, another with the same store serves: the application is asked once and each coding
    is made once among them, and an invalidation by either is seen by both."""
    stores = [TieredStore(valkey_url, valkey=PATIENT) for _ in range(2)]
    services = [Service(store=store) for store in stores]
    for store in stores:
        assert await store.connect()
    for round_ in range(3):
        for number, accept in enumerate(ENCODINGS):
            for service in (services[number % 2], services[1 - number % 2]):
                reply = await service.ask(accept)
                assert reply.headers.get(b"content-encoding", b"") == accept
                assert reply.content == (BODY if round_ < 2 else BODY.replace(b"call", b"sale"))
        assert sum(service.app.calls for service in services) == (1 if round_ < 2 else 2)
        if round_ == 1:
            for service in services:
                service.app.body = BODY.replace(b"call", b"sale")
            await services[1].cache.invalidate(["calls"])
            await stores[0].fence()
    assert sum(service.compressions for service in services) == 6
    for store in stores:
        await store.aclose()
