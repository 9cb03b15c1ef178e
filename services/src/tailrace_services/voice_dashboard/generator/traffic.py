"""The calls and leads of a year, in order of time, a chunk at a time. Pure: seed in, arrays out.

Each chunk is a run of whole hours. Calls keep a daily and a weekly rhythm; every call has its own microsecond. A lead
is written when its call has ended and been analysed, so it may fall into a later chunk, and one that would come after
the anchor does not exist yet.

Deterministic for one version of numpy: its ``Generator`` streams may change between releases.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from tailrace_services.voice_dashboard.generator.population import Population
from tailrace_services.voice_dashboard.model import CALL_STATUSES

__all__ = ["CREDITS_PER_MINUTE", "DAYS", "Calls", "Leads", "traffic"]

DAYS = 365
CREDITS_PER_MINUTE = 10
"""Of completed calls; others cost nothing."""

_CHUNK = 131_072
"""Calls in a chunk, about: 25 MB of arrays."""
_HOUR_US = 3_600_000_000
_FRESH_US = 15 * 60 * 1_000_000
"""Calls younger than this may still be going on."""
_COMPLETED, _FAILED, _NO_ANSWER, _BUSY, _IN_PROGRESS = (
    CALL_STATUSES.index(status) for status in ("completed", "failed", "no_answer", "busy", "in_progress")
)
_LEAD_SHARE = 0.6
_LONGEST = 120_000
"""Longest call, 1/1000 minutes."""


@dataclass(frozen=True, slots=True)
class Calls:
    """Some calls, ascending in id and time: ``(n,) int64`` each; see :func:`.binary_copy.call_rows` for units."""

    ids: NDArray[np.int64]
    user_ids: NDArray[np.int64]
    agent_ids: NDArray[np.int64]
    created_at: NDArray[np.int64]
    thousandths: NDArray[np.int64]
    cents: NDArray[np.int64]
    status: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Leads:
    """Some leads, ascending in id and time: ``(n,) int64`` each."""

    ids: NDArray[np.int64]
    call_ids: NDArray[np.int64]
    created_at: NDArray[np.int64]
    scores: NDArray[np.int64]


def traffic(population: Population, anchor: datetime) -> Iterator[tuple[Calls, Leads]]:
    """Everything in ``(anchor - 365 days, anchor)``, in chunks. Memory: 2 bytes a call and a few chunks."""
    anchor_us = round(anchor.timestamp() * 1_000_000)
    random = np.random.default_rng([population.seed, 1])
    order = np.repeat(np.arange(population.scale.users, dtype=np.int16), population.calls)
    random.shuffle(order)
    hourly = _calls_per_hour(population.scale.calls, anchor_us, random)
    pending = np.empty((3, 0), np.int64)
    next_call = next_lead = 1
    start_us = anchor_us - DAYS * 24 * _HOUR_US
    for number, (first, last) in enumerate(_chunks(hourly)):
        random = np.random.default_rng([population.seed, 2, number])
        moments = _moments(hourly[first:last], start_us + first * _HOUR_US, random)
        owners = order[next_call - 1 : next_call - 1 + moments.size]
        calls, agents = _calls(population, owners, moments, next_call, anchor_us, random)
        pending = np.concatenate((pending, _analysed(population, calls, agents, random)), axis=1)
        end_us = start_us + last * _HOUR_US
        due = pending[:, pending[0] < end_us]
        pending = pending[:, pending[0] >= end_us]
        due = due[:, np.lexsort((due[1], due[0]))]
        yield calls, Leads(np.arange(next_lead, next_lead + due.shape[1]), due[1], due[0], due[2])
        next_call += moments.size
        next_lead += due.shape[1]


def _calls_per_hour(total: int, anchor_us: int, random: np.random.Generator) -> NDArray[np.int64]:
    """``(8760,) int64``: calls in each hour that ends at the anchor; busy afternoons UTC, quiet nights and weekends."""
    hours = np.arange(DAYS * 24)
    moment = anchor_us // _HOUR_US - DAYS * 24 + hours  # hours since 1970-01-01, a Thursday
    daily = 0.08 + np.exp(-0.5 * ((moment % 24 - 14.0) / 4.0) ** 2)
    weekly = np.where((moment // 24 + 3) % 7 < 5, 1.0, 0.35)
    weight = daily * weekly
    return random.multinomial(total, weight / weight.sum())


def _chunks(hourly: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    ends = np.cumsum(hourly)
    bounds = np.flatnonzero(np.diff(ends // _CHUNK)) + 1
    first = 0
    for last in [*bounds.tolist(), hourly.size]:
        yield first, last
        first = last


def _moments(counts: NDArray[np.int64], start_us: int, random: np.random.Generator) -> NDArray[np.int64]:
    """``(counts.sum(),) int64`` strictly ascending microseconds; each hour holds as many as ``counts`` says."""
    hour = np.repeat(np.arange(counts.size), counts)
    within = np.arange(hour.size) - np.repeat(np.cumsum(counts) - counts, counts)
    # Sorted draws that leave room for the rank added to them: distinct, and never past the end of the hour.
    offset = (random.random(hour.size) * (_HOUR_US - counts[hour])).astype(np.int64)
    offset = offset[np.lexsort((offset, hour))]
    return start_us + hour * _HOUR_US + offset + within


def _calls(
    population: Population,
    owners: NDArray[np.int16],
    moments: NDArray[np.int64],
    first_id: int,
    anchor_us: int,
    random: np.random.Generator,
) -> tuple[Calls, NDArray[np.int64]]:
    size = moments.size
    drawn = owners + random.random(size) * (1 - 1e-9)
    agents = np.searchsorted(population.cumulative_share, drawn, side="right")
    skill = population.agent_skill[agents]
    hour = moments // _HOUR_US % 24
    completes = 0.5 + 0.35 * skill + 0.08 * np.cos((hour - 13.0) / 12.0 * np.pi)
    lost = np.array([_FAILED, _NO_ANSWER, _BUSY])[np.searchsorted([0.28, 0.78], random.random(size))]
    status = np.where(random.random(size) < completes, _COMPLETED, lost)
    # The newest are partly still going on; now and then the end of a call is never reported.
    status[random.random(size) < np.where(moments > anchor_us - _FRESH_US, 0.5, 0.0005)] = _IN_PROGRESS
    talk = np.clip(np.exp(random.normal(0.75, 0.9, size)) * 1000, 50, _LONGEST).astype(np.int64)
    cut = (random.random(size) * 600).astype(np.int64)
    thousandths = np.select([status == _COMPLETED, status == _FAILED], [talk, cut], 0)
    cents = np.where(status == _COMPLETED, thousandths * CREDITS_PER_MINUTE // 10, 0)
    ids = np.arange(first_id, first_id + size)
    calls = Calls(ids, owners.astype(np.int64) + 1, agents + 1, moments, thousandths, cents, status)
    return calls, agents


def _analysed(
    population: Population, calls: Calls, agents: NDArray[np.int64], random: np.random.Generator
) -> NDArray[np.int64]:
    """``(3, n) int64``: moment, call id and score of the leads that come out of ``calls``."""
    chosen = np.flatnonzero((random.random(calls.ids.size) < _LEAD_SHARE) & (calls.status == _COMPLETED))
    mean = 35.0 + 35.0 * population.agent_skill[agents[chosen]]
    scores = np.clip(np.round(random.normal(mean, 22.0)), 0, 100).astype(np.int64)
    delay = (random.uniform(2.0, 20.0, chosen.size) * 1_000_000).astype(np.int64)
    moment = calls.created_at[chosen] + calls.thousandths[chosen] * 60_000 + delay
    return np.stack((moment, calls.ids[chosen], scores))
