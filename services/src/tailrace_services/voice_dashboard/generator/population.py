"""Who calls how much: users, their agents and their shares of the traffic. Pure: seed in, arrays out.

Calls per user follow a shifted Zipf law (Zipf-Mandelbrot), so that a few customers are large and most are small. User
1 stands outside it with exactly 5 % of all calls and 50 agents; nobody else has more than 4 %. Within a user, agents
follow a Zipf law too; drafts take no calls.

**Source:** Mandelbrot, "An informational theory of the statistical structure of language", 1953 (the shifted law).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tailrace_services.identity.keys import hash_api_key
from tailrace_services.voice_dashboard.generator.scale import LARGEST_AGENTS, LARGEST_SHARE_PERCENT, Scale
from tailrace_services.voice_dashboard.keys import api_key

__all__ = ["Population", "populate"]

_EXPONENT, _SHIFT = 1.3, 8.0
_MOST_OF_OTHERS = 0.04
_AGENT_TYPES = ("sales", "support", "appointments", "survey", "collections", "onboarding")
_AGENT_NAMES = ("Ada", "Basil", "Clara", "Dorian", "Elsa", "Felix", "Greta", "Hugo", "Iris", "Jonas")
_ACTIVE, _PAUSED, _DRAFT = 0, 1, 2
_STATUSES = ("active", "paused", "draft")

UserRow = tuple[int, str, str, Decimal, bool, datetime]
AgentRow = tuple[int, int, str, str, str, str, str, bool, datetime]


@dataclass(frozen=True)
class Population:
    """Everybody, as arrays. Position ``i`` is user ``i + 1`` or agent ``i + 1``; agents are ordered by user.

    Attributes:
        calls: ``(users,) int64``, calls of each user over the whole period.
        agents: ``(users,) int64``, agents of each user.
        agent_user: ``(agents,) int64``, position of each agent's user.
        agent_share: ``(agents,) float64``, share of its user's calls; each user's sum to 1.
        agent_skill: ``(agents,) float64``, 0..1: how often calls complete and leads are hot.
        agent_status: ``(agents,) int64``, position in active, paused, draft.
        agent_deleted: ``(agents,) bool``.
        balance_factor: ``(users,) float64``, balance as a multiple of a month's use.
        age: ``(users,) float64``, days from a user's sign-up to the first call of the data set.
    """

    scale: Scale
    seed: int
    calls: NDArray[np.int64]
    agents: NDArray[np.int64]
    agent_user: NDArray[np.int64]
    agent_share: NDArray[np.float64]
    agent_skill: NDArray[np.float64]
    agent_status: NDArray[np.int64]
    agent_deleted: NDArray[np.bool_]
    balance_factor: NDArray[np.float64]
    age: NDArray[np.float64]

    @cached_property
    def cumulative_share(self) -> NDArray[np.float64]:
        """``(agents,) float64`` ascending: searching it for ``user position + u``, ``0 <= u < 1``, finds an agent."""
        within = np.cumsum(self.agent_share)
        last = np.cumsum(self.agents) - 1
        before = np.concatenate(([0.0], within[last[:-1]]))[self.agent_user]
        shares = self.agent_user.astype(np.float64) + np.minimum(within - before, 1.0)
        # Rounding must leave no gap before the next user: whatever is drawn belongs to an agent of this one.
        shares[last] = self.agent_user[last] + 1.0
        return shares

    def user_rows(self, start: datetime, monthly_credits: float) -> list[UserRow]:
        """Rows of ``users``. ``monthly_credits`` is what one call in a year's traffic costs in a month, on average."""
        rows = []
        for position in range(self.scale.users):
            user_id = position + 1
            balance = round(float(self.calls[position] * monthly_credits * self.balance_factor[position]), 2)
            rows.append(
                (
                    user_id,
                    f"user{user_id:04d}@example.com",
                    hash_api_key(api_key(self.seed, user_id)),
                    Decimal(f"{balance:.2f}"),
                    True,
                    start - timedelta(minutes=int(self.age[position] * 1440)),
                )
            )
        return rows

    def agent_rows(self, start: datetime) -> list[AgentRow]:
        """Rows of ``agents``, without the provider's configuration: nobody has fetched one yet."""
        rows = []
        for position, owner in enumerate(self.agent_user.tolist()):
            agent_id = position + 1
            kind = _AGENT_TYPES[agent_id * 7 % len(_AGENT_TYPES)]
            name = f"{_AGENT_NAMES[agent_id % len(_AGENT_NAMES)]} ({kind})"
            token = hashlib.sha256(f"voice-dashboard agent {self.seed}:{agent_id}".encode()).hexdigest()[:28]
            age = timedelta(minutes=int(self.age[owner] * 1440 * (1.0 - (agent_id % 10) / 20)))
            status = _STATUSES[self.agent_status[position]]
            description = f"Handles {kind} calls"
            active = not self.agent_deleted[position]
            rows.append(
                (agent_id, owner + 1, f"agent_{token}", name, kind, status, description, bool(active), start - age)
            )
        return rows


def populate(scale: Scale, seed: int) -> Population:
    """Everybody of ``scale``."""
    random = np.random.default_rng([seed, 0])
    calls = _calls_per_user(scale, random)
    share = calls / scale.calls * (100 / LARGEST_SHARE_PERCENT)
    agents = np.clip(np.round(LARGEST_AGENTS * share**0.6), 1, LARGEST_AGENTS).astype(np.int64)
    agents[0] = LARGEST_AGENTS
    agent_user = np.repeat(np.arange(scale.users), agents)
    rank = np.arange(agent_user.size) - np.repeat(np.cumsum(agents) - agents, agents)
    status = random.choice(3, size=agent_user.size, p=[0.82, 0.10, 0.08])
    status[rank == 0] = _ACTIVE
    weight = np.where(status == _DRAFT, 0.0, 1.0 / (rank + 2.0) ** 0.8)
    total = np.bincount(agent_user, weights=weight)
    deleted = (random.random(agent_user.size) < 0.02) & (rank > 0) & (agent_user > 0)
    return Population(
        scale=scale,
        seed=seed,
        calls=calls,
        agents=agents,
        agent_user=agent_user,
        agent_share=weight / total[agent_user],
        agent_skill=random.beta(4.0, 3.0, size=agent_user.size),
        agent_status=status,
        agent_deleted=deleted,
        balance_factor=random.uniform(0.5, 3.0, size=scale.users),
        age=random.uniform(1.0, 700.0, size=scale.users),
    )


def _calls_per_user(scale: Scale, random: np.random.Generator) -> NDArray[np.int64]:
    """``(users,) int64`` that sums to ``scale.calls``; user 1 has exactly its share and nobody has more."""
    largest = scale.calls * LARGEST_SHARE_PERCENT // 100
    weights = (np.arange(2, scale.users + 1) + _SHIFT) ** -_EXPONENT
    weights /= weights.sum()
    cap = _MOST_OF_OTHERS / (1 - LARGEST_SHARE_PERCENT / 100)
    for _ in range(100):  # what is cut from the top goes to the rest in proportion, until nothing sticks out
        over = weights > cap
        if not over.any():
            break
        spare = 1.0 - cap * over.sum()
        weights = np.where(over, cap, weights * spare / weights[~over].sum())
    shares = weights / weights.sum() * (scale.calls - largest)
    counts = np.floor(shares).astype(np.int64)
    missing = int(scale.calls - largest - counts.sum())
    counts[np.argsort(shares - counts, kind="stable")[::-1][:missing]] += 1
    return np.concatenate(([largest], counts))
