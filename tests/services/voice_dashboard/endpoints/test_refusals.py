"""What the service refuses, and how: one body, a clear 4xx, nobody else's rows."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.services.voice_dashboard.endpoints.conftest import Service, key_of

from tailrace_services.identity.keys import hash_api_key
from tailrace_services.identity.tokens import TOKEN_TTL
from tailrace_services.voice_dashboard.keys import TOKENS

READS = (
    "/api/dashboard/overview",
    "/api/dashboard/analytics",
    "/api/agents",
    "/api/agents/1",
    "/api/agents/1/configuration",
    "/api/billing/credits",
)


def code_of(response: Any, status: int) -> str:
    """The error's code; the status and the whole shape must be right."""
    assert response.status_code == status, (response.status_code, response.text)
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert set(body) == {"success", "error"}
    assert body["success"] is False
    assert set(body["error"]) == {"code", "message", "details", "fallbackData", "retryAttempts"}
    assert body["error"]["message"]
    return str(body["error"]["code"])


async def test_a_wrong_credential_is_refused_everywhere_alike(service: Service) -> None:
    """Missing, malformed, foreign, repeated and unknown keys get the same 401, and no route forgets to ask."""
    genuine = key_of(1)
    wrong: list[list[tuple[str, str]]] = [
        [],
        [("x-api-key", "")],
        [("x-api-key", "nonsense")],
        [("x-api-key", genuine[:-1])],
        [("x-api-key", genuine.replace("vd_1_", "vd_2_"))],
        [("x-api-key", f"vd_999999_{'0' * 40}")],
        [("x-api-key", f"vd_{2**70}_{'0' * 40}")],
        [("x-api-key", genuine), ("x-api-key", key_of(2))],
        [("x-api-key", genuine), ("authorization", "Bearer x")],
        [("authorization", f"Bearer {genuine}")],
        [("authorization", "Basic dmQ6dmQ=")],
        [("authorization", "Bearer")],
        [("authorization", "Bearer a.b.c")],
    ]
    answers = set()
    for headers in wrong:
        for path in READS if len(headers) < 2 else READS[:2]:
            response = await service.client.get(path, headers=headers)
            assert code_of(response, 401) == "UNAUTHORIZED"
            assert response.headers["www-authenticate"].startswith("Bearer")
            answers.add(response.text)
    assert len(answers) == 1
    for method, path in (("POST", "/api/calls"), ("POST", "/api/agents"), ("DELETE", "/api/agents/1")):
        response = await service.client.request(method, path, json={"agentId": 1, "status": "busy"})
        assert response.status_code in (401, 422)
    assert (await service.sql("SELECT is_active FROM agents WHERE id = 1"))[0]["is_active"]


async def test_a_user_who_is_switched_off_is_refused_at_once(service: Service) -> None:
    """A cached answer and a cached account end with the row they came from."""
    for path in READS:
        assert (await service.get(path)).status_code == 200
    await service.sql("UPDATE users SET is_active = false WHERE id = 1")
    if service.name == "optimised":
        await service.settled()
    for path in READS:
        assert code_of(await service.get(path), 403) == "ACCOUNT_INACTIVE"


async def test_a_token_is_good_for_its_user_until_the_key_changes(service: Service) -> None:
    """A bearer token reads what its key reads; forged, expired and outdated ones read nothing."""
    answer = await service.post("/api/auth/token", None, user=3)
    assert answer.headers["cache-control"] == "no-store"
    token = answer.json()["accessToken"]
    assert answer.json()["expiresIn"] == TOKEN_TTL
    with_token = {"authorization": f"Bearer {token}"}
    for path in ("/api/dashboard/analytics", "/api/billing/credits"):
        assert (await service.client.get(path, headers=with_token)).content == (await service.get(path, user=3)).content
    refused = await service.client.post("/api/auth/token", headers=with_token)
    assert code_of(refused, 401) == "UNAUTHORIZED"  # or a token would live for ever
    header, claims, signature = token.split(".")
    forged = TOKENS.issue(1, hash_api_key(key_of(1)), b"another secret", service.clock.now())
    none = "eyJhbGciOiJub25lIn0"
    for bad in (
        forged,
        f"{none}.{claims}.",
        f"{none}.{claims}.{signature}",
        f"{header}.{claims}.",
        token[:-2],
        "é" + token,
    ):
        response = await service.client.get("/api/billing/credits", headers={"authorization": f"Bearer {bad}".encode()})
        assert code_of(response, 401) == "UNAUTHORIZED"
    await service.sql("UPDATE users SET api_key_hash = $1 WHERE id = 3", hash_api_key("a new key"))
    if service.name == "optimised":
        await service.settled()
    for path in ("/api/dashboard/analytics", "/api/billing/credits"):
        assert code_of(await service.client.get(path, headers=with_token), 401) == "UNAUTHORIZED"


