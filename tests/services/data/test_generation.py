"""Generated data of every service: the same again from the same seed, loaded whole or not at all."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from tests.services.conftest import MakeTables
from tests.services.data.samples import Sample, each_service

from tailrace.errors import DatabaseError, DatabaseUnavailableError
from tailrace_services.data.generation import DatasetConflictError
from tailrace_services.data.service import ServiceData

ANCHOR = datetime(2026, 3, 1, 15, tzinfo=UTC)

pytestmark = each_service


@pytest.fixture
def url(make_tables: MakeTables, sample: Sample) -> str:
    """A migrated database without rows."""
    return make_tables(sample.data)


async def test_same_seed_same_rows(url: str, sample: Sample) -> None:
    """The same seed, scale and anchor give identical rows; another seed gives others."""
    digests = []
    for seed in (7, 8, 7):
        await sample.data.generation.generate(url, sample.tiny, seed, ANCHOR, replace=True)
        digests.append(await _digests(url, sample.data))
    assert digests[0] == digests[2]
    assert digests[0][sample.largest] != digests[1][sample.largest]
    assert len(set(digests[0].values()) - {None}) >= 3


async def test_counts_are_recorded(url: str, sample: Sample) -> None:
    """What is recorded of the loaded rows is what is there, and gives back the scale they were made at."""
    loaded = await sample.data.generation.generate(url, sample.tiny, 7, ANCHOR)
    counted = {name: await _value(url, f"SELECT count(*) FROM {table}") for name, table in sample.data.counted.items()}
    assert counted == {name: getattr(loaded, name) for name in loaded.counted()}
    assert sample.data.generation.scale_of(loaded) == sample.tiny
    assert all(f"{count:,} {name}" in str(loaded) for name, count in counted.items())


async def test_keys_and_sequences_are_as_declared_afterwards(url: str, sample: Sample) -> None:
    """Keys taken off for the load are back as they were, and new rows get the next numbers."""
    constraints = (
        "SELECT array_agg(conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) ORDER BY oid::text) "
        "FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND convalidated"
    )
    before = await _value(url, constraints)
    loaded = await sample.data.generation.generate(url, sample.tiny, 7, ANCHOR)
    assert sorted(await _value(url, constraints)) == sorted(before)
    assert await sample.data.migrations.differences(url) == []
    assert await _value(url, sample.one_more) == getattr(loaded, sample.largest) + 1


async def test_loaded_is_known(url: str, sample: Sample) -> None:
    """A second call finds the same data, whatever the hour; other data is refused unless it may replace."""
    generation = sample.data.generation
    assert await generation.loaded(url) is None
    first = await generation.generate(url, sample.tiny, 7, ANCHOR)
    again = await generation.generate(url, sample.tiny, 7)
    assert (first.created, again.created, again.anchor) == (True, False, ANCHOR)
    assert await generation.loaded(url) == again
    hour = timedelta(hours=1)
    for scale, seed, anchor in ((sample.tiny, 8, None), (sample.other, 7, None), (sample.tiny, 7, ANCHOR + hour)):
        with pytest.raises(DatasetConflictError, match="tiny with seed 7"):
            await generation.generate(url, scale, seed, anchor)
    replaced = await generation.generate(url, sample.other, 7, replace=True)
    assert getattr(replaced, sample.largest) == getattr(sample.other, sample.largest)


async def test_rows_of_others_are_not_overwritten(url: str, sample: Sample) -> None:
    """A database with rows that were not generated is left alone."""
    assert not await sample.data.generation.holds_rows(url)
    await _value(url, sample.real_row)
    assert await sample.data.generation.holds_rows(url)
    with pytest.raises(DatasetConflictError, match="not generated"):
        await sample.data.generation.generate(url, sample.tiny)
    assert await sample.data.generation.holds_rows(url)


async def test_two_loaders_at_once(url: str, sample: Sample) -> None:
    """Of two that load the same at once, one loads and the other finds it loaded."""
    results = await asyncio.gather(*(sample.data.generation.generate(url, sample.tiny, 7, ANCHOR) for _ in range(2)))
    assert sorted(result.created for result in results) == [False, True]


@pytest.mark.parametrize("phase", ["rows", "keys", "statistics"])
async def test_an_interrupted_load_leaves_nothing(url: str, sample: Sample, phase: str) -> None:
    """Stopped in any phase, the database is as it was, keys included, and the next load succeeds."""

    reached = sample.largest if phase == "rows" else phase

    def stop(name: str, done: int, total: int) -> None:
        if name == reached and (done or phase != "rows"):
            raise KeyboardInterrupt

    generation = sample.data.generation
    with pytest.raises(KeyboardInterrupt):
        await generation.generate(url, sample.tiny, 7, ANCHOR, stop)
    assert await generation.loaded(url) is None
    assert await sample.data.migrations.differences(url) == []
    assert (await generation.generate(url, sample.tiny, 7, ANCHOR)).created


async def test_a_killed_connection_leaves_nothing(url: str, sample: Sample) -> None:
    """A load whose connection the server cuts says so and leaves the database empty."""
    reached = asyncio.Event()

    def watch(phase: str, done: int, total: int) -> None:
        if phase == "keys":
            reached.set()

    async def cut() -> None:
        await reached.wait()
        await _value(
            url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )

    cutting = asyncio.create_task(cut())
    with pytest.raises(DatabaseUnavailableError):
        await sample.data.generation.generate(url, sample.data.generation.scales["small"], 7, ANCHOR, watch)
    await cutting
    assert not await sample.data.generation.holds_rows(url)


async def test_no_tables_no_server(database_url: str, sample: Sample) -> None:
    """Generating before migrating, or without a server, is one clear line."""
    with pytest.raises(DatabaseError, match="migrate"):
        await sample.data.generation.generate(database_url, sample.tiny)
    with pytest.raises(DatabaseUnavailableError):
        await sample.data.generation.generate("postgresql://nobody@127.0.0.1:1/none", sample.tiny)


async def _digests(url: str, data: ServiceData) -> dict[str, str]:
    row = "md5(string_agg(t::text, '|' ORDER BY t::text))"
    tables = [table.name for table in data.generation.metadata.sorted_tables if table.name != "dataset"]
    return {table: await _value(url, f"SELECT {row} FROM {table} AS t") for table in tables}


async def _value(url: str, statement: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()
