"""The dashboards and rules over the reference services as k6 asks them: a real Prometheus reads what they count."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

from load.suites import suites
from tests.integration.deploy.conftest import DEPLOY
from tests.integration.deploy.test_prometheus import ask, prometheus, query
from tests.services.load.test_load import measured
from tests.services.running import Up
from tests.waiting import wait_until

from tailrace.observe.grafana import dashboards
from tailrace.observe.rules import rules_of

TARGETS = json.loads((DEPLOY / "prometheus" / "targets.json").read_text())
PATHS: dict[str, str] = {each["labels"]["job"]: each["labels"]["__metrics_path__"] for each in TARGETS}
EVERYWHERE = {
    "http_server_request_duration_seconds_count",
    "tailrace_cache_lookup_duration_seconds_count",
    "tailrace_compression_responses_total",
    "tailrace_freshness_horizon_age_seconds",
    "tailrace_store_connected",
    "db_client_operation_duration_seconds_count",
    "db_client_connection_count",
}
"""What each service counts under any load."""
SOMEWHERE = {
    "voice-dashboard": {"tailrace_upstream_call_duration_seconds_count"},
    "call-coach": {"tailrace_limit_decisions_total"},
    "research-hub": {"tailrace_job_waiting"},
    "trading-desk": {"tailrace_stream_events_total", "tailrace_semantic_requests_total", "tailrace_job_waiting"},
}
PLAIN = re.compile(r'(\w+)\{job=~"\$job"\}')
SELECTOR = re.compile(r"\w+\{")


def curves() -> set[str]:
    """The queries of all dashboards."""
    panels = [panel for document in dashboards().values() for panel in document["panels"]]
    return {target["expr"] for panel in panels for target in panel["targets"]}


def is_shown(curve: str, counted: set[str]) -> bool:
    """Whether all that the curve is of, whatever its labels, has been counted."""
    names = PLAIN.findall(curve)
    return len(names) == len(SELECTOR.findall(curve)) > 0 and set(names) <= counted


async def test_what_services_count_under_load_is_shown(up: Up, tmp_path: Path) -> None:
    """Prometheus can evaluate every query and every rule over all four services, and what one of them has counted is on
    the dashboards, for it."""
    async with prometheus(up.port, tmp_path, **PATHS) as own:
        for suite in suites():
            status, report = await asyncio.to_thread(measured, up.home, suite)
            assert (status in {0, 3}, report["failed"]) == (True, 0)
        # k6 chooses by chance, and has little time here.
        assert {status for _, status, _ in await asyncio.to_thread(up.ask_as_printed)} <= {200, 201}
        status, _ = await asyncio.to_thread(up.get, "/trading-desk/query/stream?q=What+does+zip+do%3F")
        assert status == 200
        left: dict[str, set[str]] = {}
        for job, path in PATHS.items():
            _, exposed = await asyncio.to_thread(up.get, path)
            counted = set(re.findall(r"^(\w+)[{ ]", exposed.decode(), re.MULTILINE))
            assert counted >= EVERYWHERE | SOMEWHERE[job]
            left[job] = {curve for curve in curves() if is_shown(curve, counted)}
            assert left[job]

        async def shown() -> bool:
            for job, expressions in left.items():
                for expression in sorted(expressions):
                    if await query(own, expression.replace("$__rate_interval", "5m").replace("$job", job)):
                        expressions.discard(expression)
            return not any(left.values())

        try:
            await wait_until(shown, 60)
        finally:
            assert left == {job: set() for job in PATHS}
        for expression in curves():
            await query(own, expression.replace("$__rate_interval", "5m").replace("$job", ".*"))
        groups = json.loads(await ask(own, "/api/v1/rules"))["data"]["groups"]
        assert {rule["health"] for group in groups for rule in group["rules"]} == {"ok"}
        assert sum(len(group["rules"]) for group in groups) == sum(map(len, rules_of().values()))
