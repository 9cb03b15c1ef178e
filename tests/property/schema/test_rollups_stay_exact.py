"""Random writes of every kind: after each, rollups, windows and the live queries agree."""

# ruff: noqa: E501 - statements stay on one line

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import asyncpg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy.dialects import postgresql
from tests.integration.schema.world import BY_DAY, BY_HOUR, LEADS_BY_DAY, declared, drift, make_tables

from tailrace.schema import apply, read

USERS = st.integers(1, 3)
AGENTS = st.sampled_from([1, 2, 3, None])
STATUSES = st.sampled_from(["completed", "failed"])
MINUTES = st.sampled_from([None, 0, "0.25", "1.10", "-2.5"])
SCORES = st.sampled_from([None, 0, 39, 70, 100])
BASE = datetime(2026, 3, 27, 21, tzinfo=UTC)
TIMES = st.builds(
    lambda hours, odd: BASE + timedelta(hours=hours) + odd,
    st.integers(0, 60),
    st.sampled_from([timedelta(0), timedelta(microseconds=-1), timedelta(microseconds=1), timedelta(minutes=17)]),
)
IDS = st.integers(1, 12)
CALLS = st.lists(
    st.tuples(IDS, USERS, AGENTS, STATUSES, MINUTES, TIMES), min_size=1, max_size=6, unique_by=lambda c: c[0]
)
LEADS = st.lists(st.tuples(IDS, IDS, SCORES, TIMES), min_size=1, max_size=6, unique_by=lambda c: c[0])
SOME_IDS = st.lists(IDS, min_size=1, max_size=5, unique=True)
CALL_FIELDS = st.sampled_from(["user_id = 3 - (user_id % 3)", "status = 'failed'", "note = 'x'", "minutes = minutes * 2",
                               "created_at = created_at + interval '7 hours'", "agent_id = NULL", "user_id = user_id"])  # fmt: skip
LEAD_FIELDS = st.sampled_from(
    ["score = 70", "score = NULL", "created_at = created_at - interval '1 day'", "score = score"]
)
CALL_SOURCE = "jsonb_to_recordset($1::text::jsonb) AS r(id int, user_id int, agent_id int, status text, minutes numeric, created_at timestamptz)"
CALL_NAMES = ("id", "user_id", "agent_id", "status", "minutes", "created_at")


