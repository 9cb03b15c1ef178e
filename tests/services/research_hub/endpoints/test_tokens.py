"""Tokens: what one has, how they move exactly once, and what is refused."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest
from tests.services.implementations import IMPLEMENTATIONS
from tests.services.research_hub.endpoints.conftest import Service, StartService, key_of

from tailrace_services.research_hub.api.tokens import Kind
from tailrace_services.research_hub.model import MOVEMENTS
from tailrace_services.research_hub.tokens.idempotency import LONGEST_KEY

GIVER, TAKER = 2, 3


async def give(service: Service, key: str | None, amount: Any = 1, *, to: Any = TAKER, user: int = GIVER) -> Any:
    """Ask for a transfer."""
    headers = key_of(user) | ({} if key is None else {"Idempotency-Key": key})
    return await service.client.post("/api/tokens/transfer", json={"to_user_id": to, "amount": amount}, headers=headers)


async def balance(service: Service, user: int) -> int:
    found = (await service.get("/api/tokens", user=user)).json()["balance"]
    assert isinstance(found, int)
    return found


async def moved(service: Service) -> int:
    """Movements there are."""
    (row,) = await service.sql("SELECT count(*) FROM token_ledger")
    return int(row[0])


def code(response: httpx2.Response) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


async def test_a_transfer_moves_tokens(service: Service) -> None:
    """From one balance to the other, seen at once, and written in both histories with its sign."""
    before = await balance(service, GIVER), await balance(service, TAKER)
    answer = await give(service, "k1", 5)
    assert answer.status_code == 201
    body = answer.json()
    assert body == {"id": body["id"], "to_user_id": TAKER, "amount": 5, "created_at": "2026-03-31T12:30:12.345678Z",
                    "balance": before[0] - 5}  # fmt: skip
    assert (await balance(service, GIVER), await balance(service, TAKER)) == (before[0] - 5, before[1] + 5)
    for user, other, amount in ((GIVER, TAKER, -5), (TAKER, GIVER, 5)):
        (newest, *_) = (await service.get("/api/tokens", user=user)).json()["items"]
        assert newest == {"id": body["id"], "type": "transfer", "amount": amount, "other_user_id": other,
                          "created_at": body["created_at"]}  # fmt: skip


async def test_asked_again_it_is_answered_again(service: Service) -> None:
    """The same key and body: the same answer to the byte, marked, and nothing moves a second time."""
    first = await give(service, "again", 5)
    count = await moved(service)
    for key in ("again", '"again"', '"a\\"gain"', '"a\\"gain"'):
        answer = await give(service, key, 5)
        assert answer.status_code == 201
        if "\\" not in key:
            assert answer.content == first.content
            assert answer.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert await moved(service) == count + 1
    body = b' {"amount" : 5, "to_user_id" : 3} '
    headers = {**key_of(GIVER), "Idempotency-Key": "again", "content-type": "application/json"}
    spelled = await service.client.post("/api/tokens/transfer", content=body, headers=headers)
    assert spelled.content == first.content


async def test_a_key_is_for_one_request(service: Service) -> None:
    """With another body it is refused, and the first answer stands; another user's key of that name is another."""
    first = await give(service, "k", 5)
    count = await moved(service)
    assert code(await give(service, "k", 6)) == (422, "idempotency_key_reused")
    assert code(await give(service, "k", 5, to=4)) == (422, "idempotency_key_reused")
    assert (await give(service, "k", 5)).content == first.content
    assert await moved(service) == count
    assert (await give(service, "k", 1, to=GIVER, user=TAKER)).status_code == 201


@pytest.mark.parametrize("key", ["", '""', "two words", '"open', "\xe9", "x" * (LONGEST_KEY + 1), '"a\\b"', "a, b"])
async def test_keys_that_are_none(service: Service, key: str) -> None:
    """What cannot be told from another key names nothing."""
    headers = {**key_of(GIVER), "Idempotency-Key": key.encode("latin-1")}
    answer = await service.client.post("/api/tokens/transfer", json={"to_user_id": TAKER, "amount": 1}, headers=headers)
    assert code(answer) == (400, "idempotency_key_invalid")


async def test_a_key_is_wanted_once(service: Service) -> None:
    """Without one a transfer is refused, and with two as well."""
    assert code(await give(service, None)) == (400, "idempotency_key_missing")
    headers = [*key_of(GIVER).items(), ("Idempotency-Key", "a"), ("Idempotency-Key", "a")]
    body = {"to_user_id": TAKER, "amount": 1}
    answer = await service.client.post("/api/tokens/transfer", json=body, headers=headers)
    assert code(answer) == (400, "idempotency_key_invalid")


async def test_nobody_gives_more_than_they_have(service: Service) -> None:
    """All of it may go, one more may not; what was refused under a key stays so, and moves nothing."""
    has = await balance(service, GIVER)
    count = await moved(service)
    assert code(await give(service, "too-much", has + 1)) == (409, "insufficient_tokens")
    assert await balance(service, GIVER) == has
    assert (await give(service, "all", has)).json()["balance"] == 0
    assert code(await give(service, "one-more", 1)) == (409, "insufficient_tokens")
    assert (await give(service, "back", has, to=GIVER, user=TAKER)).status_code == 201
    again = await give(service, "too-much", has + 1)
    assert code(again) == (409, "insufficient_tokens")
    assert await moved(service) == count + 2
    assert await balance(service, GIVER) == has


