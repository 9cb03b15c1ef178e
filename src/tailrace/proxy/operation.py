"""What an operator sees of the proxy and may clear, at the paths where services have it. Touches: the store.

``GET /monitoring/cache``         what the store holds, and what requests found
``POST /monitoring/cache/clear``  ``?url=`` ends what is stored for a target, every variant of it; ``?tag=`` what a
                                  group holds, of the origin that is asked (RFC 9875); ``?all=yes`` everything

For whoever is no operator, these paths are the origin's.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict

from tailrace.asgi.clearing import to_clear, to_target
from tailrace.asgi.exchange import Exchange
from tailrace.asgi.http_cache import HttpCacheMiddleware
from tailrace.asgi.http_cache.requests import target_of
from tailrace.asgi.monitoring import Answer, MonitoringMiddleware, as_json
from tailrace.asgi.types import ASGIApp
from tailrace.cache import Cache
from tailrace.settings import HttpSettings

__all__ = ["Operation"]

CACHE = "/monitoring/cache"
CLEAR = f"{CACHE}/clear"
BY_HEADERS = "as responses say"


class Operation:
    """Answers operators.

    Args:
        cache: in which responses are kept.
        layer: that keeps them.
    """

    def __init__(self, cache: Cache, layer: HttpCacheMiddleware) -> None:
        self._cache = cache
        self._layer = layer
        self._outcomes: Counter[str] = Counter()

    def before(self, app: ASGIApp, settings: HttpSettings) -> ASGIApp:
        """``app``, with the operators' paths before it."""
        return MonitoringMiddleware(
            app, paths={CACHE: self.show}, closed=frozenset({CACHE}), settings=settings, changing={CLEAR: self.clear}
        )

    def count(self, exchange: Exchange) -> None:
        """Take down what a request found; those of operators found nothing."""
        if exchange.cache is not None:
            self._outcomes[exchange.cache] += 1

    async def show(self, _exchange: Exchange) -> Answer:
        """Figures of this process."""
        store, outcomes = self._cache.store, self._outcomes
        total = sum(outcomes.values())
        counted = {"lookups": total, "hit_ratio": round(outcomes["hit"] / max(total, 1), 4), **outcomes}
        document = {
            "store": {"kind": store.name, "connected": store.epoch is not None, **asdict(store.statistics())},
            "policies": [{"policy": BY_HEADERS, **counted}] if total else [],
        }
        return as_json(200, document)

    async def clear(self, exchange: Exchange) -> Answer:
        """Do what the query says.

        Raises:
            RequestError: 422, it does not say exactly one thing.
            StoreUnavailableError: the store is down or slow.
        """
        kind, values = to_clear(exchange, ("url", "tag", "all"))
        if kind == "all":
            return as_json(200, {"removed": await self._cache.clear()})
        if kind == "tag":
            await self._layer.end([target_of(exchange)], values)
        else:
            values = [to_target(url, exchange) for url in values]
            await self._layer.end(values)
        return as_json(200, {"ended": values})
