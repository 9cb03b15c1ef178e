"""How the service speaks HTTP: errors in two shapes, versions, what is going away, its document, monitoring."""

from __future__ import annotations

import uuid
from email.utils import parsedate_to_datetime

import httpx2
import pytest
from tests.services.call_coach.endpoints.conftest import Service, StartService

from tailrace.embedded import PostgresServer
from tailrace.settings import Settings
from tailrace_services.call_coach.api.application import UNVERSIONED
from tailrace_services.call_coach.optimised.application import with_defaults

PROBLEM = {"accept": "application/problem+json"}


async def failures(service: Service, headers: dict[str, str]) -> list[httpx2.Response]:
    """One of each kind: unknown address, wrong method, unknown call, wrong value, no JSON, a body too long."""
    address, client = "/api/v1/tools/analyze_call", service.client
    as_json = {**headers, "content-type": "application/json"}
    return [
        await client.post("/api/v1/tools/guess", headers=headers),
        await client.get(address, headers=headers),
        await service.ask("analyze_call", call_id=999, headers=headers),
        await service.ask("analyze_call", call_id=0, headers=headers),
        await client.post(address, content=b"{", headers=as_json),
        await client.post(address, content=b" " * 70_000, headers=as_json),
    ]


STATUSES = [404, 405, 404, 422, 422, 413]


async def test_every_failure_has_one_shape(service: Service) -> None:
    """Code, message, details and the id of the request, whatever went wrong and wherever."""
    replies = await failures(service, {})
    assert [reply.status_code for reply in replies] == STATUSES
    for reply in replies:
        body = reply.json()
        assert set(body) == {"error", "message", "details", "request_id"}
        assert reply.headers["content-type"] == "application/json"
        assert reply.headers["vary"].lower().startswith("accept")
        assert body["request_id"] == reply.headers["x-request-id"]
        assert str(uuid.UUID(body["request_id"])) == body["request_id"]
    given = await service.ask("analyze_call", call_id=999, headers={"x-request-id": "mine-1"})
    assert given.json()["request_id"] == "mine-1"


async def test_problem_details_for_who_asks(service: Service) -> None:
    """A client that names RFC 9457's media type gets it for every failure."""
    replies = await failures(service, PROBLEM)
    assert [reply.status_code for reply in replies] == STATUSES
    for reply in replies:
        body = reply.json()
        assert reply.headers["content-type"] == "application/problem+json"
        assert (body["status"], body["request_id"]) == (reply.status_code, reply.headers["x-request-id"])
        assert {"type", "title", "code", "detail"} <= set(body)
    fine = await service.ask("analyze_call", call_id=7, headers=PROBLEM)
    assert fine.headers["content-type"] == "application/json"


@pytest.mark.parametrize(("headers", "code"), [({}, "error"), (PROBLEM, "code")])
async def test_a_database_that_is_away_is_503(
    start_service: StartService, postgres: PostgresServer, headers: dict[str, str], code: str
) -> None:
    """What may pass is 503 and says when to come again, from both implementations; nothing of the cause is told."""
    for name, more in (("baseline", {}), ("optimised", {"database": {"retry_time": 0.2}})):
        async with start_service(name, **more) as service:
            assert (await service.ask("analyze_call", call_id=7)).status_code == 200
            postgres.stop()
            try:
                reply = await service.ask("analyze_call", call_id=8, headers=headers)
            finally:
                postgres.start()
            assert reply.status_code == 503, reply.text
            assert reply.json()[code] == "database_unavailable"
            assert int(reply.headers["retry-after"]) >= 1
            assert not {"postgres", "connect", "127.0.0.1", "refused"} & set(reply.text.lower().split())


async def test_a_permanent_database_error_is_500(service: Service) -> None:
    """What will not pass is 500, at once, and names no table, statement or host."""
    await service.sql("ALTER TABLE call_analyses RENAME TO call_analyses_gone")
    reply = await service.ask("analyze_call", call_id=9)
    body = reply.json()
    assert (reply.status_code, body["error"]) in ((500, "internal_error"), (500, "database_error"))
    assert "call_analyses" not in reply.text
    assert "retry-after" not in reply.headers


