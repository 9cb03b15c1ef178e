"""Write generated rows by COPY. Touches: the connection handed in.

The next rows are made up on a thread while the server takes in the last. Memory: two chunks
of text, whatever the scale.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from tailrace.timeseries import make_room
from tailrace_services.data.generation import GeneratedDataset, Generation
from tailrace_services.data.loading import Connection, Progress, copy_rows, hand_over
from tailrace_services.identity.keys import hash_api_key
from tailrace_services.trading_desk.generator.items import AUDIT_COLUMNS, ITEM_COLUMNS, YEAR_S, Making, item_lines
from tailrace_services.trading_desk.generator.scale import SCALES, Scale
from tailrace_services.trading_desk.generator.signals import SIGNAL_COLUMNS, SIGNAL_DAYS, make_market, signal_lines
from tailrace_services.trading_desk.generator.vocabulary import Vocabulary, load_vocabulary, make_texts
from tailrace_services.trading_desk.keys import api_key
from tailrace_services.trading_desk.model import Base
from tailrace_services.trading_desk.signal_series import SIGNALS

__all__ = ["GENERATION", "TradingDeskDataset"]

_CHUNK = 10_000
"""Items made up at a time: about 10 MB of text with their log."""
_SIGNAL_CHUNK = 100_000
"""Signals made up at a time: about 9 MB of text."""
_SCRAMBLE = 2654435761  # Knuth's multiplicative hash: spreads consecutive numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class TradingDeskDataset(GeneratedDataset):
    """What is loaded."""

    traders: int
    items: int
    audit_entries: int
    signals: int


async def fill(
    connection: Connection, scale: Scale, seed: int, anchor: datetime, progress: Progress
) -> TradingDeskDataset:
    """Write all rows."""
    vocabulary = load_vocabulary()
    texts = make_texts(vocabulary, np.random.default_rng([seed, 0]))
    await connection.copy_records_to_table(
        "traders",
        records=_traders(scale, seed, vocabulary, anchor - timedelta(seconds=YEAR_S)),
        columns=("id", "name", "email", "api_key_hash", "created_at"),
    )
    making = Making(scale, seed, int(anchor.timestamp()), vocabulary, texts)
    entries = await _copy_items(connection, making, progress)
    await _copy_signals(connection, making, progress)
    return TradingDeskDataset(
        scale=scale.name,
        seed=seed,
        anchor=anchor,
        traders=scale.traders,
        items=scale.items,
        audit_entries=entries,
        signals=scale.signals,
        created=True,
    )


def _traders(
    scale: Scale, seed: int, vocabulary: Vocabulary, start: datetime
) -> Iterator[tuple[int, str, str, str, datetime]]:
    first, last = vocabulary.people["first"], vocabulary.people["last"]
    for trader in range(1, scale.traders + 1):
        drawn = trader * _SCRAMBLE % 2**32 >> 8
        name = f"{first[drawn % len(first)]} {last[drawn // len(first) % len(last)]}"
        email = f"{name.lower().replace(' ', '.')}{trader}@desk.example"
        yield trader, name, email, hash_api_key(api_key(seed, trader)), start


async def _copy_items(connection: Connection, making: Making, progress: Progress) -> int:
    """COPY items and their log, chunk by chunk, and return the number of the log's entries."""
    total, written = making.scale.items, 0
    progress("items", 0, total)

    def chunks() -> Iterator[tuple[int, list[str], list[str]]]:
        made = 0
        for start in range(0, total, _CHUNK):
            run = slice(start, min(start + _CHUNK, total))
            items, entries = item_lines(making, run, made + 1)
            made += len(entries)
            yield run.stop, items, entries

    async def take(chunk: tuple[int, list[str], list[str]]) -> None:
        nonlocal written
        done, items, entries = chunk
        await copy_rows(connection, "items", ITEM_COLUMNS, "".join(items).encode(), form="text")
        await copy_rows(connection, "audit_log", AUDIT_COLUMNS, "".join(entries).encode(), form="text")
        written += len(entries)
        progress("items", done, total)

    await hand_over(chunks(), take)
    return written


async def _copy_signals(connection: Connection, making: Making, progress: Progress) -> None:
    market, total = make_market(making.vocabulary, making.seed, making.anchor), making.scale.signals
    # A table that is a series by now has partitions, which cannot be frozen.
    ordinary = await connection.fetchval("SELECT to_regnamespace('tailrace') IS NULL")
    end = datetime.fromtimestamp(making.anchor, UTC)
    await make_room(connection, SIGNALS, end - timedelta(days=SIGNAL_DAYS), end)
    progress("signals", 0, total)

    def chunks() -> Iterator[tuple[int, bytes]]:
        for start in range(0, total, _SIGNAL_CHUNK):
            run = slice(start, min(start + _SIGNAL_CHUNK, total))
            yield run.stop, "".join(signal_lines(market, making.seed, total, run)).encode()

    async def take(chunk: tuple[int, bytes]) -> None:
        done, lines = chunk
        await copy_rows(connection, "signals", SIGNAL_COLUMNS, lines, form="text", freeze=ordinary)
        progress("signals", done, total)

    await hand_over(chunks(), take)


GENERATION = Generation("trading_desk", Base.metadata, SCALES, TradingDeskDataset, fill)
