"""A statement that writes calls for several callers; as a program, one that writes many and prints which were answered.

``python grouped_calls.py DATABASE_URL NUMBER``: users from NUMBER million on, forty at a time.
"""

from __future__ import annotations

import asyncio
import sys

from sqlalchemy import Integer, column, func, insert, select, table

from tailrace.db import Database, GroupedWrite, given

CALLS = table("calls", column("id"), column("user_id"), column("minutes"))
MANY = 2_000


def _statement() -> GroupedWrite:
    new = given(user=Integer(), minutes=Integer())
    rows = select(new.c.user, new.c.minutes).order_by(new.c.number)
    written = (
        insert(CALLS)
        .from_select(["user_id", "minutes"], rows)
        .returning(CALLS.c.id, CALLS.c.user_id, CALLS.c.minutes)
        .cte("written")
    )
    number = func.row_number().over(order_by=written.c.id) - 1
    return GroupedWrite(select(number.label("number"), written.c.user_id, written.c.minutes))


CALL = _statement()


async def main(url: str, number: int) -> None:
    """Write all of them."""
    database = Database(url)
    users = iter(range(number * 1_000_000, number * 1_000_000 + MANY))

    async def write() -> None:
        for user in users:
            await database.write_grouped(CALL, {"user": user, "minutes": 1})
            print(user, flush=True)

    await asyncio.gather(*(write() for _ in range(40)))
    await database.aclose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
