"""Who asks: credentials are checked, and limits count whoever was found to ask."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import pytest
from tests.services.call_coach.endpoints.conftest import Service, StartService

from tailrace.embedded import ValkeyServer
from tailrace_services.call_coach.keys import TOKENS, api_key
from tailrace_services.identity.keys import hash_api_key
from tailrace_services.identity.tokens import TOKEN_TTL
from tailrace_services.voice_dashboard.keys import TOKENS as ANOTHERS
from tailrace_services.voice_dashboard.keys import api_key as anothers_key

PERSON, PROGRAM, OTHER_PROGRAM = 1, 7, 8
"""Callers of the generated data, which has six representatives."""


def refused(response: Any, status: int) -> str:
    """The error's code; the status and the whole shape must be right."""
    assert response.status_code == status, (response.status_code, response.text)
    body = response.json()
    assert set(body) == {"error", "message", "details", "request_id"}
    assert body["request_id"] == response.headers["x-request-id"]
    return str(body["error"])


async def test_a_wrong_credential_is_refused_alike(service: Service) -> None:
    """Malformed, foreign, repeated and unknown credentials get the same 401, even where none is needed."""
    genuine = api_key(1, PERSON)
    wrong: list[list[tuple[str, str]]] = [
        [("x-api-key", "")],
        [("x-api-key", genuine[:-1])],
        [("x-api-key", genuine.replace("cc_1_", "cc_2_"))],
        [("x-api-key", anothers_key(1, PERSON))],
        [("x-api-key", f"cc_999999_{'0' * 40}")],
        [("x-api-key", f"cc_{2**70}_{'0' * 40}")],
        [("x-api-key", genuine), ("x-api-key", api_key(1, PROGRAM))],
        [("x-api-key", genuine), ("authorization", "Bearer x")],
        [("authorization", f"Bearer {genuine}")],
        [("authorization", "Basic Y2M6Y2M=")],
        [("authorization", "Bearer a.b.c")],
    ]
    messages = set()
    for headers in wrong:
        reply = await service.client.post("/api/v1/tools/analyze_call", json={"call_id": 7}, headers=headers)
        assert refused(reply, 401) == "unauthorized"
        assert reply.headers["www-authenticate"] == "Bearer"
        messages.add(reply.json()["message"])
    assert len(messages) == 1
    assert await service.sql("SELECT FROM call_analyses") == []


async def test_a_token_is_good_until_the_key_changes(service: Service) -> None:
    """A bearer token does what its key does; forged, expired, outdated and foreign ones do nothing."""
    answer = await service.client.post("/api/v1/auth/token", headers={"x-api-key": api_key(1, PERSON)})
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    data = answer.json()["data"]
    assert (data["token_type"], data["expires_in"]) == ("bearer", TOKEN_TTL)
    with_token = {"authorization": f"Bearer {data['access_token']}"}
    forced = await service.ask("analyze_call", call_id=7, force=True, headers=with_token)
    assert forced.status_code == 200
    assert refused(await service.client.post("/api/v1/auth/token", headers=with_token), 401) == "unauthorized"
    assert refused(await service.client.post("/api/v1/auth/token"), 401) == "unauthorized"
    now, key_hash = service.clock.now(), hash_api_key(api_key(1, PERSON))
    secret = b"another secret"
    for forged in (TOKENS.issue(PERSON, key_hash, secret, now), ANOTHERS.issue(PERSON, key_hash, secret, now)):
        headers = {"authorization": f"Bearer {forged}"}
        assert refused(await service.ask("analyze_call", call_id=7, headers=headers), 401) == "unauthorized"
    await service.sql("UPDATE callers SET api_key_hash = $1 WHERE id = 1", hash_api_key("a new key"))
    await service.settled()
    assert refused(await service.ask("analyze_call", call_id=7, headers=with_token), 401) == "unauthorized"
    assert refused(await service.ask("analyze_call", call_id=7, caller=PERSON), 401) == "unauthorized"


async def test_a_caller_who_is_switched_off_is_refused_at_once(service: Service) -> None:
    """What a caller's row says counts from its commit on."""
    assert (await service.ask("analyze_call", call_id=7, caller=PROGRAM)).status_code == 200
    await service.sql("UPDATE callers SET is_active = false WHERE id = $1", PROGRAM)
    await service.settled()
    assert refused(await service.ask("analyze_call", call_id=7, caller=PROGRAM), 403) == "account_inactive"
    assert (await service.ask("analyze_call", call_id=7)).status_code == 200


