"""Who sells what to whom: representatives, opportunities, contacts. Pure: seed in, arrays and rows out.

Opportunities per representative follow a shifted Zipf law (Zipf-Mandelbrot) and calls per opportunity a Pareto law, so
that a few of each are very large and most are small. Every representative has habits and skills of their own, and
learns over the year, so that scores differ and move. Skills go together, because some are better than others in all of
them, and habits follow skills: who engages well waits longer, interrupts less and keeps explanations short; who knows
the product stumbles less.

**Source:** Mandelbrot, "An informational theory of the statistical structure of language", 1953 (the shifted law).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from tailrace_services.call_coach.generator.scale import Scale
from tailrace_services.call_coach.generator.vocabulary import Vocabulary
from tailrace_services.call_coach.model import DIMENSIONS, STAGES
from tailrace_services.data.wording import zipf_ranks

__all__ = ["DAYS", "MOST_CONTACTS", "Opportunities", "Population", "Reps", "populate"]

DAYS = 365
"""Length of the generated time, up to the anchor."""
MOST_CONTACTS = 6
"""Most people of one prospect."""
COMPANY_DOMAIN = "tailrace.example"
_EXPONENT, _SHIFT = 1.1, 3.0
_SCRAMBLE = 2654435761  # Knuth's multiplicative hash: spreads consecutive numbers

RepRow = tuple[int, str, str, str, datetime]
OpportunityRow = tuple[int, str, str, str, str, Decimal, object, int | None, datetime]


@dataclass(frozen=True)
class Reps:
    """Habits and skills, position ``i`` being representative ``i + 1``.

    Attributes:
        share: ``(reps,) float64``, sums to 1: how much of the work each has.
        skill: ``(reps, 4) float64``, 0..1 in each dimension at the beginning of the year.
        growth: ``(reps,) float64``, what a year adds to every skill.
        verbosity: ``(reps,) float64``, 0..1: how long their turns run on.
        filler: ``(reps,) float64``, share of turns that begin with a filler word.
        patience: ``(reps,) float64``, usual seconds before they answer.
        interruptions: ``(reps,) float64``, share of their turns that begin before the other has finished.
        pace: ``(reps,) float64``, words a minute.
    """

    share: NDArray[np.float64]
    skill: NDArray[np.float64]
    growth: NDArray[np.float64]
    verbosity: NDArray[np.float64]
    filler: NDArray[np.float64]
    patience: NDArray[np.float64]
    interruptions: NDArray[np.float64]
    pace: NDArray[np.float64]


@dataclass(frozen=True)
class Opportunities:
    """Position ``i`` is opportunity ``i + 1``.

    Attributes:
        owner: ``(n,) int64``, position of the representative.
        product: ``(n,) int64``, position in the vocabulary.
        share: ``(n,) float64``, sums to 1: share of all calls.
        opened: ``(n,) float64``, days after the beginning of the year; negative if before it.
        length: ``(n,) float64``, days until it is decided.
        contacts: ``(n,) int64``, people on the prospect's side, 1 to :data:`MOST_CONTACTS`.
        account: ``(n, 3) int64``, positions in the vocabulary's three lists of account names.
        amount: ``(n,) float64``.
        won: ``(n,) float64``, how likely it is to be won.
    """

    owner: NDArray[np.int64]
    product: NDArray[np.int64]
    share: NDArray[np.float64]
    opened: NDArray[np.float64]
    length: NDArray[np.float64]
    contacts: NDArray[np.int64]
    account: NDArray[np.int64]
    amount: NDArray[np.float64]
    won: NDArray[np.float64]


@dataclass(frozen=True)
class Population:
    """Everybody, and the words they use."""

    scale: Scale
    seed: int
    vocabulary: Vocabulary
    reps: Reps
    opportunities: Opportunities

    def rep_email(self, rep: int) -> str:
        """Address of the representative at position ``rep``."""
        return f"rep{rep + 1:04d}@{COMPANY_DOMAIN}"

    def rep_name(self, rep: int) -> str:
        """Name of the representative at position ``rep``."""
        return self._person(rep * 17 + 5)

    def account(self, opportunity: int) -> str:
        """Name of the prospect's company."""
        first, second, suffix = self.opportunities.account[opportunity].tolist()
        names = self.vocabulary.accounts
        return f"{names['first'][first]} {names['second'][second]} {names['suffix'][suffix]}"

    def contact(self, opportunity: int, number: int) -> tuple[str, str, str]:
        """Name, address and role of a prospect's person ``number``, counted from 0."""
        code = opportunity * MOST_CONTACTS + number
        name = self._person(code)
        domain = self.account(opportunity).replace(" ", "-").lower()
        roles = self.vocabulary.people["prospect_roles"]
        return name, f"{name.replace(' ', '.').lower()}@{domain}.example", roles[code * 7 % len(roles)]

    def rep_rows(self, start: datetime) -> list[RepRow]:
        """Rows of ``reps``: id, email, name, team, created_at."""
        teams = self.vocabulary.people["teams"]
        return [
            (
                rep + 1,
                self.rep_email(rep),
                self.rep_name(rep),
                teams[rep % len(teams)],
                start - timedelta(days=rep % 900),
            )
            for rep in range(self.scale.reps)
        ]

    def opportunity_rows(self, start: datetime) -> list[OpportunityRow]:
        """Rows of ``opportunities``: id, name, account, owner_email, stage, amount, close_date, health, created_at.

        Args:
            start: the beginning of the year.
        """
        these = self.opportunities
        progress = np.clip((DAYS - these.opened) / these.length, 0.0, 1.0)
        won = np.random.default_rng([self.seed, 3]).random(these.owner.size) < these.won
        closed = np.where(won, STAGES.index("closed_won"), STAGES.index("closed_lost"))
        stages = np.where(progress >= 1.0, closed, (progress * 5).astype(np.int64))
        rows: list[OpportunityRow] = []
        for position in range(these.owner.size):
            opened = start + timedelta(days=float(these.opened[position]))
            account = self.account(position)
            product = self.vocabulary.product_names[these.product[position]]
            health = None if position % 11 == 10 else round(float(these.won[position]) * 100)
            rows.append(
                (
                    *(position + 1, f"{account}: {product}", account, self.rep_email(int(these.owner[position]))),
                    *(
                        STAGES[stages[position]],
                        Decimal(round(float(these.amount[position]), -2)).quantize(Decimal("0.01")),
                    ),
                    *((opened + timedelta(days=float(these.length[position]))).date(), health, opened),
                )
            )
        return rows

    def _person(self, code: int) -> str:
        drawn = code * _SCRAMBLE % 2**32 >> 8
        first, last = self.vocabulary.people["first"], self.vocabulary.people["last"]
        return f"{first[drawn % len(first)]} {last[drawn // len(first) % len(last)]}"


