"""What ``/monitoring/...`` shows an operator: this process's figures, as JSON. Touches: the parts that it asks.

``/monitoring/health``                    as ``/readyz``, with how long the process has run
``/monitoring/metrics``                   requests, errors and quantiles, together and by route; caches
``/monitoring/metrics/endpoint/{route}``  one route, by its template or by a path
``/monitoring/metrics/database``          pool, tables, indexes, slow statements, what to do about them
``/monitoring/metrics/rate-limits``       decisions by limit

``?window=60`` asks for the last minute; by default it is the whole window (``TAILRACE_HTTP__WINDOW``). Each worker
process tells of itself; ``/metrics`` has all of them together.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from tailrace.asgi.exchange import Exchange
from tailrace.asgi.monitoring import Answer, Answering, as_json
from tailrace.errors import RequestError
from tailrace.observe import Metrics
from tailrace.observe.window import Figures

if TYPE_CHECKING:
    from tailrace.fastapi.integration import Tailrace

__all__ = ["LOOKUPS", "MonitoringFigures", "outcome_counts"]

LOOKUPS = "tailrace.cache.lookup.duration"
"""The family that counts what look-ups in the cache found, by policy."""

ENDPOINT = "/monitoring/metrics/endpoint/"


class MonitoringFigures:
    """Answers for the monitoring layer.

    Args:
        tailrace: is asked at each request.
    """

    def __init__(self, tailrace: Tailrace) -> None:
        self._tailrace = tailrace

    def paths(self) -> dict[str, Answering]:
        """Path to what answers it."""
        return {
            "/monitoring/metrics": self.metrics,
            "/monitoring/metrics/database": self.database,
            "/monitoring/metrics/rate-limits": self.rate_limits,
            f"{ENDPOINT}*": self.endpoint,
        }

    async def metrics(self, exchange: Exchange) -> Answer:
        """Everything about requests, and what the caches did."""
        seconds = self._window(exchange)
        window = self._tailrace.metrics.window
        document = {
            "window_seconds": seconds,
            "requests": _shown(window.total(seconds)),
            "endpoints": [{"route": f.route, **_shown(f)} for f in window.figures(seconds)],
            "response_cache": outcome_counts(self._tailrace.metrics, "tailrace.response_cache.requests"),
            "cache": outcome_counts(self._tailrace.metrics, LOOKUPS),
        }
        return as_json(200, document)

    async def endpoint(self, exchange: Exchange) -> Answer:
        """One route.

        Raises:
            RequestError: 404, nothing asked for it within the window.
        """
        seconds = self._window(exchange)
        wanted = "/" + exchange.path.partition(ENDPOINT)[2]
        found = {f.route: f for f in self._tailrace.metrics.window.figures(seconds)}
        figures = found.get(wanted) or next((f for route, f in found.items() if _matches(route, wanted)), None)
        if figures is None:
            message = "no request to this route within the window"
            raise RequestError(message, status=404, code="route_not_seen", data={"routes": sorted(found)})
        return as_json(200, {"window_seconds": seconds, "route": figures.route, **_shown(figures)})

    async def database(self, exchange: Exchange) -> Answer:
        """The report on the database, and this process's pool.

        Raises:
            RequestError: 404, there is no database.
        """
        database = self._tailrace.database
        if database is None:
            raise RequestError("there is no database", status=404, code="no_database")
        from tailrace.db.report import database_report

        pool = self._tailrace.metrics["db.client.connection.count"].series
        limit = self._tailrace.metrics["db.client.connection.max"].series
        figures = {labels[1]: int(count) for labels, (count,) in pool.items()}
        figures["limit"] = sum(int(most) for (most,) in limit.values())
        return as_json(200, {"pool": figures, **asdict(await database_report(database))})

    async def rate_limits(self, exchange: Exchange) -> Answer:
        """Decisions since the process started, by limit."""
        found: dict[str, dict[str, int]] = defaultdict(lambda: {"allowed": 0, "refused": 0})
        for (limit, outcome, _), (count,) in self._tailrace.metrics["tailrace.limit.decisions"].series.items():
            found[limit][outcome] = found[limit].get(outcome, 0) + int(count)
        return as_json(200, {"limits": found})

    # --- private -----------------------------------------------------------------------------------------------------

    def _window(self, exchange: Exchange) -> float:
        """Seconds asked for.

        Raises:
            RequestError: 422 for anything but a number from 1 second to the whole window.
        """
        whole = self._tailrace.metrics.window.seconds
        self._tailrace.metrics.window.tick(self._tailrace.clock.monotonic())
        given = parse_qs(exchange.query.decode("latin-1")).get("window")
        if given is None:
            return whole
        try:
            seconds = float(given[-1])
        except ValueError:
            seconds = math.nan
        if not 1 <= seconds <= whole:
            raise RequestError(f"window is a number of seconds from 1 to {whole:g}", status=422, code="window_invalid")
        return seconds


def outcome_counts(metrics: Metrics, family: str) -> dict[str, dict[str, int]]:
    """Counts since the process started of a family with two labels, the second one an outcome."""
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for labels, series in metrics[family].series.items():
        # A histogram's series is its sum and then its counts.
        found[labels[0]][labels[1]] = int(series[0] if len(series) == 1 else sum(series[1:]))
    return found


def _matches(template: str, path: str) -> bool:
    """Whether ``path`` has the template's parts, and anything where that has a parameter."""
    parts, given = template.split("/"), path.split("/")
    return len(parts) == len(given) and all(
        part == own or part.startswith("{") for part, own in zip(parts, given, strict=True)
    )


def _shown(figures: Figures) -> dict[str, Any]:
    """Milliseconds, as people read them."""
    return {
        "requests": figures.requests,
        "statuses": {str(status): count for status, count in figures.statuses.items()},
        "error_share": round(figures.error_share, 6),
        "client_error_share": round(figures.client_error_share, 6),
        **{
            f"{name}_ms": round(seconds * 1000, 3)
            for name, seconds in (
                ("mean", figures.mean),
                ("p50", figures.p50),
                ("p95", figures.p95),
                ("p99", figures.p99),
                ("max", figures.maximum),
            )
        },
    }
