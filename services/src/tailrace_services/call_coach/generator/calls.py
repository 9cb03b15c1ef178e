"""When each call takes place, between whom, about what, and how long it is. Pure: arrays in, arrays out.

Calls of an opportunity fall between its opening and its decision, on working days, and their kind follows how far it
has come. Memory: about 80 bytes a call, for all of them at once; what is said is made chunk by chunk in :mod:`.turns`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from tailrace_services.call_coach.generator.population import DAYS, Opportunities, Population
from tailrace_services.call_coach.generator.scale import MINIMUM_TURNS
from tailrace_services.call_coach.model import CALL_TYPES
from tailrace_services.data.wording import zipf_ranks

__all__ = ["NOBODY", "Plan", "plan_calls", "warmth"]

NOBODY = -1
"""In ``Plan.opportunity``: a call about none."""
_DAY_S = 86_400
_WITHOUT_OPPORTUNITY = 0.06
_OTHER_REP = 0.12
"""Share of an opportunity's calls that somebody else than its owner makes."""


@dataclass(frozen=True)
class Plan:
    """All calls in order of time; position ``i`` is call ``i + 1``. ``(calls,) int64`` each if not said otherwise.

    Attributes:
        opportunity: position, or :data:`NOBODY`.
        rep: position.
        product: position in the vocabulary.
        kind: position in ``CALL_TYPES``.
        scheduled: seconds since 1970.
        warmth: ``float64``, 0..1: how well the prospect takes to it by then, see :func:`warmth`.
        turns: how many.
        engineers: 0 or 1 technical colleague of the representative.
        contacts: people of the prospect, 1 or more.
        partners: 0 or 1.
        first_speaker: id of the call's first speaker; they are ordered as the fields above.
        first_turn: id of its first turn.
    """

    opportunity: NDArray[np.int64]
    rep: NDArray[np.int64]
    product: NDArray[np.int64]
    kind: NDArray[np.int64]
    scheduled: NDArray[np.int64]
    warmth: NDArray[np.float64]
    turns: NDArray[np.int64]
    engineers: NDArray[np.int64]
    contacts: NDArray[np.int64]
    partners: NDArray[np.int64]
    first_speaker: NDArray[np.int64]
    first_turn: NDArray[np.int64]

    @property
    def speakers(self) -> NDArray[np.int64]:
        """``(calls,) int64``, people in each call."""
        everybody: NDArray[np.int64] = 1 + self.engineers + self.contacts + self.partners
        return everybody


def plan_calls(people: Population, anchor: datetime) -> Plan:
    """All calls of the 365 days before ``anchor``."""
    random = np.random.default_rng([people.seed, 1])
    size, offers = people.scale.calls, people.opportunities
    about = np.searchsorted(np.cumsum(offers.share)[:-1], random.random(size), side="right")
    about[random.random(size) < _WITHOUT_OPPORTUNITY] = NOBODY
    anybody = random.choice(people.scale.reps, size, p=people.reps.share)
    rep = np.where((about == NOBODY) | (random.random(size) < _OTHER_REP), anybody, offers.owner[about])
    progress = np.where(about == NOBODY, random.random(size), random.beta(1.1, 1.1, size))
    day = np.where(about == NOBODY, progress * DAYS, offers.opened[about] + progress * offers.length[about])
    day = np.where((day < 0) | (day >= DAYS), random.random(size) * DAYS, day)
    scheduled = _working_moments(day, int(anchor.timestamp()), random)
    order = np.argsort(scheduled, kind="stable")
    products = zipf_ranks(random.random(size), len(people.vocabulary.products))
    contacts = np.minimum(random.geometric(0.6, size), np.where(about == NOBODY, 2, offers.contacts[about]))
    engineers = (random.random(size) < 0.25).astype(np.int64)
    partners = (random.random(size) < 0.05).astype(np.int64)
    turns = _turn_counts(people.scale.calls, people.scale.turns, random)
    speakers = 1 + engineers + contacts + partners
    return Plan(
        opportunity=about[order],
        rep=rep[order],
        product=np.where(about == NOBODY, products, offers.product[about])[order],
        kind=_kinds(about, progress, random)[order],
        scheduled=scheduled[order],
        warmth=np.where(about == NOBODY, 0.5, warmth(offers, about, day))[order],
        turns=turns[order],
        engineers=engineers[order],
        contacts=contacts[order],
        partners=partners[order],
        first_speaker=_firsts(speakers[order]),
        first_turn=_firsts(turns[order]),
    )


def warmth(offers: Opportunities, about: NDArray[np.int64], day: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(n,) float64``, 0..1: undecided at first, and the nearer the decision the more like it.

    Args:
        about: positions of opportunities.
        day: days after the beginning of the year, one for each.
    """
    progress = np.clip((day - offers.opened[about]) / offers.length[about], 0.0, 1.0)
    felt: NDArray[np.float64] = 0.5 + (offers.won[about] - 0.5) * (0.3 + 0.7 * progress)
    return felt


def _firsts(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The first id in each group, when ids are given out from 1."""
    ends: NDArray[np.int64] = np.cumsum(counts)
    return ends - counts + 1


def _working_moments(day: NDArray[np.float64], anchor: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Seconds since 1970: weekdays, working hours UTC, on the half hour mostly; never after the anchor."""
    hour = np.clip(random.normal(13.5, 2.6, day.size), 7.0, 19.0).astype(np.int64)
    minute = np.array([0, 30, 0, 15, 45])[zipf_ranks(random.random(day.size), 5)]
    date = (anchor - DAYS * _DAY_S) // _DAY_S + day.astype(np.int64) + 1
    weekday = (date + 3) % 7  # 1970-01-01 was a Thursday
    date = date - np.maximum(weekday - 4, 0)
    moment: NDArray[np.int64] = date * _DAY_S + hour * 3600 + minute * 60
    # The newest calls have to be over before the data set ends.
    moment[moment > anchor - 4 * 3600] -= 7 * _DAY_S
    return moment


def _kinds(about: NDArray[np.int64], progress: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.int64]:
    blurred = np.clip(progress + random.normal(0.0, 0.1, progress.size), 0.0, 1.0)
    ordered = np.array(
        [CALL_TYPES.index(kind) for kind in ("discovery", "demo", "follow_up", "negotiation", "renewal")]
    )
    stage = ordered[np.searchsorted([0.3, 0.55, 0.75, 0.95], blurred, side="right")]
    return np.where(about == NOBODY, CALL_TYPES.index("other"), stage)


def _turn_counts(calls: int, turns: int, random: np.random.Generator) -> NDArray[np.int64]:
    """``(calls,) int64`` that sums to ``turns``: log-normal above the minimum."""
    weight = random.lognormal(0.0, 0.75, calls)
    share = weight / weight.sum() * (turns - calls * MINIMUM_TURNS)
    counts: NDArray[np.int64] = MINIMUM_TURNS + np.floor(share).astype(np.int64)
    missing = turns - int(counts.sum())
    counts[np.argsort(share - np.floor(share), kind="stable")[::-1][:missing]] += 1
    return counts
