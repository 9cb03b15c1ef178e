from __future__ import annotations

import asyncio

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tailrace.embedded import PostgresServer
from tailrace_services.prove.databases import mark_written, prepare
from tailrace_services.prove.stage import Stage, stage
from tailrace_services.services import SERVICES, Service

KEPT = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
PATIENCE = 60.0
"""Seconds for an answer: the service as it was born is slow."""


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
async def test_whatever_is_asked_is_answered_as_documented(
    postgres: PostgresServer, valkey_url: str, service: Service
) -> None:
    """No 5xx, and no status, type or shape that the service's own OpenAPI does not name, whatever is sent."""
    subject = service.subject()
    databases = await prepare(subject, postgres.url(), lambda phase, done, total: None, scale="small")
    await mark_written(subject, databases)
    async with stage(subject, databases, valkey_url) as running:
        await asyncio.to_thread(_ask_everything, running)


def _ask_everything(running: Stage) -> None:
    """Of both implementations; of the fast one as its schema has it and as it has not."""
    site = running.site
    credentials = dict(site.subject.endpoints[0].request(site.people[0], 0).headers)
    ways = (
        (site.optimised, GenerationMode.POSITIVE, 15),
        (site.optimised, GenerationMode.NEGATIVE, 15),
        (site.baseline, GenerationMode.POSITIVE, 4),
    )
    for server, mode, examples in ways:
        schema = schemathesis.openapi.from_url(f"{server.base_url}/openapi.json")
        operations = [result.ok() for result in schema.get_all_operations()]
        assert operations
        for operation in operations:
            if mode is GenerationMode.NEGATIVE and not (any(operation.iter_parameters()) or operation.body):
                continue  # nothing is sent that could be wrong
            _ask(operation, mode, examples, server.base_url, credentials)


def _ask(operation: APIOperation, mode: GenerationMode, examples: int, url: str, credentials: dict[str, str]) -> None:
    """Ask for one thing in many ways."""

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    def ask(case: Case) -> None:
        case.validate_response(case.call(base_url=url, headers=credentials, timeout=PATIENCE), checks=KEPT)

    ask()
