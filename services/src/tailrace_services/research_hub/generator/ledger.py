"""Movements of tokens as lines of COPY: nobody ever has less than nothing. Pure.

Everybody is granted at the beginning what they are going to spend, and something to keep.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tailrace_services.data.copy_text import NULL, moment
from tailrace_services.research_hub.generator.people import People
from tailrace_services.research_hub.generator.posts import YEAR_S, moments

__all__ = ["LEDGER_COLUMNS", "movement_lines"]

LEDGER_COLUMNS = ("id", "from_user_id", "to_user_id", "type", "amount", "created_at")
_KINDS = np.array(["reward", "transfer", "fee"])


def movement_lines(people: People, anchor: int) -> Iterator[str]:
    """Lines of ``token_ledger`` in :data:`LEDGER_COLUMNS`. Memory: some 60 bytes a movement."""
    random = np.random.default_rng([people.seed, 6])
    users = people.scale.users
    size = people.scale.movements - users
    payer = np.searchsorted(people.cards, random.random(size), side="right")
    # Somebody else, whoever pays.
    payee = (payer + random.integers(1, users, size)) % users
    kind = _KINDS[np.searchsorted([0.55, 0.95], random.random(size), side="right")]
    amount = np.minimum(random.geometric(0.04, size), 500)
    created = moments(slice(0, size), size, anchor, random)
    spent = np.bincount(payer[kind != "reward"], weights=amount[kind != "reward"], minlength=users).astype(np.int64)
    granted = spent + np.minimum(random.lognormal(4.5, 1.0, users), 100_000).astype(np.int64) + 1
    start = moment(anchor - YEAR_S)
    for user, tokens in enumerate(granted.tolist(), 1):
        yield f"{user}\t{NULL}\t{user}\tgrant\t{tokens}\t{start}\n"
    rows = zip(payer.tolist(), payee.tolist(), kind.tolist(), amount.tolist(), created.tolist(), strict=True)
    for number, (giver, taker, why, tokens, when) in enumerate(rows, users + 1):
        gives = NULL if why == "reward" else giver + 1
        takes = NULL if why == "fee" else taker + 1
        yield f"{number}\t{gives}\t{takes}\t{why}\t{tokens}\t{moment(when)}\n"