def as_json(names: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    return json.dumps([dict(zip(names, row, strict=True)) for row in rows], default=str)


class Writes(RuleBasedStateMachine):
    """One connection that does anything to the tables, in and out of transactions."""

    url: str
    runner: asyncio.Runner
    connection: asyncpg.Connection
    sizes: ClassVar[set[tuple[str, str]]] = set()
    """What was done to how many rows: ``("DELETE", "one")``."""

    def __init__(self) -> None:
        super().__init__()
        self.savepoints: list[int] | None = None

    def run(self, text: str, *arguments: object) -> None:
        done = self.runner.run(self.connection.execute(text, *arguments)).split()
        command, rows = done[0], done[-1]
        if rows.isdigit():
            self.sizes.add((command, {"0": "none", "1": "one"}.get(rows, "many")))

    @asynccontextmanager
    async def nested(self) -> AsyncIterator[None]:
        """A transaction, or a savepoint within the one that is open."""
        begin, end, undo = ("BEGIN", "COMMIT", "ROLLBACK")
        if self.savepoints is not None:
            begin, end, undo = ("SAVEPOINT own", "RELEASE own", "ROLLBACK TO own; RELEASE own")
        await self.connection.execute(begin)
        try:
            yield
        except BaseException:
            await self.connection.execute(undo)
            raise
        await self.connection.execute(end)

    @initialize()
    def begin_anew(self) -> None:
        self.run("TRUNCATE calls, leads, users CASCADE")
        self.run("INSERT INTO users VALUES (1), (2), (3)")
        self.run("INSERT INTO agents SELECT g FROM generate_series(1, 3) g ON CONFLICT DO NOTHING")
        self.insert_calls(
            [(n, n % 3 + 1, n % 4 or None, "completed", n, BASE + timedelta(hours=n)) for n in range(1, 9)]
        )

    def teardown(self) -> None:
        if self.savepoints is not None:
            self.run("ROLLBACK")

    @rule(rows=CALLS)
    def insert_calls(self, rows: list[tuple[object, ...]]) -> None:
        self.run(
            f"INSERT INTO calls (id, user_id, agent_id, status, minutes, created_at) SELECT r.* FROM {CALL_SOURCE} "
            "WHERE r.user_id IN (SELECT id FROM users) AND (r.agent_id IS NULL OR r.agent_id IN (SELECT id FROM agents)) "
            "ON CONFLICT DO NOTHING",
            as_json(CALL_NAMES, rows),
        )

    @rule(call=IDS, user=USERS, agent=AGENTS, status=STATUSES, minutes=MINUTES, at=TIMES)
    def insert_one_call(
        self, call: int, user: int, agent: int | None, status: str, minutes: object, at: datetime
    ) -> None:
        self.insert_calls([(call, user, agent, status, minutes, at)])

    @rule(call=IDS)
    def delete_one_call(self, call: int) -> None:
        self.run("DELETE FROM calls WHERE id = $1", call)

    @rule(rows=CALLS)
    def upsert_calls(self, rows: list[tuple[object, ...]]) -> None:
        self.run(
            f"INSERT INTO calls (id, user_id, agent_id, status, minutes, created_at) SELECT r.* FROM {CALL_SOURCE} "
            "WHERE r.user_id IN (SELECT id FROM users) AND (r.agent_id IS NULL OR r.agent_id IN (SELECT id FROM agents)) "
            "ON CONFLICT (id) DO UPDATE SET user_id = excluded.user_id, status = excluded.status, minutes = excluded.minutes",
            as_json(CALL_NAMES, rows),
        )

    @rule(rows=LEADS)
    def insert_leads(self, rows: list[tuple[object, ...]]) -> None:
        self.run(
            "INSERT INTO leads SELECT r.* FROM jsonb_to_recordset($1::text::jsonb) "
            "AS r(id int, call_id int, score int, created_at timestamptz) WHERE r.call_id IN (SELECT id FROM calls) "
            "ON CONFLICT (id) DO UPDATE SET score = excluded.score, call_id = excluded.call_id",
            as_json(("id", "call_id", "score", "created_at"), rows),
        )

    @rule(first=st.integers(20, 25), user=USERS, at=TIMES)
    def copy_calls(self, first: int, user: int, at: datetime) -> None:
        async def copy() -> None:
            if await self.connection.fetchval("SELECT EXISTS (SELECT FROM calls WHERE id >= $1)", first):
                return
            if not await self.connection.fetchval("SELECT EXISTS (SELECT FROM users WHERE id = $1)", user):
                return
            rows = [(first + n, user, None, "completed", at) for n in range(3)]
            await self.connection.copy_records_to_table(
                "calls", records=rows, columns=["id", "user_id", "agent_id", "status", "created_at"]
            )

        self.runner.run(copy())

    @rule(ids=SOME_IDS, change=CALL_FIELDS)
    def update_calls(self, ids: list[int], change: str) -> None:
        guard = " AND (SELECT count(*) FROM users) = 3"
        self.run(f"UPDATE calls SET {change} WHERE id = ANY($1::int[]){guard}", ids)

    @rule(ids=SOME_IDS, change=LEAD_FIELDS)
    def update_leads(self, ids: list[int], change: str) -> None:
        self.run(f"UPDATE leads SET {change} WHERE id = ANY($1::int[])", ids)

    @rule(ids=SOME_IDS, to=IDS)
    def move_leads(self, ids: list[int], to: int) -> None:
        self.run("UPDATE leads SET call_id = $2 WHERE id = ANY($1::int[]) AND $2 IN (SELECT id FROM calls)", ids, to)

    @rule(ids=SOME_IDS)
    def delete_calls(self, ids: list[int]) -> None:
        self.run("DELETE FROM calls WHERE id = ANY($1::int[])", ids)

    @rule(ids=SOME_IDS)
    def delete_leads(self, ids: list[int]) -> None:
        self.run("DELETE FROM leads WHERE id = ANY($1::int[])", ids)

    @rule(ids=SOME_IDS)
    def delete_leads_and_their_calls_in_one_statement(self, ids: list[int]) -> None:
        self.run(
            "WITH gone AS (DELETE FROM leads WHERE id = ANY($1::int[]) RETURNING call_id) "
            "DELETE FROM calls WHERE id IN (SELECT call_id FROM gone)",
            ids,
        )

    @rule(ids=SOME_IDS, to=IDS)
    def move_leads_and_delete_their_calls_in_one_statement(self, ids: list[int], to: int) -> None:
        self.run(
            "WITH moved AS (UPDATE leads SET call_id = $2 WHERE id = ANY($1::int[]) AND call_id <> $2 "
            "AND $2 IN (SELECT id FROM calls) RETURNING id) "
            "DELETE FROM calls WHERE id = ANY($1::int[]) AND id <> $2 AND (SELECT count(*) FROM moved) >= 0",
            ids,
            to,
        )

    @rule(ids=SOME_IDS)
    def replace_calls_within_a_transaction(self, ids: list[int]) -> None:
        """Deleted and inserted again with other figures, leads too: nothing of the first remains."""

        async def replace() -> None:
            async with self.nested():
                await self.connection.execute(
                    "CREATE TEMP TABLE kept AS SELECT * FROM calls WHERE id = ANY($1::int[])", ids
                )
                await self.connection.execute("DELETE FROM calls WHERE id = ANY($1::int[])", ids)
                await self.connection.execute(
                    "INSERT INTO calls SELECT id, user_id, NULL, 'failed', 9, created_at FROM kept"
                )
                await self.connection.execute(
                    "INSERT INTO leads SELECT id + 100, id, 70, created_at FROM kept ON CONFLICT DO NOTHING"
                )
                await self.connection.execute("DELETE FROM leads WHERE id > 100 AND id % 2 = 0")
                await self.connection.execute("DROP TABLE kept")

        self.runner.run(replace())

    @rule(user=USERS)
    def delete_a_user_with_everything(self, user: int) -> None:
        self.run("DELETE FROM users WHERE id = $1", user)

    @rule()
    def users_return(self) -> None:
        self.run("INSERT INTO users SELECT g FROM generate_series(1, 3) g ON CONFLICT DO NOTHING")

    @rule(agent=st.integers(1, 3))
    def delete_an_agent(self, agent: int) -> None:
        self.run("DELETE FROM agents WHERE id = $1", agent)

    @rule(cascade=st.booleans())
    def truncate(self, cascade: bool) -> None:
        self.run("TRUNCATE calls CASCADE" if cascade else "TRUNCATE leads")

    @rule(ids=SOME_IDS)
    def change_both_in_one_statement_is_refused_or_exact(self, ids: list[int]) -> None:
        async def attempt() -> None:
            try:
                async with self.nested():
                    await self.connection.execute(
                        "WITH moved AS (UPDATE calls SET status = status || '!' WHERE id = ANY($1::int[]) RETURNING id) "
                        "UPDATE leads SET score = 71 WHERE call_id IN (SELECT id FROM moved)",
                        ids,
                    )
            except asyncpg.FeatureNotSupportedError:
                pass

        self.runner.run(attempt())

    @rule(most=st.integers(1, 5))
    def fold(self, most: int) -> None:
        """Where nothing waits to be folded it does nothing; inside a transaction its own differences count."""
        self.run("SELECT tailrace.fold($1)", most)

    @precondition(lambda self: self.savepoints is None)
    @rule()
    def begin(self) -> None:
        self.run("BEGIN")
        self.savepoints = []

    @precondition(lambda self: self.savepoints is not None)
    @rule()
    def savepoint(self) -> None:
        assert self.savepoints is not None
        self.savepoints.append(len(self.savepoints))
        self.run(f"SAVEPOINT s{self.savepoints[-1]}")

    @precondition(lambda self: bool(self.savepoints))
    @rule()
    def roll_back_to_savepoint(self) -> None:
        assert self.savepoints
        self.run(f"ROLLBACK TO SAVEPOINT s{self.savepoints.pop()}")

    @precondition(lambda self: self.savepoints is not None)
    @rule(commit=st.booleans())
    def end(self, commit: bool) -> None:
        self.run("COMMIT" if commit else "ROLLBACK")
        self.savepoints = None

    @invariant()
    def rollups_equal_their_rows(self) -> None:
        assert self.runner.run(drift(self.connection)) == {}

    @rule(start=TIMES, end=TIMES, bounds=st.sampled_from(["[)", "(]", "[]", "()"]), users=st.lists(USERS, min_size=1))
    def windows_equal_their_rows(self, start: datetime, end: datetime, bounds: str, users: list[int]) -> None:
        low, high = (">=" if bounds[0] == "[" else ">"), ("<=" if bounds[1] == "]" else "<")
        inside = f"created_at {low} $1 AND created_at {high} $2"

        async def compare() -> None:
            for levels in ([BY_DAY, BY_HOUR], [BY_DAY], [BY_HOUR]):
                got = await self.fetch(read(levels, start=start, end=end, bounds=bounds, where={"user_id": users}))
                live = await self.connection.fetch(
                    "SELECT count(*), count(*) FILTER (WHERE status = 'completed'), coalesce(sum(minutes), 0), avg(minutes) "
                    f"FROM calls WHERE {inside} AND user_id = ANY($3)",
                    start, end, users,
                )  # fmt: skip
                assert got == [tuple(row) for row in live]
            got = await self.fetch(
                read(
                    [BY_HOUR],
                    start=start,
                    end=end,
                    bounds=bounds,
                    group_by=("agent_id", "date", "hour"),
                    measures=("calls",),
                )
            )
            live = await self.connection.fetch(
                "SELECT agent_id, (created_at AT TIME ZONE 'UTC')::date, extract(hour FROM created_at AT TIME ZONE 'UTC')::int, "
                f"count(*) FROM calls WHERE {inside} GROUP BY 1, 2, 3",
                start, end,
            )  # fmt: skip
            assert sorted(map(repr, got)) == sorted(repr(tuple(row)) for row in live)
            got = await self.fetch(
                read(
                    [LEADS_BY_DAY],
                    start=start,
                    end=end,
                    bounds=bounds,
                    where={"user_id": users[0]},
                    measures=("score", "hot"),
                )
            )
            live = await self.connection.fetch(
                "SELECT coalesce(sum(score), 0), count(*) FILTER (WHERE score >= 70) FROM leads l JOIN calls c ON c.id = call_id "
                f"WHERE {inside.replace('created_at', 'l.created_at')} AND user_id = $3",
                start, end, users[0],
            )  # fmt: skip
            assert got == [tuple(row) for row in live]

        self.runner.run(compare())

    async def fetch(self, reading: object) -> list[tuple[object, ...]]:
        compiled = reading.statement.compile(dialect=postgresql.asyncpg.dialect())
        values = compiled.construct_params(reading.parameters)
        rows = await self.connection.fetch(str(compiled), *(values[name] for name in compiled.positiontup))
        return [tuple(row) for row in rows]


@pytest.fixture(params=["immediate", "deltas"])
def machine(database_url: str, request: pytest.FixtureRequest):
    with asyncio.Runner() as runner:
        runner.run(make_tables(database_url))
        runner.run(apply(database_url, declared(request.param)))
        connection = runner.run(asyncpg.connect(database_url))
        Writes.runner, Writes.connection = runner, connection
        yield Writes
        runner.run(connection.close())


def test_rollups_stay_exact_under_any_sequence_of_writes(machine) -> None:
    """After every statement, committed or not, each rollup and each window read equals the live query."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=15,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
    # One row and several are accounted for by different statements: the random writes must have been through both.
    assert {(command, rows) for command in ("INSERT", "DELETE") for rows in ("one", "many")} <= machine.sizes
