"""Who asks Call Coach, and about what. Touches: the database, to read what there is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice

from tailrace_services.call_coach.tools.search_calls import SearchCalls
from tailrace_services.call_coach.tools.search_mix import mixed_searches
from tailrace_services.data.connection import open_connection
from tailrace_services.prove.subject import Person

__all__ = ["Manager", "load_managers"]

MANAGERS = 400
"""How many ask: more than there are representatives at the small scale, so that not everybody asks the same."""

SEARCHES = 5
"""Searches of each of them."""

_REPS = """
SELECT r.email, s.calls, o.opportunities, (SELECT product FROM calls WHERE id = s.calls[1]) AS product
FROM reps AS r
JOIN (SELECT email, (array_agg(call_id ORDER BY call_id DESC))[1:200] AS calls, count(*) AS weight
      FROM speakers WHERE company_side = 'rep' GROUP BY email) AS s ON s.email = r.email
JOIN (SELECT owner_email, (array_agg(id ORDER BY id))[1:200] AS opportunities
      FROM opportunities GROUP BY owner_email) AS o ON o.owner_email = r.email
ORDER BY s.weight DESC, r.id
LIMIT $1
"""


@dataclass(frozen=True, slots=True)
class Manager(Person):
    """Somebody who coaches a representative, and looks at the representative's calls and opportunities."""

    rep_email: str
    product: str | None
    calls: tuple[int, ...]
    opportunities: tuple[int, ...]
    searches: tuple[SearchCalls, ...]


async def load_managers(url: str) -> list[Manager]:
    """:data:`MANAGERS` of the representatives with the most calls; those who coach the same one look at other calls.

    Cost: a scan of the speakers.

    Raises:
        DatabaseError: the database cannot be read.
    """
    async with open_connection(url) as connection:
        reps = await connection.fetch(_REPS, MANAGERS)
        until = await connection.fetchval("SELECT max(scheduled_at) FROM calls")
    mixed = mixed_searches(1, [rep["email"] for rep in reps], until)
    return [
        Manager(
            id=number + 1,
            headers={"Content-Type": "application/json"},
            weight=MANAGERS - number,
            rep_email=reps[number % len(reps)]["email"],
            product=reps[number % len(reps)]["product"],
            calls=_from(reps[number % len(reps)]["calls"], number // len(reps)),
            searches=tuple(_comparable(search.question) for search in islice(mixed, SEARCHES)),
            opportunities=_from(reps[number % len(reps)]["opportunities"], number // len(reps)),
        )
        for number in range(MANAGERS if reps else 0)
    ]


def _comparable(question: SearchCalls) -> SearchCalls:
    """The question, if there is one right answer to it: estimates are the planner's, of different tables."""
    return replace(question, total="capped") if question.total == "estimated" else question


def _from(numbers: list[int], first: int) -> tuple[int, ...]:
    """``numbers`` beginning with another one for each ``first``."""
    start = first % len(numbers)
    return (*numbers[start:], *numbers[:start])
