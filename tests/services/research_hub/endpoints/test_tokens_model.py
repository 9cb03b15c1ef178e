"""Random transfers, retried and repeated, against a model of a few lines: the same answers, the same balances."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.services.implementations import IMPLEMENTATIONS
from tests.services.research_hub.endpoints.conftest import Service, StartService, key_of

NOBODY = 10**15
USERS = st.integers(2, 5)
TRANSFERS = st.tuples(
    USERS,
    USERS | st.just(NOBODY),
    st.integers(1, 4) | st.sampled_from([200, 500, 5_000]),
    st.sampled_from("abcdef"),
)
"""Giver, taker, amount and key: few of each, so that keys meet again, with the same and with other requests."""


class Model:
    """What ought to happen."""

    def __init__(self, balances: dict[int, int]) -> None:
        self.balances = balances
        self.kept: dict[tuple[int, str], tuple[tuple[int, int], tuple[int, Any]]] = {}

    def transfer(self, giver: int, taker: int, amount: int, key: str) -> tuple[int, Any]:
        """Status, and the balance afterwards or the code of the refusal."""
        if giver == taker:
            return 422, "transfer_to_oneself"
        if (giver, key) in self.kept:
            asked, outcome = self.kept[giver, key]
            return outcome if asked == (taker, amount) else (422, "idempotency_key_reused")
        outcome = self._decide(giver, taker, amount)
        self.kept[giver, key] = (taker, amount), outcome
        return outcome

    def _decide(self, giver: int, taker: int, amount: int) -> tuple[int, Any]:
        if taker == NOBODY:
            return 422, "user_not_found"
        if self.balances[giver] < amount:
            return 409, "insufficient_tokens"
        self.balances[giver] -= amount
        self.balances[taker] += amount
        return 201, self.balances[giver]


async def balances(service: Service) -> dict[int, int]:
    return {user: (await service.get("/api/tokens", user=user)).json()["balance"] for user in range(2, 6)}


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_transfers_go_as_in_the_model(start_service: StartService, implementation: str) -> None:
    """Whatever is asked for in whatever order, answers and balances are the model's."""
    numbers = itertools.count()
    with asyncio.Runner() as runner:
        starting = start_service(implementation)
        service = runner.run(starting.__aenter__())

        async def follow(wanted: list[tuple[int, int, int, str]]) -> None:
            example = next(numbers)
            model = Model(await balances(service))
            for giver, taker, amount, key in wanted:
                body = {"to_user_id": taker, "amount": amount}
                headers = key_of(giver) | {"Idempotency-Key": f"{example}{key}"}
                answer = await service.client.post("/api/tokens/transfer", json=body, headers=headers)
                said = answer.json().get("balance", answer.json().get("code"))
                assert (answer.status_code, said) == model.transfer(giver, taker, amount, key)
            assert await balances(service) == model.balances

        @settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
        @given(st.lists(TRANSFERS, max_size=15))
        def check(wanted: list[tuple[int, int, int, str]]) -> None:
            runner.run(follow(wanted))

        try:
            check()
        finally:
            runner.run(starting.__aexit__(None, None, None))