async def test_the_unversioned_addresses_still_work_and_say_that_they_go(optimised: Service) -> None:
    """The same answer at the old address, with Deprecation, Sunset and a link to the successor; v1 has none of them."""
    old = await optimised.client.post("/tools/analyze_call", json={"call_id": 7})
    new = await optimised.ask("analyze_call", call_id=7)
    assert (old.status_code, old.content) == (200, new.content)
    assert old.headers["deprecation"] == f"@{int(UNVERSIONED.since.timestamp())}"
    assert parsedate_to_datetime(old.headers["sunset"]) == UNVERSIONED.sunset
    assert old.headers["link"] == '</api/v1/tools/analyze_call>; rel="successor-version"'
    assert not {"deprecation", "sunset", "link"} & set(new.headers)
    missing = await optimised.client.post("/api/v9/tools/analyze_call", json={"call_id": 7})
    assert (missing.status_code, missing.json()["details"]["supported"]) == (404, ["v1"])


async def test_the_document(optimised: Service) -> None:
    """OpenAPI shows both shapes of errors, limits, credentials, and the old addresses as deprecated."""
    document = (await optimised.client.get("/openapi.json")).json()
    operation = document["paths"]["/api/v1/tools/analyze_call"]["post"]
    assert {"200", "401", "403", "404", "422", "429", "500", "503"} <= set(operation["responses"])
    for status in ("404", "422", "429", "503"):
        assert set(operation["responses"][status]["content"]) == {"application/json", "application/problem+json"}
    assert document["paths"]["/tools/analyze_call"]["post"]["deprecated"] is True
    assert "deprecated" not in operation
    schemas = set(document["components"]["schemas"])
    assert {"ErrorBody", "Problem", "AnalyzeCallRequest", "AnalyzeCallResponse"} <= schemas
    assert "HTTPValidationError" not in schemas
    assert {each["type"] for each in document["components"]["securitySchemes"].values()} == {"apiKey", "http"}


async def test_every_response_says_how_long_it_took(optimised: Service) -> None:
    """Id and time are on answers and failures; large answers are compressed and much smaller."""
    plain = await optimised.ask("analyze_call", call_id=7, headers={"accept-encoding": "identity"})
    assert plain.headers["x-response-time"].endswith("ms")
    assert "x-request-id" in plain.headers
    for coding in ("gzip", "br", "zstd"):
        reply = await optimised.ask("analyze_call", call_id=7, headers={"accept-encoding": coding})
        assert (reply.headers["content-encoding"], reply.content) == (coding, plain.content)
        assert int(reply.headers["content-length"]) < 0.5 * len(plain.content)
    browsers = await optimised.ask("analyze_call", call_id=7, headers={"accept-encoding": "gzip, deflate, br, zstd"})
    assert browsers.headers["content-encoding"] == "br"


def test_settings_win_over_what_the_service_wants() -> None:
    """Its own effort, limits and patience hold only where nobody says otherwise."""
    wanted = with_defaults(Settings()).compression
    assert (wanted.gzip_level, wanted.brotli_quality, wanted.encodings[0]) == (6, 5, "br")
    said = Settings(
        compression={"gzip_level": 2, "encodings": ["zstd"]},
        rate_limit={"general": "1/minute"},
        database={"retry_time": 3.0},
    )  # type: ignore[arg-type]
    kept = with_defaults(said)
    assert kept.compression.encodings == ("zstd",)
    assert (kept.compression.gzip_level, kept.rate_limit.general, kept.database.retry_time) == (
        2,
        said.rate_limit.general,
        3.0,
    )


async def test_monitoring(start_service: StartService) -> None:
    """Operators see what was asked, how it went, what limits refused, and the database's own figures."""
    async with start_service("optimised", http={"admin_token": "operator"}) as service:
        for call_id in (7, 7, 999):
            await service.ask("analyze_call", call_id=call_id)
        operator = {"authorization": "Bearer operator"}
        for page in ("", "/endpoint/api/v1/tools/analyze_call", "/database", "/rate-limits"):
            assert (await service.client.get(f"/monitoring/metrics{page}")).status_code == 404
            shown = await service.client.get(f"/monitoring/metrics{page}", headers=operator)
            assert shown.status_code == 200, (page, shown.text)
            if page in ("", "/endpoint/api/v1/tools/analyze_call"):
                assert "analyze_call" in shown.text
        assert (await service.client.get("/monitoring/health")).json()["status"] == "ready"
