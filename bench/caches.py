"""A hit in a cache, ours beside other packages, in memory and on Valkey, around a FastAPI service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from pydantic import SecretStr

from bench import peers
from bench.application import Application
from bench.asking import ASGIApp
from bench.contender import Surroundings, Table
from bench.service import KEPT, bytes_ready, service
from tailrace import Tailrace, cached
from tailrace.settings import CompressionSettings, RateLimitSettings, Settings, SheddingSettings, ValkeySettings

__all__ = ["TABLES"]

VALKEY = frozenset({"valkey"})


def by_tailrace(url: str = "", **arguments: Any) -> FastAPI:
    """Our cache, and what of the layers cannot be switched off: ids, errors, metrics, health."""
    app = service(kept=cached(ttl=peers.KEEP, shared=True), **arguments)
    Tailrace(
        app,
        Settings(
            database_url=None,
            valkey_url=SecretStr(url) if url else None,
            valkey=ValkeySettings(timeout=5.0),
            shedding=SheddingSettings(enabled=False),
            compression=CompressionSettings(enabled=False),
            rate_limit=RateLimitSettings(enabled=False),
        ),
    )
    return app


def _contender(name: str, make: Callable[..., Any], *packages: str, valkey: bool) -> Application:
    def made(surroundings: Surroundings) -> ASGIApp:
        app: ASGIApp = make(surroundings.valkey_url) if valkey else make()
        return app

    needs = VALKEY if valkey else frozenset[str]()
    packages = (*packages, "redis") if valkey and packages else packages
    return Application(name, made, peers=packages, needs=needs, target=KEPT, computes=0)


def _table(name: str, *, valkey: bool) -> Table:
    return Table(
        name,
        (
            Application("bare ASGI", lambda surroundings: bytes_ready(), computes=None),
            Application("FastAPI, computed", lambda surroundings: service()),
            _contender("Tailrace", by_tailrace, valkey=valkey),
            _contender("Tailrace, served itself", lambda *url: by_tailrace(*url).state.tailrace, valkey=valkey),
            _contender("fastapi-cache2", peers.by_fastapi_cache, "fastapi-cache2", valkey=valkey),
            _contender("cashews", peers.by_cashews, "cashews", valkey=valkey),
        ),
        baseline="bare ASGI",
    )


TABLES = (_table("caches, hit in memory", valkey=False), _table("caches, hit on Valkey", valkey=True))
