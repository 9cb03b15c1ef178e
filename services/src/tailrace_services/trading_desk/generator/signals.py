"""Signals: quotes and advice of a month, made up in runs of any size. Pure.

Signals are numbered in the order of time. How many come in a minute goes by a heavy-tailed law, so that there are
bursts, and markets rest at weekends. A few assets and channels have most of them; most are quotes. Prices walk.

**Source:** Zipf, "Human Behavior and the Principle of Least Effort", 1949; Cont, "Empirical properties of asset
returns: stylized facts and statistical issues", 2001 (activity comes in clusters, with heavy tails).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tailrace_services.data.copy_text import NULL, moment
from tailrace_services.data.wording import zipf_ranks
from tailrace_services.trading_desk.generator.vocabulary import Vocabulary
from tailrace_services.trading_desk.model import SIGNAL_TYPES

__all__ = ["SIGNAL_COLUMNS", "SIGNAL_DAYS", "Market", "make_market", "signal_lines"]

SIGNAL_DAYS = 30
"""Days of signals, up to the anchor."""
SIGNAL_COLUMNS = (
    *("id", "time", "asset", "signal_type", "channel", "price", "bid", "ask", "stop_loss", "take_profit"),
    "raw_message",
)

_MINUTES = SIGNAL_DAYS * 24 * 60
_TAIL = 1.3
"""Exponent of the law by which minutes are busy: the smaller, the heavier its tail."""
_WEEKEND = 0.02
"""Share of a weekend's minutes in a weekday's."""
_STEP = 0.0004
"""Typical step of a price in a minute, as a share of it."""
_TYPE_SHARES = np.cumsum([0.88, 0.05, 0.05, 0.02])
_FRIDAY_LAST = 5


@dataclass(frozen=True, slots=True)
class Market:
    """What all signals are drawn from.

    Attributes:
        start: the first minute, seconds since 1970.
        busy: by minute, the share of all signals that have come when it begins, and 1 at the end; rising.
        prices: of each asset by minute, in its smallest steps.
        assets, decimals: their names, and the digits of their prices after the point.
        channels: where signals come from.
    """

    start: int
    busy: NDArray[np.float64]
    prices: NDArray[np.int64]
    assets: Sequence[str]
    decimals: Sequence[int]
    channels: Sequence[str]


def make_market(vocabulary: Vocabulary, seed: int, anchor: int) -> Market:
    """The market of a month that ends at ``anchor``, seconds since 1970."""
    random = np.random.default_rng([seed, 2])
    start = anchor - _MINUTES * 60
    # 1970-01-01 was a Thursday; 0 is a Monday.
    weekday = ((start + np.arange(_MINUTES) * 60) // 86_400 + 3) % 7
    weight = (1.0 + random.pareto(_TAIL, _MINUTES)) * np.where(weekday >= _FRIDAY_LAST, _WEEKEND, 1.0)
    busy = np.concatenate(([0.0], np.cumsum(weight)))
    quoted = [vocabulary.prices[asset] for asset in vocabulary.words["asset"]]
    decimals = [len(price.partition(".")[2]) for price in quoted]
    first = np.array([float(price) * 10**digits for price, digits in zip(quoted, decimals, strict=True)])
    walk = np.cumsum(random.normal(0.0, _STEP, (len(quoted), _MINUTES)), axis=1)
    prices = np.maximum((first[:, np.newaxis] * np.exp(walk)).astype(np.int64), 100)
    return Market(start, busy / busy[-1], prices, vocabulary.words["asset"], decimals, vocabulary.words["channel"])


def signal_lines(market: Market, seed: int, total: int, run: slice) -> list[str]:
    """Lines of ``signals`` in :data:`SIGNAL_COLUMNS`.

    Args:
        total: how many signals there are in all.
        run: the positions of those wanted, from 0; whatever runs they are made in, times rise with positions.
    """
    random = np.random.default_rng([seed, 3, run.start])
    size = run.stop - run.start
    place = (np.arange(run.start, run.stop) + random.random(size)) / total
    minutes = np.interp(place, market.busy, np.arange(_MINUTES + 1))
    micros = (minutes * 60_000_000).astype(np.int64)
    asset = zipf_ranks(random.random(size), len(market.assets))
    middle = market.prices[asset, np.minimum(minutes.astype(np.int64), _MINUTES - 1)] + random.integers(-3, 4, size)
    fields = (
        market.start + micros // 1_000_000,
        micros % 1_000_000,
        asset,
        np.minimum(np.searchsorted(_TYPE_SHARES, random.random(size)), len(SIGNAL_TYPES) - 1),
        zipf_ranks(random.random(size), len(market.channels)),
        middle,
        1 + random.geometric(0.3, size),
        middle // 200 + random.integers(1, 20, size),
    )
    rows = zip(*(field.tolist() for field in fields), strict=True)
    return [_line(market, number, *row) for number, row in enumerate(rows, run.start + 1)]


def _line(
    market: Market,
    number: int,
    second: int,
    micro: int,
    asset: int,
    kind: int,
    channel: int,
    price: int,
    half_spread: int,
    risk: int,
) -> str:
    name, digits, said = market.assets[asset], market.decimals[asset], SIGNAL_TYPES[kind]
    scale = 10.0**digits

    def quoted(steps: int) -> str:
        return f"{steps / scale:.{digits}f}"

    bid = ask = stop = target = message = NULL
    if said == "quote":
        bid, ask = quoted(price - half_spread), quoted(price + half_spread)
    elif said == "close":
        message = f"CLOSE {name} @ {quoted(price)}"
    else:
        away = risk if said == "buy" else -risk
        stop, target = quoted(price - away), quoted(price + 2 * away)
        message = f"{said.upper()} {name} @ {quoted(price)} SL {stop} TP {target}"
    at = moment(second)
    return (
        f"{number}\t{at[:19]}.{micro:06}{at[19:]}\t{name}\t{said}\t{market.channels[channel]}\t{quoted(price)}\t"
        f"{bid}\t{ask}\t{stop}\t{target}\t{message}\n"
    )
