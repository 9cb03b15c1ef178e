"""What ``/monitoring/cache`` shows an operator of the caches, and lets them clear. Touches: the cache, its store.

``GET /monitoring/cache``         what the store holds, and what look-ups found, by policy
``POST /monitoring/cache/clear``  ``?tag=calls:user_id=42`` ends what depends on it; ``?key=`` removes one answer,
                                  ``?prefix=`` those whose keys begin so, ``?url=`` all that is kept for an address as
                                  its responses say, ``?all=yes`` everything of this namespace
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tailrace.asgi.clearing import to_clear, to_target
from tailrace.asgi.exchange import Exchange
from tailrace.asgi.monitoring import Answer, Answering, as_json
from tailrace.errors import RequestError
from tailrace.fastapi.figures import LOOKUPS, outcome_counts

if TYPE_CHECKING:
    from tailrace.fastapi.integration import Tailrace

__all__ = ["CACHE", "CLEAR", "CacheFigures"]

CACHE = "/monitoring/cache"
CLEAR = "/monitoring/cache/clear"


class CacheFigures:
    """Answers for the monitoring layer.

    Args:
        tailrace: is asked at each request.
    """

    def __init__(self, tailrace: Tailrace) -> None:
        self._tailrace = tailrace

    def paths(self) -> dict[str, Answering]:
        """Path to what answers it."""
        return {CACHE: self.show}

    def changing(self) -> dict[str, Answering]:
        """The same for paths that change something."""
        return {CLEAR: self.clear}

    async def show(self, _: Exchange) -> Answer:
        """Figures of this process."""
        tailrace = self._tailrace
        store = tailrace.store
        document: dict[str, Any] = {
            "store": {"kind": store.name, "connected": store.epoch is not None, **asdict(store.statistics())},
            "policies": self._policies(),
        }
        if tailrace.freshness is not None:
            document["freshness"] = "current" if tailrace.freshness.trusted() else "behind"
        return as_json(200, document)

    async def clear(self, exchange: Exchange) -> Answer:
        """Do what the query says.

        Raises:
            RequestError: 422, it does not say exactly one thing, or names an address where nothing is kept by them.
            StoreUnavailableError: the store is down or slow.
        """
        cache = self._tailrace.cache
        what, values = to_clear(exchange, ("tag", "key", "prefix", "url", "all"))
        if what == "tag":
            await cache.invalidate(values)
            return as_json(200, {"ended": values})
        if what == "key":
            return as_json(200, {"removed": [key for key in values if await cache.forget(key)]})
        if what == "url":
            return as_json(200, {"ended": await self._end([to_target(url, exchange) for url in values])})
        removed = sum([await cache.clear("" if what == "all" else prefix) for prefix in values])
        return as_json(200, {"removed": removed})

    async def _end(self, targets: list[str]) -> list[str]:
        """End what is kept for ``targets``, in every version that clients may ask for."""
        tailrace = self._tailrace
        if tailrace.http_cache is None:
            raise RequestError(
                "nothing is kept by address here (cache_by_headers is off); explain tells an answer's key",
                status=422,
                code="not_kept_by_address",
            )
        names = [] if tailrace.versions is None else tailrace.versions.names
        await tailrace.http_cache.end([*targets, *[f"{target} {name}" for target in targets for name in names]])
        return targets

    def _policies(self) -> list[dict[str, Any]]:
        """What look-ups found since the process started, the most used policy first."""
        shown = []
        for policy, outcomes in outcome_counts(self._tailrace.metrics, LOOKUPS).items():
            total = sum(outcomes.values())
            served = outcomes.get("hit", 0) + outcomes.get("stale", 0)
            shown.append({"policy": policy, "lookups": total, "hit_ratio": round(served / total, 4), **outcomes})
        return sorted(shown, key=lambda each: -int(each["lookups"]))