def populate(scale: Scale, seed: int, vocabulary: Vocabulary) -> Population:
    """Everybody of ``scale``."""
    random = np.random.default_rng([seed, 0])
    reps = _reps(scale.reps, random)
    return Population(scale, seed, vocabulary, reps, _opportunities(scale, reps, vocabulary, random))


def _reps(count: int, random: np.random.Generator) -> Reps:
    weight = (np.arange(1, count + 1) + _SHIFT) ** -_EXPONENT
    talent, own = random.beta(2.5, 2.5, (count, 1)), random.beta(2.5, 2.5, (count, 4))
    skill = np.clip(0.5 + 0.9 * (talent - 0.5) + 0.6 * (own - 0.5), 0.02, 0.98)
    knowledge, engagement = skill[:, DIMENSIONS.index("product_knowledge")], skill[:, DIMENSIONS.index("engagement")]
    return Reps(
        share=weight / weight.sum(),
        skill=skill,
        growth=random.normal(0.06, 0.12, count),
        verbosity=np.clip(0.95 - 0.8 * engagement + random.normal(0.0, 0.12, count), 0.0, 1.0),
        filler=random.beta(1.5, 6.0, count) * (1.9 - 1.7 * knowledge),
        patience=random.lognormal(-0.5, 0.25, count) * (0.3 + 1.1 * engagement),
        interruptions=random.beta(3.0, 24.0, count) * (1.9 - 1.8 * engagement),
        pace=random.normal(155.0, 14.0, count),
    )


def _opportunities(scale: Scale, reps: Reps, vocabulary: Vocabulary, random: np.random.Generator) -> Opportunities:
    count = scale.opportunities
    # Everybody has one at least; the others go where the work is.
    owner = np.concatenate((np.arange(scale.reps), random.choice(scale.reps, count - scale.reps, p=reps.share)))
    weight = random.pareto(1.6, count) + 0.3
    weight = np.minimum(weight, weight.sum() * 0.01)
    names = vocabulary.accounts
    skill = reps.skill[owner].mean(axis=1)
    return Opportunities(
        owner=owner,
        product=zipf_ranks(random.random(count), len(vocabulary.products)),
        share=weight / weight.sum(),
        opened=random.uniform(-60.0, DAYS - 5.0, count),
        length=np.clip(random.lognormal(4.2, 0.6, count), 10.0, 400.0),
        contacts=np.minimum(random.geometric(0.45, count), MOST_CONTACTS),
        account=np.stack(
            [random.integers(0, len(names[part]), count) for part in ("first", "second", "suffix")], axis=1
        ),
        amount=random.lognormal(10.6, 1.1, count),
        won=np.clip(0.15 + 0.6 * skill + random.normal(0.0, 0.15, count), 0.02, 0.98),
    )
