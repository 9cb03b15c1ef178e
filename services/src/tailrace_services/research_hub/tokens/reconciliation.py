"""Whether the tokens add up: the ledger in itself, and what is kept of it. Touches: the database, reading.

What everybody has together is what was made less what was taken; nobody has less than nothing; and where balances are
kept, each is what the ledger says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tailrace_services.data.connection import open_connection

__all__ = ["Difference", "Reconciliation", "reconcile"]

MOST = 100
"""Users that are named."""

_TOTALS = """
SELECT coalesce(sum(amount) FILTER (WHERE from_user_id IS NULL), 0)::bigint AS made,
       coalesce(sum(amount) FILTER (WHERE to_user_id IS NULL), 0)::bigint AS taken
FROM token_ledger
"""
_BY_USER = """
SELECT user_id, sum(amount)::bigint AS balance FROM (
    SELECT from_user_id AS user_id, -amount AS amount FROM token_ledger WHERE from_user_id IS NOT NULL
    UNION ALL SELECT to_user_id, amount FROM token_ledger WHERE to_user_id IS NOT NULL
) AS entries GROUP BY user_id
"""
_HELD = f"SELECT coalesce(sum(balance), 0)::bigint FROM ({_BY_USER}) AS by_user"  # noqa: S608 - constants
_BELOW_ZERO = f"SELECT user_id FROM ({_BY_USER}) AS by_user WHERE balance < 0 ORDER BY user_id LIMIT $1"  # noqa: S608
_DIFFERING = f"""
SELECT coalesce(l.user_id, b.user_id) AS user_id, coalesce(l.balance, 0) AS ledger, b.balance AS kept
FROM ({_BY_USER}) AS l FULL JOIN token_balances b USING (user_id)
WHERE coalesce(l.balance, 0) IS DISTINCT FROM b.balance ORDER BY 1 LIMIT $1
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Difference:
    """A user whose kept balance is not the ledger's; ``kept`` is None where there is none."""

    user_id: int
    ledger: int
    kept: int | None


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What was found.

    Attributes:
        made, taken: tokens in all.
        held: what all users have together, by the ledger.
        below_zero: users who have less than nothing by the ledger, the first hundred.
        kept: whether balances are kept in this database.
        differing: the first hundred of those that are not what the ledger says.
    """

    made: int
    taken: int
    held: int
    below_zero: tuple[int, ...]
    kept: bool
    differing: tuple[Difference, ...]

    @property
    def agrees(self) -> bool:
        """Everything adds up."""
        return self.made - self.taken == self.held and not self.below_zero and not self.differing

    def lines(self) -> Iterator[str]:
        """For people to read."""
        right = "as it should be" if self.made - self.taken == self.held else "which is NOT right"
        yield f"made {self.made:,}, taken {self.taken:,}, held {self.held:,}: {right}"
        for user_id in self.below_zero:
            yield f"user {user_id} has less than nothing"
        if self.kept:
            yield "kept balances differ from the ledger:" if self.differing else "every kept balance is the ledger's"
        for each in self.differing:
            yield f"user {each.user_id}: kept {each.kept}, by the ledger {each.ledger}"


async def reconcile(url: str) -> Reconciliation:
    """Add everything up as of one moment, while others go on writing.

    Raises:
        DatabaseError: the database cannot be read.

    Cost: a few scans of the ledger.
    """
    async with open_connection(url) as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute("SET LOCAL statement_timeout = 0")
        totals = await connection.fetchrow(_TOTALS)
        assert totals is not None
        kept = bool(await connection.fetchval("SELECT to_regclass('token_balances') IS NOT NULL"))
        return Reconciliation(
            made=totals["made"],
            taken=totals["taken"],
            held=await connection.fetchval(_HELD),
            below_zero=tuple(row["user_id"] for row in await connection.fetch(_BELOW_ZERO, MOST)),
            kept=kept,
            differing=tuple(Difference(*row) for row in await connection.fetch(_DIFFERING, MOST)) if kept else (),
        )
