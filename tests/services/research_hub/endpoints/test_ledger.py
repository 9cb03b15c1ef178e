"""What the database itself sees to, whoever writes: movements stay, balances are exact and never below zero."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import asyncpg
import pytest
from sqlalchemy.dialects import postgresql
from tests.services.commands import run
from tests.services.research_hub.endpoints.conftest import NOW, Service, StartService

from tailrace.core.cursor import Position
from tailrace.db.keyset import page_statement
from tailrace.schema import apply
from tailrace_services.research_hub.commands import app
from tailrace_services.research_hub.optimised import objects
from tailrace_services.research_hub.tokens.entries import HISTORY, HISTORY_OF_TYPE, PAGES
from tailrace_services.research_hub.tokens.reconciliation import reconcile

GIVE = "INSERT INTO token_ledger (from_user_id, to_user_id, type, amount) VALUES ($1, $2, 'transfer', $3)"
KEPT = "SELECT user_id, balance FROM token_balances ORDER BY user_id"


async def test_movements_stay(service: Service) -> None:
    """Nobody changes, removes or empties them, not even where triggers are switched off as replication does."""
    connection = await asyncpg.connect(service.database_url)
    try:
        for role in ("origin", "replica"):
            await connection.execute(f"SET session_replication_role = {role}")
            for statement in (
                "UPDATE token_ledger SET amount = amount + 1 WHERE id = 1",
                "UPDATE token_ledger SET amount = 1 WHERE false",
                "DELETE FROM token_ledger",
                "TRUNCATE token_ledger",
                "MERGE INTO token_ledger l USING (VALUES (1)) v(id) ON l.id = v.id WHEN MATCHED THEN DELETE",
                "INSERT INTO token_ledger (id, to_user_id, type, amount) OVERRIDING SYSTEM VALUE "
                "VALUES (1, 1, 'grant', 1) ON CONFLICT (id) DO UPDATE SET amount = 1",
            ):
                with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError, match="append-only"):
                    await connection.execute(statement)
        await connection.execute("SET session_replication_role = origin")
        with pytest.raises(asyncpg.RestrictViolationError):
            await connection.execute("DELETE FROM users WHERE id = 1")
        await connection.execute("TRUNCATE users CASCADE")  # the whole of the data may be replaced
        assert await connection.fetchval("SELECT count(*) FROM token_ledger") == 0
    finally:
        await connection.close()


@pytest.mark.parametrize(
    "values", ["(1, 1, 'fee', 1)", "(NULL, NULL, 'fee', 1)", "(1, 2, 'fee', 0)", "(1, 2, 'fee', -1)"]
)
async def test_movements_make_sense(service: Service, values: str) -> None:
    """From somebody to somebody else, and more than nothing."""
    with pytest.raises(asyncpg.CheckViolationError):
        await service.sql(f"INSERT INTO token_ledger (from_user_id, to_user_id, type, amount) VALUES {values}")


async def test_balances_follow_any_write(optimised: Service) -> None:
    """Several movements in one statement, by plain SQL: each user's are added up; below zero is refused whole."""
    before = dict(await optimised.sql(KEPT))
    rows = "VALUES (2, 3, 'transfer', 1), (3, 2, 'transfer', 4), (NULL, 4, 'reward', 7), (2, NULL, 'fee', 2)"
    await optimised.sql(f"INSERT INTO token_ledger (from_user_id, to_user_id, type, amount) {rows}")
    after = dict(await optimised.sql(KEPT))
    assert {user: after[user] - before[user] for user in (2, 3, 4)} == {2: 1, 3: -3, 4: 7}
    with pytest.raises(asyncpg.CheckViolationError, match="token_balances_balance_check"):
        await optimised.sql(GIVE, 2, 3, after[2] + 1)
    assert dict(await optimised.sql(KEPT)) == after


async def test_a_new_user_gets_a_row(optimised: Service) -> None:
    """Whoever is there for the first time, and several writers at once, are counted once each."""
    (made,) = await optimised.sql("INSERT INTO users (email, username) VALUES ('new@x', 'new') RETURNING id")
    await asyncio.gather(*(optimised.sql(GIVE, giver, made[0], 1) for giver in (1, 2, 3, 4, 1, 2, 3, 4)))
    assert dict(await optimised.sql(KEPT))[made[0]] == 8
    assert (await reconcile(optimised.database_url)).agrees


async def test_balances_are_filled_while_tokens_move(start_service: StartService) -> None:
    """Made on a database that is written to, they are right from the beginning."""
    async with start_service("baseline") as slow:
        stop = asyncio.Event()

        async def move(giver: int, taker: int) -> int:
            times = 0
            while not stop.is_set() or times < 3:
                await slow.sql(GIVE, giver, taker, 1)
                await slow.sql(GIVE, taker, giver, 1)
                times += 1
            return times

        moving = [asyncio.create_task(move(giver, giver + 1)) for giver in (1, 3, 5)]
        await apply(slow.database_url, objects())
        stop.set()
        assert min(await asyncio.gather(*moving)) >= 3
        found = await reconcile(slow.database_url)
        assert found.agrees, found
        assert found.kept


async def test_reconciliation_finds_what_is_wrong(optimised: Service) -> None:
    """A kept balance that is not the ledger's is named; all entries together are what was made less what was taken."""
    found = await reconcile(optimised.database_url)
    assert found.agrees
    assert found.made - found.taken == found.held > 0
    await optimised.sql("UPDATE token_balances SET balance = balance + 3 WHERE user_id = 2")
    await optimised.sql("DELETE FROM token_balances WHERE user_id = 3")
    found = await reconcile(optimised.database_url)
    assert not found.agrees
    assert {each.user_id for each in found.differing} == {2, 3}
    two = next(each for each in found.differing if each.user_id == 2)
    assert two.kept == two.ledger + 3


async def test_the_command_says_what_differs(optimised: Service) -> None:
    """Exit code 0 while all adds up, 3 with the users named when it does not."""
    arguments = ["reconcile", "--database-url", optimised.database_url]
    done = await run(app, *arguments)
    assert done.exit_code == 0, done.output
    assert "as it should be" in done.stdout
    await optimised.sql("UPDATE token_balances SET balance = balance + 3 WHERE user_id = 2")
    done = await run(app, *arguments, "--format", "json")
    assert done.exit_code == 3
    (row,) = json.loads(done.stdout)
    assert [each["user_id"] for each in row["differing"]] == [2]


@pytest.mark.parametrize("statement", [HISTORY, HISTORY_OF_TYPE])
@pytest.mark.parametrize("position", [Position(()), Position((NOW, 400)), Position((NOW, 1), backward=True)])
async def test_histories_walk_along_both_indexes(optimised: Service, statement: Any, position: Position) -> None:
    """A page reads as many rows as it has, from either side, in their order, however long the history is."""
    asked = page_statement(statement.params(user_id=2, type="transfer"), PAGES.orders["-created_at"], position, 21)
    text = asked.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True}).string  # type: ignore[no-untyped-call, attr-defined]
    connection = await asyncpg.connect(optimised.database_url)
    try:
        await connection.execute("SET enable_seqscan = off; SET enable_sort = off")  # as for tables of any size
        plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {text}"))
    finally:
        await connection.close()
    assert "Merge Append" in plan, plan
    assert "token_ledger_from" in plan
    assert "token_ledger_to" in plan
    assert "Sort" not in plan.replace("Sort Key", "")
