"""What is written while Research Hub answers: by users through the API, and by others with plain SQL.

Touches: the database. A row that was there stays there: deleted is only what these writes made.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from random import Random

from tailrace.verify.client import Request
from tailrace.verify.http1 import Response
from tailrace_services.prove.subject import Execute
from tailrace_services.research_hub.proof.people import Member

__all__ = ["SQL_WRITES", "MemberWriter", "sql_write"]

_NEWEST_CARD = "(SELECT id FROM cards WHERE user_id = $2 ORDER BY created_at DESC, id DESC LIMIT 1)"
_MADE_CARD = "(SELECT id FROM cards WHERE user_id = $1 AND title LIKE 'Written %' ORDER BY id DESC LIMIT 1)"

SQL_WRITES = (
    # a card, and what it goes back to
    (
        """WITH made AS (
            INSERT INTO cards (user_id, content_id, title, body, published_at, created_at)
            VALUES ($2, $3, 'Written ' || $1::int, 'By SQL', CASE $1::int % 4 WHEN 0 THEN NULL ELSE $4::timestamptz END,
                    $4) RETURNING id, content_id
        ) INSERT INTO attributions (card_id, content_id, weight) SELECT id, content_id, 0.5 FROM made""",
        ("number", "user", "content", "moment"),
    ),
    # away with it
    (f"DELETE FROM cards WHERE id = {_MADE_CARD}", ("user",)),  # noqa: S608 - constants
    # another title, and a draft that is published, or a card that becomes one again
    (f"UPDATE cards SET title = 'Retitled ' || $1::int WHERE id = {_NEWEST_CARD}", ("number", "user")),  # noqa: S608
    (
        "UPDATE cards SET published_at = CASE WHEN published_at IS NULL THEN $1::timestamptz END "  # noqa: S608
        f"WHERE id = {_NEWEST_CARD}",
        ("moment", "user"),
    ),
    # what a card goes back to
    (
        f"UPDATE attributions SET weight = 0.25 + ($1::int % 100) / 200.0 WHERE card_id = {_NEWEST_CARD}",  # noqa: S608
        ("number", "user"),
    ),
    # the post that it is about, its author, and who wrote the card
    ("UPDATE contents SET title = 'Corrected ' || $1::int WHERE id = $2", ("number", "content")),
    (
        "UPDATE authors SET display_name = 'Author ' || $1::int, followers = followers + 1 "
        "WHERE id = (SELECT author_id FROM contents WHERE id = $2)",
        ("number", "content"),
    ),
    # tokens: made, and taken again
    ("INSERT INTO token_ledger (to_user_id, type, amount) VALUES ($1, 'reward', 1 + $2::int % 9)", ("user", "number")),
    (
        "INSERT INTO token_ledger (from_user_id, to_user_id, type, amount) "
        "VALUES (NULL, $1, 'reward', 5), ($1, NULL, 'fee', 5)",
        ("user",),
    ),
    # another post of the author's, and one that is analysed, or found by its meaning
    (
        """INSERT INTO contents (author_id, platform, url, title, body, scraped_at, published_at, metrics)
        SELECT author_id, platform, 'https://written.example/' || max_id, 'Written ' || $1::int, 'By SQL', $3, $3,
               '{"score": 1}'
        FROM contents, (SELECT max(id) + 1 AS max_id FROM contents) AS newest WHERE id = $2""",
        ("number", "content", "moment"),
    ),
    (
        "UPDATE contents SET analyzed_at = CASE WHEN analyzed_at IS NULL THEN $1::timestamptz END, "
        "embedding = CASE WHEN embedding IS NULL THEN array_fill(0.05::real, ARRAY[384])::halfvec END WHERE id = $2",
        ("moment", "content"),
    ),
    # something that posts have in common
    (
        """INSERT INTO patterns (type, description, confidence_score, discovered_at, content_ids)
        VALUES ('anomaly', 'Written ' || $1::int, 0.9 + ($1::int % 100) / 1000.0, $3,
                ARRAY[$2::bigint, 9223372036854775807])""",
        ("number", "content", "moment"),
    ),
    ("UPDATE users SET username = 'member.' || $1::int || '.' || id WHERE id = $2", ("number", "user")),
)
"""Statements and what they are about, in the order of their parameters: writes to every table that answers show."""


async def sql_write(execute: Execute, member: Member, random: Random, now: datetime) -> None:
    """One statement of ``SQL_WRITES`` on what the member looks at, committed."""
    statement, names = random.choice(SQL_WRITES)
    values = {
        "number": random.randrange(10**6),
        "user": member.id,
        "content": member.content_id,
        "moment": now - timedelta(seconds=random.randrange(0, 3 * 24 * 3600)),
    }
    await execute(statement, *(values[name] for name in names))


class MemberWriter:
    """What one member writes through the API."""

    def __init__(self, member: Member) -> None:
        self._member = member

    def usual(self, random: Random) -> Request:
        """A card, mostly one that everybody sees."""
        body = {
            "content_id": self._member.content_id,
            "title": f"Card {random.randrange(10**6)}",
            "body": "What the post says, in a sentence.",
            "publish": random.random() < 0.8,
        }
        headers = {**self._member.headers, "Content-Type": "application/json"}
        return Request("POST cards", "/api/cards", "POST", headers, json.dumps(body).encode())

    def any(self, random: Random) -> Request:
        """A card, or a token for somebody."""
        if random.random() < 0.5:
            return self.usual(random)
        others = [user for user in (1, 2, 3) if user != self._member.id]
        headers = {
            **self._member.headers,
            "Content-Type": "application/json",
            "Idempotency-Key": random.randbytes(8).hex(),
        }
        body = json.dumps({"to_user_id": random.choice(others), "amount": 1}).encode()
        return Request("POST transfer", "/api/tokens/transfer", "POST", headers, body)

    def take(self, request: Request, response: Response) -> None:
        """Nothing more is done to what was made."""

    def forget(self) -> None:
        """Nothing is remembered."""