async def test_what_belongs_to_others_does_not_exist(service: Service) -> None:
    """Another user's agents and calls are 404 to read and to write, and stay as they are."""
    theirs = (await service.sql("SELECT id FROM agents WHERE user_id = 1 AND is_active ORDER BY id LIMIT 1"))[0]["id"]
    call = (await service.sql("SELECT id FROM calls WHERE user_id = 1 ORDER BY id LIMIT 1"))[0]["id"]
    before = await service.sql("SELECT * FROM agents WHERE id = $1", theirs)
    for path in (f"/api/agents/{theirs}", f"/api/agents/{theirs}/configuration"):
        assert (await service.get(path, user=1)).status_code == 200
        assert code_of(await service.get(path, user=2), 404) == "AGENT_NOT_FOUND"
    writes: list[tuple[str, str, Any, str]] = [
        ("PATCH", f"/api/agents/{theirs}", {"name": "Mine now"}, "AGENT_NOT_FOUND"),
        ("POST", "/api/calls", {"agentId": theirs, "status": "busy", "creditsUsed": 5}, "AGENT_NOT_FOUND"),
        ("POST", f"/api/calls/{call}/lead", {"totalScore": 100}, "CALL_NOT_FOUND"),
    ]
    for method, path, body, code in writes:
        assert code_of(await service.request(method, path, json=body, user=2), 404) == code
    assert code_of(await service.request("DELETE", f"/api/agents/{theirs}", user=2), 404) == "AGENT_NOT_FOUND"
    assert await service.sql("SELECT * FROM agents WHERE id = $1", theirs) == before


async def test_answers_are_their_readers_own(service: Service) -> None:
    """Users who read the same addresses one after the other, from a warm cache, each get their own."""
    rounds = [
        {user: (await service.get("/api/dashboard/analytics?days=90", user=user)).content for user in range(1, 30)}
        for _ in range(2)
    ]
    assert rounds[0] == rounds[1]
    assert len(set(rounds[0].values())) > 20
    for user in range(1, 30):
        recent = (await service.get("/api/dashboard/overview", user=user)).json()["recentActivity"]
        owners = await service.sql(
            "SELECT DISTINCT user_id FROM calls WHERE id = ANY($1)", [c["callId"] for c in recent]
        )
        assert [row["user_id"] for row in owners] in ([user], [])


BAD_QUERIES = (
    "days=0",
    "days=91",
    "days=-1",
    "days=x",
    "days=",
    "days=1.5",
    "days=NaN",
    f"days={10**400}",
    "days=7%00",
)
BAD_IDS = ("0", "-1", "x", str(2**63), "9" * 100, "1.5", "%00", "1e3")
CALL = {"agentId": 1, "status": "completed"}
BAD_CALLS: list[Any] = [
    {},
    [],
    "x",
    {**CALL, "surprise": 1},
    {**CALL, "agent_id": 1},
    {**CALL, "agentId": "1"},
    {**CALL, "agentId": True},
    {**CALL, "agentId": 0},
    {**CALL, "agentId": 2**63},
    {**CALL, "status": "Completed"},
    {**CALL, "status": "completed\0"},
    {**CALL, "durationMinutes": -1},
    {**CALL, "durationMinutes": 1441},
    {**CALL, "durationMinutes": "1.0005"},
    {**CALL, "durationMinutes": "NaN"},
    {**CALL, "durationMinutes": "1e400"},
    {**CALL, "creditsUsed": "Infinity"},
    {**CALL, "creditsUsed": 1_000_001},
    {**CALL, "creditsUsed": None},
    {**CALL, "createdAt": "yesterday"},
    {**CALL, "createdAt": "2026-03-31T11:00:00"},
    {**CALL, "createdAt": "2026-03-31T11:49:00Z"},
    {**CALL, "createdAt": "2025-03-01T00:00:00Z"},
    {**CALL, "createdAt": "0001-01-01T00:00:00+14:00"},
    {**CALL, "createdAt": "9999-12-31T23:59:59-14:00"},
]
AGENT = {"name": "A", "type": "support"}
BAD_AGENTS: list[Any] = [
    {**AGENT, "name": ""},
    {**AGENT, "name": "   "},
    {**AGENT, "name": "x" * 201},
    {**AGENT, "name": "a\0b"},
    {**AGENT, "name": 5},
    {**AGENT, "description": "x" * 5001},
    {**AGENT, "status": "deleted"},
    {**AGENT, "externalId": "../../etc"},
    {**AGENT, "externalId": "agent x"},
    {**AGENT, "userId": 2},
]