class Bucket:
    """What the expensive tools' limit admits of one caller: 30 at once, then one every three seconds."""

    def __init__(self) -> None:
        self.admitted = 0
        self._begun = time.monotonic()

    async def exhaust(self, service: Service, **more: Any) -> None:
        """Ask until refused; as many must have been admitted as there may be, and no more."""
        for _ in range(100):
            reply = await service.ask("analyze_call", call_id=7, **more)
            if reply.status_code == 429:
                break
            assert reply.status_code == 200, reply.text
            self.admitted += 1
        assert refused(reply, 429) == "quota_exceeded"
        assert int(reply.headers["retry-after"]) >= 1
        assert reply.headers["x-ratelimit-remaining"] == "0"
        assert '"expensive"' in reply.headers["ratelimit"]
        assert '"expensive";q=20;w=60' in reply.headers["ratelimit-policy"]
        assert 30 <= self.admitted <= 30 + (time.monotonic() - self._begun) / 3


@pytest.mark.parametrize("shared", [False, True])
async def test_each_caller_has_a_bucket(
    start_service: StartService, valkey: ValkeyServer, valkey_url: str, shared: bool
) -> None:
    """30 at once and then 20 a minute: for each person by email, each program by key, and everybody else by address.

    A person's second key takes from the same bucket; a wrong credential takes from its address's, whatever it says.
    """
    more = {"valkey_url": valkey_url} if shared else {}
    async with start_service("optimised", **more) as service:
        await service.sql(
            "INSERT INTO callers (id, name, email, api_key_hash) SELECT 99, name, upper(email), $1 FROM callers "
            "WHERE id = 1",
            hash_api_key(api_key(1, 99)),
        )
        person, program, other, address = (Bucket() for _ in range(4))
        await person.exhaust(service, caller=PERSON)
        await person.exhaust(service, caller=99)
        await program.exhaust(service, caller=PROGRAM)
        await other.exhaust(service, caller=OTHER_PROGRAM)
        for number in range(15):
            forged = {"x-api-key": f"cc_{number + 1}_{'0' * 40}", "x-forwarded-for": f"192.0.2.{number}"}
            assert refused(await service.ask("analyze_call", call_id=7, headers=forged), 401) == "unauthorized"
        address.admitted = 15
        await address.exhaust(service)
        reply = await service.client.post("/api/v1/auth/token", headers={"x-api-key": api_key(1, PROGRAM)})
        token = reply.json()["data"]["access_token"]
        await program.exhaust(service, headers={"authorization": f"Bearer {token}"})


async def test_limits_are_shared_by_processes(start_service: StartService, valkey_url: str) -> None:
    """With a store, two servers admit together what one would; both say so in the same fields."""
    async with contextlib.AsyncExitStack() as stack:
        first = await stack.enter_async_context(start_service("optimised", valkey_url=valkey_url))
        second = await stack.enter_async_context(
            start_service("optimised", valkey_url=valkey_url, at=first.database_url)
        )
        bucket = Bucket()
        for _ in range(14):
            for service in (first, second):
                assert (await service.ask("analyze_call", call_id=7, caller=PERSON)).status_code == 200
                bucket.admitted += 1
        await bucket.exhaust(first, caller=PERSON)
        await bucket.exhaust(second, caller=PERSON)


@pytest.mark.parametrize(
    ("rate_limit", "burst", "policy"),
    [
        ({}, 150, '"general";q=100;w=60;tailrace-burst=150'),
        ({"general": "5/minute"}, 5, '"general";q=5;w=60'),
        ({"general": "5/minute", "general_burst": 9}, 9, '"general";q=5;w=60;tailrace-burst=9'),
    ],
)
async def test_the_general_limit(
    start_service: StartService, rate_limit: dict[str, Any], burst: int, policy: str
) -> None:
    """150 at once for all that costs little, unknown addresses too; the environment may say otherwise."""
    async with start_service("optimised", rate_limit=rate_limit) as service:
        begun, statuses = time.monotonic(), []
        while 429 not in statuses:
            reply = await service.client.get("/nowhere")
            statuses.append(reply.status_code)
        admitted = statuses.count(404)
        assert burst <= admitted <= burst + (time.monotonic() - begun) * 100 / 60
        assert reply.headers["ratelimit-policy"] == policy
