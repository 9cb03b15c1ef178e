"""What ``/monitoring/cache`` shows an operator of the caches, and lets them clear. Touches: the cache, its store.

``GET /monitoring/cache``         what the store holds, and what look-ups found, by policy
``POST /monitoring/cache/clear``  ``?tag=calls:user_id=42`` ends what depends on it; ``?key=`` removes one answer,
                                  ``?prefix=`` those whose keys begin so, ``?all=yes`` everything of this namespace
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from tailrace.asgi.exchange import Exchange
from tailrace.errors import RequestError
from tailrace.fastapi.figures import LOOKUPS, outcome_counts
from tailrace.fastapi.monitoring import Answer, Answering, as_json

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
            RequestError: 422, it does not say exactly one thing.
            StoreUnavailableError: the store is down or slow.
        """
        asked = parse_qs(exchange.query.decode("latin-1"))
        if (
            len(asked) != 1
            or not asked.keys() <= {"tag", "key", "prefix", "all"}
            or asked.get("all", ["yes"]) != ["yes"]
        ):
            raise RequestError(
                "say what to clear: ?tag=, ?key=, ?prefix= or ?all=yes", status=422, code="nothing_named"
            )
        cache = self._tailrace.cache
        ((what, values),) = asked.items()
        if what == "tag":
            await cache.invalidate(values)
            return as_json(200, {"ended": values})
        if what == "key":
            for key in values:
                await cache.forget(key)
            return as_json(200, {"removed": values})
        removed = sum([await cache.clear("" if what == "all" else prefix) for prefix in values])
        return as_json(200, {"removed": removed})

    def _policies(self) -> list[dict[str, Any]]:
        """What look-ups found since the process started, the most used policy first."""
        shown = []
        for policy, outcomes in outcome_counts(self._tailrace.metrics, LOOKUPS).items():
            total = sum(outcomes.values())
            served = outcomes.get("hit", 0) + outcomes.get("stale", 0)
            shown.append({"policy": policy, "lookups": total, "hit_ratio": round(served / total, 4), **outcomes})
        return sorted(shown, key=lambda each: -int(each["lookups"]))
