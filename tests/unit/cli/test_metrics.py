"""Metrics are found by words, under the names that are scraped."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from tailrace.cli.app import app
from tailrace.observe.catalogue import CATALOGUE
from tailrace.observe.metrics import Metrics
from tailrace.observe.prometheus import exposition


def listed(*arguments: str) -> list[dict[str, str]]:
    """What ``tailrace metrics list --format json`` says."""
    result = CliRunner().invoke(app, ["metrics", "list", "--format", "json", *arguments], env={"TERM": "dumb"})
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert isinstance(found, list)
    return found


def test_each_metric_is_listed_once_under_the_name_that_is_scraped() -> None:
    """Whoever looks a name up in the list finds it in ``/metrics``."""
    named = {each["opentelemetry"]: each for each in listed()}
    assert list(named) == [metric.name for metric in CATALOGUE]
    scraped = {line.split()[2] for line in exposition([Metrics().part()]).splitlines() if line.startswith("# TYPE")}
    assert scraped
    assert scraped <= {each["name"] for each in named.values()}


def test_words_find_metrics_by_name_or_description() -> None:
    """In any case."""
    assert {each["name"] for each in listed("CONNECTION_WAIT")} == {"db_client_connection_wait_time_seconds"}
    assert [each["opentelemetry"] for each in listed("refused unserved")] == ["tailrace.shedding.refusals"]
    assert listed("elephants") == []
