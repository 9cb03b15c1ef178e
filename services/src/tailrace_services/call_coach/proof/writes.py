"""What others write while Call Coach answers: telephony, mail and sales systems, by plain SQL. Touches: the database.

A row that was there stays there: deleted is only what these statements made.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random

from tailrace_services.call_coach.proof.people import Manager
from tailrace_services.prove.subject import Execute

__all__ = ["SQL_WRITES", "sql_write"]

DIMENSION = "(ARRAY['product_knowledge', 'discovery', 'objection_handling', 'engagement'])[1 + $1::int % 4]"
NEWEST_SESSION = (
    "(SELECT s.id FROM coaching_sessions s JOIN reps r ON r.id = s.rep_id WHERE r.email = $2 "
    "ORDER BY s.created_at DESC, s.id DESC LIMIT 1)"
)

SQL_WRITES = (
    # a coaching session
    (
        f"""INSERT INTO coaching_sessions (call_id, rep_id, dimension, score, strengths, rubric_version, created_at)
        SELECT $3, r.id, {DIMENSION}, $1::int % 101, ARRAY['Listened'], latest.rubric_version, $4
        FROM reps AS r, (SELECT rubric_version FROM coaching_sessions ORDER BY id DESC LIMIT 1) AS latest
        WHERE r.email = $2""",  # noqa: S608 - constants
        ("number", "rep", "call", "moment"),
    ),
    # a score that was corrected, and one that belongs to another day
    (
        f"UPDATE coaching_sessions SET score = $1::int % 101 WHERE id = {NEWEST_SESSION}",  # noqa: S608 - constants
        ("number", "rep"),
    ),
    (
        f"""UPDATE coaching_sessions SET created_at = created_at - make_interval(hours => $1::int % 100)
        WHERE id = {NEWEST_SESSION}""",  # noqa: S608 - constants
        ("number", "rep"),
    ),
    # a session that is withdrawn
    (
        "DELETE FROM coaching_sessions WHERE id = (SELECT s.id FROM coaching_sessions s JOIN reps r ON r.id = s.rep_id "
        "WHERE r.email = $1 AND strengths = ARRAY['Listened'] ORDER BY s.id DESC LIMIT 1)",
        ("rep",),
    ),
    # a call with two speakers, four turns and its opportunity
    (
        """WITH made AS (
            INSERT INTO calls (title, product, call_type, scheduled_at, duration_seconds)
            VALUES ('Recorded ' || $1::int, (SELECT product FROM calls WHERE id = $3), 'demo', $4, 60) RETURNING id
        ), present AS (
            INSERT INTO speakers (call_id, name, email, company_side, talk_time_seconds)
            SELECT made.id, who.name, who.email, who.side, 30
            FROM made, (VALUES ('Rep', $2::text, 'rep'), ('Pat', 'pat@customer.example', 'prospect'))
                 AS who (name, email, side)
            RETURNING id, call_id, company_side
        ), linked AS (
            INSERT INTO call_opportunities (call_id, opportunity_id) SELECT id, $5 FROM made
        )
        INSERT INTO transcripts (call_id, speaker_id, sequence_number, start_ms, end_ms, text)
        SELECT present.call_id, present.id, said.number, said.number * 10000, said.number * 10000 + 9000, said.text
        FROM present JOIN (VALUES
            (1, 'rep', 'Thanks for joining. What would you like to achieve this quarter?'),
            (2, 'prospect', 'The price is a concern, and the migration looks like a lot of work.'),
            (3, 'rep', 'I understand. How much time does it take today?'),
            (4, 'prospect', 'Two days a week. Send me the contract and let us talk on Friday.')
        ) AS said (number, side, text) ON said.side = present.company_side""",
        ("number", "rep", "call", "moment", "opportunity"),
    ),
    # the newest such call is removed, with all that is about it
    (
        "DELETE FROM calls WHERE id = (SELECT c.id FROM calls c JOIN speakers s ON s.call_id = c.id "
        "WHERE s.email = $1 AND c.title LIKE 'Recorded %' ORDER BY c.id DESC LIMIT 1)",
        ("rep",),
    ),
    # a transcript that was heard again
    (
        "UPDATE transcripts SET text = 'Let us talk about the price. ' || left(text, 200) WHERE id = "
        "(SELECT id FROM transcripts WHERE call_id = $2 ORDER BY sequence_number OFFSET $1::int % 5 LIMIT 1)",
        ("number", "call"),
    ),
    # who spoke was somebody else
    (
        "UPDATE speakers SET name = 'Speaker ' || $1::int WHERE id = "
        "(SELECT id FROM speakers WHERE call_id = $2 AND company_side = 'prospect' ORDER BY id LIMIT 1)",
        ("number", "call"),
    ),
    # a call that was about another product, or took place at another time
    (
        "UPDATE calls SET product = (SELECT product FROM calls WHERE id = 1 + $1::int % 50), "
        "scheduled_at = scheduled_at - interval '1 hour' WHERE id = $2",
        ("number", "call"),
    ),
    # mail from either side
    (
        """INSERT INTO emails (opportunity_id, sender_email, recipients, subject, body, sent_at)
        VALUES ($3, CASE $1::int % 2 WHEN 0 THEN $2 ELSE 'pat@customer.example' END, ARRAY['pat@customer.example'],
                'Message ' || $1::int, 'We worry about the budget and the security review.', $4)""",
        ("number", "rep", "opportunity", "moment"),
    ),
    (
        "DELETE FROM emails WHERE id = (SELECT id FROM emails WHERE opportunity_id = $1 AND subject LIKE 'Message %' "
        "ORDER BY id DESC LIMIT 1)",
        ("opportunity",),
    ),
    # how a sale stands
    (
        "UPDATE opportunities SET health_score = $1::int % 101, amount = amount + 100, "
        "stage = (ARRAY['discovery', 'evaluation', 'proposal', 'negotiation'])[1 + $1::int % 4] WHERE id = $2",
        ("number", "opportunity"),
    ),
    # a representative's name
    ("UPDATE reps SET name = 'Representative ' || $1::int WHERE email = $2", ("number", "rep")),
)
"""Statements and what they are about, in the order of their parameters: writes to every table that answers show."""


async def sql_write(execute: Execute, manager: Manager, random: Random, now: datetime) -> None:
    """One statement of ``SQL_WRITES`` on what the manager looks at, committed."""
    statement, names = random.choice(SQL_WRITES)
    values = {
        "number": random.randrange(10**6),
        "rep": manager.rep_email,
        "call": manager.calls[0],
        "opportunity": manager.opportunities[0],
        "moment": now - timedelta(seconds=random.randrange(0, 3 * 24 * 3600)),
    }
    await execute(statement, *(values[name] for name in names))
