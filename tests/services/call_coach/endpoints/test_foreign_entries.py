"""What other versions of the service have kept in the shared store, or somebody has put there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.services.call_coach.endpoints.conftest import Service, StartService

from tailrace.cache.entry import decode, encode
from tailrace.stores import ValkeyStore

QUESTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("analyze_call", {"call_id": 7}),
    ("get_learning_insights", {"rep_email": "", "focus_area": "discovery"}),
    ("get_rep_insights", {"rep_email": ""}),
    ("analyze_opportunity", {"opportunity_id": 3}),
)
CALLER = 1


async def answers(service: Service, email: str) -> list[Any]:
    """Of every tool that keeps what it makes."""
    found = []
    for tool, question in QUESTIONS:
        reply = await service.ask(
            tool, caller=CALLER, **question | ({"rep_email": email} if "rep_email" in question else {})
        )
        assert reply.status_code == 200, (tool, reply.text)
        found.append(reply.json()["data"])
    return found


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda _: b"{}", id="with no field that is known"),
        pytest.param(lambda _: b'["a", 1, null]', id="of another shape"),
        pytest.param(lambda value: value[: len(value) // 2], id="cut"),
        pytest.param(lambda value: b"\xff" + value, id="damaged"),
    ],
)
async def test_what_cannot_be_read_is_made_anew(
    start_service: StartService, new_database: Callable[[str], str], valkey_url: str, change: Callable[[bytes], bytes]
) -> None:
    """Whatever the values of all entries have become, everybody gets the same answers, and none is an error."""
    at = new_database("optimised")
    store = ValkeyStore(valkey_url)
    async with start_service("optimised", at=at, valkey_url=valkey_url) as service:
        await service.settled()
        (row,) = await service.sql("SELECT email FROM reps ORDER BY id LIMIT 1")
        await answers(service, row["email"])  # the first time calls are analysed, which is a write
        await service.settled()
        expected = await answers(service, row["email"])
    changed = set()
    async for keys in store.scan(""):
        for key in map(bytes.decode, keys):
            entry = decode((await store.get([key]))[0]) if ":e:" in key else None
            if entry is not None and entry.value:
                await store.set({key: encode(replace(entry, value=change(entry.value)))}, 600.0)
                changed.add(key.partition(":e:")[2].rpartition(":")[0].partition("[")[0])
    await store.aclose()
    kept = " ".join(sorted(changed))
    for name in ("account", "analyze_call", "get_learning_insights", "learning_sample", "get_rep_insights"):
        assert name in kept
    async with start_service("optimised", at=at, valkey_url=valkey_url) as service:
        for _ in range(2):
            assert await answers(service, row["email"]) == expected
