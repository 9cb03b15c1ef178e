"""The ways to reach a server: database number, Unix socket, TLS."""

from __future__ import annotations

import ssl
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.certificates import needs_openssl, server_context

from tailrace.errors import StoreUnavailableError
from tailrace.settings import ValkeySettings
from tailrace.stores import TieredStore, ValkeyStore
from tailrace.testing.line import Line

PATIENT = ValkeySettings(timeout=10.0, connect_timeout=10.0)


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


async def test_the_database_in_the_address_is_used(valkey_url: str) -> None:
    """Keys of one numbered database are not seen in another."""
    zero, three = ValkeyStore(valkey_url), TieredStore(valkey_url.removesuffix("/0") + "/3")
    try:
        await three.set({"a": b"3"}, 60)
        assert await zero.get(["a"]) == [None]
        assert await three.get(["a"]) == [b"3"]
    finally:
        await zero.aclose()
        await three.aclose()


async def test_a_unix_socket_is_an_address(valkey_url: str, tmp_path: Path) -> None:
    """A server is reached through a socket's path, with its password."""
    path = tmp_path / "valkey.sock"
    async with Line(port_of(valkey_url), path=path):
        store = TieredStore(f"unix://:{urlsplit(valkey_url).password}@{path}")
        await store.set({"a": b"1"}, 60)
        assert await store.get(["a"]) == [b"1"]
        await store.aclose()


@needs_openssl
async def test_tls_is_spoken_and_checked(valkey_url: str, tmp_path: Path) -> None:
    """`rediss` encrypts; a certificate that the caller's authorities do not vouch for is refused."""
    ours, certificate = await server_context(tmp_path, "localhost")
    async with Line(port_of(valkey_url), tls=ours) as proxy:
        url = f"rediss://:{urlsplit(valkey_url).password}@localhost:{proxy.port}"
        trusting = TieredStore(url, valkey=PATIENT, tls=ssl.create_default_context(cafile=certificate))
        wary = ValkeyStore(url, settings=PATIENT)
        try:
            await trusting.set({"a": b"x" * 100_000}, 60)
            assert await trusting.get(["a"]) == [b"x" * 100_000]
            with pytest.raises(StoreUnavailableError, match="no connection"):
                await wary.get(["a"])
        finally:
            await trusting.aclose()
            await wary.aclose()