async def test_recipients_exist(service: Service) -> None:
    """To nobody, and to oneself, nothing goes; that there is nobody is said before that there is not enough."""
    assert code(await give(service, "a", 1, to=10**15)) == (422, "user_not_found")
    assert code(await give(service, "b", 10**12, to=10**15)) == (422, "user_not_found")
    assert code(await give(service, "a", 1, to=10**15)) == (422, "user_not_found")
    assert code(await give(service, "c", 1, to=GIVER)) == (422, "transfer_to_oneself")


@pytest.mark.parametrize("amount", [0, -1, 1.5, "1", True, None, 10**12 + 1, 10**30])
async def test_amounts_are_whole_and_positive(service: Service, amount: object) -> None:
    """Anything else is no amount, and uses up no key."""
    assert (await give(service, "k", amount)).status_code == 422
    assert (await give(service, "k", 1)).status_code == 201


async def test_tokens_are_ones_own(service: Service) -> None:
    """Nobody in particular has none to see or give."""
    assert (await service.get("/api/tokens")).status_code == 401
    answer = await service.client.post(
        "/api/tokens/transfer", json={"to_user_id": TAKER, "amount": 1}, headers={"Idempotency-Key": "k"}
    )
    assert answer.status_code == 401


async def test_histories_are_paged(pair: tuple[Service, Service]) -> None:
    """Both implementations walk through the same history, forward and back, and its amounts make up the balance."""
    for user in (1, GIVER):
        whole: list[list[Any]] = []
        for service in pair:
            query: dict[str, Any] = {"limit": 7, "total": "exact"}
            items: list[Any] = []
            while True:
                page = (await service.get("/api/tokens", user=user, **query)).json()
                items += page["items"]
                if page["next_cursor"] is None:
                    break
                query["cursor"] = page["next_cursor"]
            assert page["total"] == len(items) > 7
            assert sum(item["amount"] for item in items) == page["balance"]
            assert page["previous_cursor"]
            whole.append(items)
        assert whole[0] == whole[1]
        assert len({item["id"] for item in whole[0]}) == len(whole[0])


async def test_histories_by_type(pair: tuple[Service, Service]) -> None:
    """One type at a time, the same from both; a type that there is none of is refused."""
    assert set(Kind.__args__) == set(MOVEMENTS)
    for kind in MOVEMENTS:
        slow, fast = [(await each.get("/api/tokens", user=1, type=kind)).json() for each in pair]
        assert slow == fast
        assert {item["type"] for item in slow["items"]} <= {kind}
    assert (await pair[1].get("/api/tokens", user=1, type="theft")).status_code == 422


async def test_an_empty_page_says_the_balance_too(pair: tuple[Service, Service]) -> None:
    """Beyond the end of the history; the same from both, with one ``Link``."""
    slow, fast = [await each.get("/api/tokens", user=GIVER, offset=900) for each in pair]
    assert fast.json()["items"] == []
    assert fast.json() == slow.json()
    assert fast.json()["balance"] == await balance(pair[1], GIVER)
    assert len(fast.headers.get_list("link")) == 1


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
async def test_many_at_once(start_service: StartService, implementation: str) -> None:
    """Everybody to everybody, crosswise, many keys twice: no tokens come or go, and no key counts double."""
    async with start_service(implementation) as service:
        users = (2, 3, 4, 5)
        before = {user: await balance(service, user) for user in users}
        wanted = [(giver, taker, n % 3 + 1, f"k{n % 6}") for giver in users for taker in users for n in range(8)
                  if giver != taker]  # fmt: skip
        count = await moved(service)
        answers = await asyncio.gather(
            *(give(service, f"{key}-{taker}", amount, to=taker, user=giver) for giver, taker, amount, key in wanted)
        )
        statuses = {answer.status_code for answer in answers}
        assert statuses <= {201, 409, 422}, [answer.text for answer in answers if answer.status_code >= 500]
        done = {answer.json()["id"] for answer in answers if answer.status_code == 201}
        assert await moved(service) == count + len(done)
        after = {user: await balance(service, user) for user in users}
        assert sum(after.values()) == sum(before.values())
        assert min(after.values()) >= 0


async def test_kept_answers_follow_the_ledger(optimised: Service) -> None:
    """A history comes from the cache until tokens of that user move, whoever moves them, and only of that user."""
    await optimised.settled()
    for user in (GIVER, TAKER, 4):
        await optimised.get("/api/tokens", user=user)
        assert "hit" in (await optimised.get("/api/tokens", user=user)).headers["cache-status"]
    await optimised.sql(
        "INSERT INTO token_ledger (from_user_id, to_user_id, type, amount) VALUES ($1, $2, 'transfer', 1)", GIVER, TAKER
    )
    await optimised.settled()
    shown = {user: await optimised.get("/api/tokens", user=user) for user in (GIVER, TAKER, 4)}
    assert [("hit" in each.headers["cache-status"]) for each in shown.values()] == [False, False, True]
    assert shown[TAKER].json()["items"][0]["amount"] == 1
