"""What everybody has, kept exact by the transactions that write the ledger, whoever they are. Pure: declarations.

Each statement's movements change the balances of those concerned in the order of their numbers, so that no two
transactions of one statement each wait for each other. A balance below zero is refused by the table itself: the
movement that would have led there has then not happened.

Whoever meets a user without a row inserts it whole, from the ledger's beginning; the unique key makes everybody else
wait for that, and add to it.
"""

# ruff: noqa: S608 - statements are made of this module's constants

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, MetaData, Table

from tailrace.schema import Declaration, Index, KeptTable, Watch
from tailrace_services.research_hub.model import Movement

__all__ = ["BALANCES", "NOT_BELOW_ZERO", "OBJECTS"]

NOT_BELOW_ZERO = "token_balances_balance_check"

BALANCES = Table(
    "token_balances",
    MetaData(),
    Column("user_id", BigInteger, primary_key=True, autoincrement=False),
    Column("balance", BigInteger, nullable=False),
    CheckConstraint("balance >= 0", name=NOT_BELOW_ZERO),
)


def _entries(rows: str, whose: str = "IS NOT NULL") -> str:
    """Both sides of movements; see ``tokens.entries``."""
    return (
        f"SELECT from_user_id AS user_id, -amount AS amount FROM {rows} WHERE from_user_id {whose} "
        f"UNION ALL SELECT to_user_id, amount FROM {rows} WHERE to_user_id {whose}"
    )


_WHOLE = f"""INSERT INTO public.token_balances (user_id, balance)
    SELECT u.user_id, coalesce(sum(e.amount), 0)
    FROM unnest({{users}}) AS u(user_id)
    LEFT JOIN ({_entries("public.token_ledger", "= ANY ({users})")}) AS e USING (user_id)
    GROUP BY u.user_id ORDER BY u.user_id
    ON CONFLICT (user_id) DO NOTHING"""

_INSERTED = f"""DECLARE
    concerned bigint[] := ARRAY(SELECT DISTINCT e.user_id FROM ({_entries("new_rows")}) AS e ORDER BY e.user_id);
    missing bigint[] := ARRAY(
        SELECT c.user_id FROM unnest(concerned) AS c(user_id)
        WHERE NOT EXISTS (SELECT FROM public.token_balances b WHERE b.user_id = c.user_id) ORDER BY c.user_id
    );
    made bigint[] := ARRAY[]::bigint[];
BEGIN
    IF cardinality(missing) > 0 THEN
        WITH made AS ({_WHOLE.format(users="missing")} RETURNING user_id)
        SELECT coalesce(array_agg(m.user_id), ARRAY[]::bigint[]) INTO made FROM made AS m;
    END IF;
    PERFORM FROM public.token_balances b WHERE b.user_id = ANY (concerned) ORDER BY b.user_id FOR UPDATE;
    UPDATE public.token_balances b SET balance = b.balance + e.amount
    FROM (SELECT user_id, sum(amount) AS amount FROM ({_entries("new_rows")}) AS each GROUP BY user_id) AS e
    WHERE b.user_id = e.user_id AND b.user_id <> ALL (made);
    RETURN NULL;
END"""

_FUNCTIONS = {
    "insert": ("AFTER INSERT", "REFERENCING NEW TABLE AS new_rows", _INSERTED),
    "truncate": ("AFTER TRUNCATE", "", "BEGIN TRUNCATE public.token_balances; RETURN NULL; END"),
}


def _keep() -> list[str]:
    made = []
    for event, (moment, referencing, body) in _FUNCTIONS.items():
        name = f"token_balances_{event}"
        made += [
            f"CREATE FUNCTION public.{name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER\n"
            f"SET search_path = pg_catalog, pg_temp AS $body$\n{body}\n$body$",
            f"REVOKE ALL ON FUNCTION public.{name}() FROM PUBLIC",
            f"CREATE TRIGGER zz_{name} {moment} ON public.token_ledger {referencing} FOR EACH STATEMENT "
            f"EXECUTE FUNCTION public.{name}()",
        ]
    return made


PIECE = 5_000
"""Users that are filled in at a time."""
_MISSING = "ARRAY(SELECT id FROM missing)"
_FILL = f"""
WITH missing AS MATERIALIZED (
    SELECT u.id FROM public.users u
    WHERE NOT EXISTS (SELECT FROM public.token_balances b WHERE b.user_id = u.id) ORDER BY u.id LIMIT {PIECE}
), filled AS ({_WHOLE.format(users=_MISSING)})
SELECT count(*) FROM missing
"""
movements = Movement.__table__.c

OBJECTS: tuple[Declaration, ...] = (
    KeptTable(
        BALANCES,
        keep=_keep(),
        undo=[f"DROP FUNCTION IF EXISTS public.token_balances_{event}() CASCADE" for event in _FUNCTIONS],
        fill=_FILL,
    ),
    Watch(BALANCES, key="user_id"),
    Index("token_ledger_from", Movement, ["from_user_id", movements.created_at.desc(), movements.id.desc()]),
    Index("token_ledger_to", Movement, ["to_user_id", movements.created_at.desc(), movements.id.desc()]),
)
"""Balances, whom a change of them concerns, and each side of the ledger in the order of histories."""