async def test_bad_input_is_a_clear_4xx_and_changes_nothing(service: Service) -> None:
    """Wrong types, ranges, lengths, characters and names of fields are named, not stored and not a 500."""
    before = await service.sql("SELECT (SELECT count(*) FROM calls), (SELECT count(*) FROM agents)")
    for query in BAD_QUERIES:
        assert code_of(await service.get(f"/api/dashboard/analytics?{query}"), 422) == "VALIDATION_ERROR", query
    for bad in BAD_IDS:
        assert code_of(await service.get(f"/api/agents/{bad}"), 422) == "VALIDATION_ERROR", bad
    for path, bodies in (("/api/calls", BAD_CALLS), ("/api/agents", BAD_AGENTS)):
        for body in bodies:
            response = await service.post(path, body)
            assert code_of(response, 422) == "VALIDATION_ERROR", body
    for score in (-1, 101, 50.5, "50", None, True):
        response = await service.post("/api/calls/1/lead", {"totalScore": score})
        assert code_of(response, 422) == "VALIDATION_ERROR", score
    for body in ({}, {"name": None}, {"isActive": False}):
        response = await service.request("PATCH", "/api/agents/1", json=body)
        assert code_of(response, 422) == "VALIDATION_ERROR", body
    assert await service.sql("SELECT (SELECT count(*) FROM calls), (SELECT count(*) FROM agents)") == before


RAW = {
    "not JSON": (b"{", 400, "INVALID_JSON"),
    "NaN": (b'{"agentId": 1, "status": "busy", "creditsUsed": NaN}', 422, "VALIDATION_ERROR"),
    "a lone surrogate": (b'{"name": "\\ud800", "type": "x"}', 422, "VALIDATION_ERROR"),
    "not UTF-8": (b'{"name": "\xff", "type": "x"}', 400, "BAD_REQUEST"),
    "nested beyond reason": (b"[" * 60_000, 400, None),
    "null": (b"null", 422, "VALIDATION_ERROR"),
    "nothing": (b"", 422, "VALIDATION_ERROR"),
    "too large": (b'"' + b"x" * 70_000 + b'"', 413, "PAYLOAD_TOO_LARGE"),
    "a number of 5,000 digits": (b'{"agentId": ' + b"9" * 5000 + b"}", 400, "BAD_REQUEST"),
}


@pytest.mark.parametrize("case", RAW)
async def test_a_body_that_cannot_be_read_is_a_clear_4xx(case: str, service: Service) -> None:
    """Whatever the bytes are, the answer is the service's own."""
    body, status, code = RAW[case]
    path = "/api/agents" if b"name" in body else "/api/calls"
    response = await service.request("POST", path, content=body, headers={"content-type": "application/json"})
    found = code_of(response, status)
    assert code is None or found == code
    assert len(response.content) < 3000  # what was sent is not sent back


async def test_a_large_body_is_refused_while_it_comes(service: Service) -> None:
    """A body without a declared length is cut off at the limit."""

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 1000

    headers = {"content-type": "application/json"}
    response = await service.request("POST", "/api/calls", content=endless(), headers=headers)
    assert code_of(response, 413) == "PAYLOAD_TOO_LARGE"


async def test_addresses_methods_and_media_types_are_refused_in_the_same_shape(service: Service) -> None:
    """404, 405 with what is allowed, 415."""
    assert code_of(await service.get("/api/nothing"), 404) == "NOT_FOUND"
    response = await service.request("DELETE", "/api/dashboard/overview")
    assert code_of(response, 405) == "METHOD_NOT_ALLOWED"
    assert "GET" in response.headers["allow"]
    for headers in ({"content-type": "text/plain"}, {"content-type": ""}, {}):
        response = await service.request("POST", "/api/calls", content=json.dumps(CALL).encode(), headers=headers)
        assert code_of(response, 415) == "UNSUPPORTED_MEDIA_TYPE"


async def test_a_taken_external_id_is_a_conflict(service: Service) -> None:
    """409, and the other agent stays whose it is."""
    body = {**AGENT, "externalId": "agent_twice"}
    assert (await service.post("/api/agents", body, user=2)).status_code == 201
    assert code_of(await service.post("/api/agents", body, user=3), 409) == "EXTERNAL_ID_TAKEN"


async def test_only_if_cached_never_calculates(service: Service) -> None:
    """504 CACHE_MISS from a cold cache; from a warm one, the answer."""
    asked = {"cache-control": "only-if-cached"}
    assert code_of(await service.get("/api/dashboard/overview", headers=asked), 504) == "CACHE_MISS"
    await service.get("/api/dashboard/overview")
    response = await service.get("/api/dashboard/overview", headers=asked)
    assert response.status_code == (200 if service.name == "optimised" else 504)


async def test_openapi_describes_what_is_sent(service: Service) -> None:
    """Every operation names its answer and the one body of errors; both credentials are documented."""
    document = (await service.client.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]
    assert {"Overview", "Analytics", "AgentList", "AgentView", "CallRow", "LeadRow", "ErrorBody"} <= set(schemas)
    assert "HTTPValidationError" not in json.dumps(document)
    assert "leadScore" in schemas["Activity"]["properties"]
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len(operations) == 12
    for operation in operations:
        assert operation["responses"]["422"]["content"]["application/json"]["schema"] == {
            "$ref": "#/components/schemas/ErrorBody"
        }
    assert (await service.client.get("/docs")).status_code == 200
