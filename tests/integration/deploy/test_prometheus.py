"""The metrics of a live service in a real Prometheus, with the rules and dashboards that are made of the catalogue."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import asyncpg
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import text
from tests.integration.deploy.conftest import DEPLOY, program, running
from tests.integration.fastapi.serving import served, talk
from tests.unit.observe.test_metrics import event_kinds, example
from tests.waiting import wait_until
from typer.testing import CliRunner

from tailrace import Tailrace, cached, events
from tailrace.cli.app import app as command_line
from tailrace.embedded import free_port
from tailrace.observe.grafana import dashboards
from tailrace.observe.rules import Objectives, rules_file, rules_of
from tailrace.settings import HttpSettings, Settings

TOKEN = "the admin's"
OBJECTION = 'db_client_connection_count non-histogram and non-summary metrics should not have "_count" suffix'
"""Promtool's only one: the name is OpenTelemetry's."""
EMPTY_WITHOUT_ALERTS = {'ALERTS{alertstate="firing",job=~"$job"}'}
"""The only query of a dashboard that has nothing to show while all is well."""


def test_files_are_what_is_made(tmp_path: Path) -> None:
    """Dashboards and rules in the repository are those that the commands write."""
    runner = CliRunner()
    assert runner.invoke(command_line, ["metrics", "dashboards", str(tmp_path / "d")]).exit_code == 0
    assert runner.invoke(command_line, ["metrics", "rules", str(tmp_path / "rules.yml")]).exit_code == 0
    assert (tmp_path / "rules.yml").read_text() == (DEPLOY / "prometheus" / "rules.yml").read_text()
    kept = DEPLOY / "grafana" / "dashboards"
    assert {path.name for path in (tmp_path / "d").iterdir()} == {path.name for path in kept.iterdir()}
    for path in kept.iterdir():
        assert (tmp_path / "d" / path.name).read_text() == path.read_text(), path.name


def test_wrong_objectives_are_told(tmp_path: Path) -> None:
    """An objective that the histogram cannot tell, or no share, is one line and an exit code, and writes nothing."""
    for option, value, said in (("--latency", "0.3", "latency is one of"), ("--success", "1", "between 0 and 1")):
        done = CliRunner().invoke(command_line, ["metrics", "rules", str(tmp_path / "r"), option, value])
        assert done.exit_code == 2
        assert said in done.output
    assert not (tmp_path / "r").exists()


def promtool(*arguments: str, given: str = "", objection: str = "") -> None:
    """Run it; it has nothing to say but that one objection."""
    done = subprocess.run([program("promtool"), *arguments], input=given, capture_output=True, text=True, check=False)
    assert done.stderr.strip() == objection, done.stdout
    assert bool(done.returncode) == bool(objection)


def test_rules_are_valid(tmp_path: Path) -> None:
    """Promtool accepts the configuration with its rules, those of other objectives included."""
    promtool("check", "config", "--syntax-only", str(DEPLOY / "prometheus" / "prometheus.yml"))
    promtool("check", "rules", str(DEPLOY / "prometheus" / "rules.yml"))
    other = tmp_path / "other.yml"
    other.write_text(rules_file(Objectives(success=0.99, latency=0.1, quick=0.9, hits=0.8, fresh=5)))
    promtool("check", "rules", str(other))


REQUESTS = 'http_server_request_duration_seconds_count{job="a",http_response_status_code='
SERIES = {
    REQUESTS + '"200"}': "0+98x120",
    REQUESTS + '"500"}': "0+2x120",
    'http_server_request_duration_seconds_bucket{job="a",le="0.5"}': "0+100x120",
    'tailrace_freshness_horizon_age_seconds{job="a"}': "0x100 5x20",
    'tailrace_store_connected{job="a",store="valkey"}': "1x100 0x20",
    'tailrace_query_cache_audits_total{job="a",cache="q",outcome="equal"}': "1x120",
    'tailrace_query_cache_audits_total{job="a",cache="q",outcome="different"}': "_x117 1x3",
    'db_client_connection_timeouts_total{job="a"}': "3x100 3+1x20",
    'tailrace_upstream_circuit_state{job="a",dependency="d",state="open"}': "0x120",
    'tailrace_job_dead{job="a",job_name="send"}': "0x100 1x20",
    'tailrace_job_oldest_age_seconds{job="a",job_name="send"}': "20x120",
    'up{job="a"}': "1x120",
}
"""Two hours, a value each minute: 2 % of requests fail all the time, and at the end several things break."""
FIRING = {
    "TailraceErrorsBurn": 'job="a",severity="page",window="1h"',
    "TailraceRelayBehind": 'job="a",severity="page"',
    "TailraceStoreDown": 'job="a",severity="page",store="valkey"',
    "TailraceQueryCacheWrong": 'job="a",severity="page"',
    "TailracePoolTimeouts": 'job="a",severity="page"',
    "TailraceJobsDead": 'job="a",job_name="send",severity="ticket"',
}
SILENT = {"TailraceLatencyBurn", "TailraceCircuitOpen", "TailraceDown", "TailraceReplicaLeftOut", "TailraceJobsLate"}


def test_alerts_are_given_when_they_should_be(tmp_path: Path) -> None:
    """What breaks is told, a counter's very first increase included, and what does not break is not."""
    series = [{"series": name, "values": values} for name, values in SERIES.items()]
    given = [
        {"expr": f'count(ALERTS{{alertname="{name}",alertstate="firing",{labels}}})', "eval_time": "119m"}
        | {"exp_samples": [{"labels": "{}", "value": 1}]}
        for name, labels in FIRING.items()
    ]
    silent = [{"expr": f'ALERTS{{alertname="{name}"}}', "eval_time": "119m", "exp_samples": []} for name in SILENT]
    tests = tmp_path / "tests.json"
    tests.write_text(
        json.dumps(
            {
                "rule_files": [str(DEPLOY / "prometheus" / "rules.yml")],
                "evaluation_interval": "1m",
                "tests": [{"interval": "1m", "input_series": series, "promql_expr_test": [*given, *silent]}],
            }
        )
    )
    promtool("test", "rules", str(tests))
    assert {*FIRING, *SILENT} <= {rule.name for rules in rules_of().values() for rule in rules}


class Service:
    """A service on a real database and a real store, whose every metric is counted in a while."""

    def __init__(self, database_url: str, valkey_url: str) -> None:
        self.app = FastAPI()
        http = HttpSettings(admin_token=SecretStr(TOKEN))
        settings = Settings(database_url=SecretStr(database_url), valkey_url=SecretStr(valkey_url), http=http)
        self.tailrace = Tailrace(self.app, settings)

        @self.app.get("/kept/{number}")
        @cached(ttl=60, shared=True)
        async def kept(number: int) -> dict[str, Any]:
            assert self.tailrace.database is not None
            rows = await self.tailrace.database.fetch(text("SELECT CAST(:n AS int) AS n"), {"n": number})
            return {"n": rows[0].n, "text": "x" * 2000}

        @self.app.get("/failing")
        async def failing() -> None:
            raise ZeroDivisionError

    def happen(self) -> None:
        """Tell of what a little load does not bring about: replicas, streams, breakers and the like."""
        for kind in event_kinds():
            event = example(kind)
            if isinstance(event, events.ReplicaMeasured):
                event = dataclasses.replace(event, usable=True)
            if isinstance(event, events.SemanticLookedUp):
                event = dataclasses.replace(event, outcome="similar")
            self.tailrace.metrics(event)


async def ask(port: int, path: str, accept: str = "identity") -> bytes:
    # In HTTP/1.0 bodies are not sent in chunks.
    head = f"GET {path} HTTP/1.0\r\nhost: x\r\naccept-encoding: {accept}\r\nauthorization: Bearer {TOKEN}\r\n\r\n"
    return (await talk(port, head.encode())).partition(b"\r\n\r\n")[2]


@pytest.fixture
async def service(database_url: str, valkey_url: str) -> Service:
    """On a database that has what keeps the cache fresh."""
    connection = await asyncpg.connect(database_url)
    await connection.execute((files("tailrace.schema") / "installation.sql").read_text())
    await connection.close()
    return Service(database_url, valkey_url)


@asynccontextmanager
async def prometheus(port: int, folder: Path, **paths: str) -> AsyncIterator[int]:
    """A Prometheus with the deployed files, which asks ``port`` every second: one service, or those under ``paths``."""
    for name in ("prometheus.yml", "rules.yml"):
        text = (DEPLOY / "prometheus" / name).read_text()
        (folder / name).write_text(text.replace("_interval: 15s", "_interval: 1s"))
    targets = [
        {"targets": [f"127.0.0.1:{port}"], "labels": {"job": job, "__metrics_path__": path}}
        for job, path in (paths or {"trading-desk": "/metrics"}).items()
    ]
    (folder / "targets.json").write_text(json.dumps(targets))
    (folder / "admin_token").write_text(TOKEN)
    own = free_port()
    command = [program("prometheus"), f"--config.file={folder / 'prometheus.yml'}"]
    command += [f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{own}"]
    with running(command, own, folder / "log"):

        async def ready() -> bool:
            return b"is Ready" in await ask(own, "/-/ready")

        await wait_until(ready, 60)
        yield own


async def query(port: int, expression: str) -> list[Any]:
    answer = json.loads(await ask(port, "/api/v1/query?" + urlencode({"query": expression})))
    assert answer["status"] == "success", (expression, answer)
    return list(answer["data"]["result"])


async def test_every_query_of_dashboards_and_rules_has_something_to_show(service: Service, tmp_path: Path) -> None:
    """A real Prometheus reads a live service with the deployed files; every curve and every recorded rule has data,
    every alert can be evaluated, and promtool finds nothing wrong with the metrics."""
    async with served(service.app) as port, prometheus(port, tmp_path) as own:
        service.happen()  # a rate needs a figure from before
        # Seen twice before anything more happens.
        await wait_until(lambda: _true(own, 'count_over_time(up{job="trading-desk"}[1m]) >= 2'), 60)
        service.happen()
        await asyncio.gather(*[ask(port, f"/kept/{number % 3}", "gzip") for number in range(30)], ask(port, "/failing"))
        exposed = (await ask(port, "/metrics")).decode()
        await asyncio.to_thread(promtool, "check", "metrics", given=exposed, objection=OBJECTION)
        queries = {
            target["expr"]
            for document in dashboards().values()
            for panel in document["panels"]
            for target in panel["targets"]
        }
        assert queries >= EMPTY_WITHOUT_ALERTS
        queries |= {rule.name for rules in rules_of().values() for rule in rules if not rule.severity}
        left = queries - EMPTY_WITHOUT_ALERTS

        async def shown() -> bool:
            for expression in sorted(left):
                plain = expression.replace("$__rate_interval", "1m").replace("$job", ".*")
                if await query(own, plain):
                    left.remove(expression)
            return not left

        try:
            await wait_until(shown, 60)
        finally:
            assert left == set()
        unhealthy = json.loads(await ask(own, "/api/v1/rules"))["data"]["groups"]
        assert {rule["health"] for group in unhealthy for rule in group["rules"]} == {"ok"}


async def _true(port: int, expression: str) -> bool:
    return bool(await query(port, expression))
