"""What searches read: one row for each call, with all that filters and orders go by. Pure: declarations.

The row is kept exact by the transactions that write calls, speakers, turns and coaching sessions, whoever they are:

- A statement's trigger locks the rows of the calls it concerns, in the order of their numbers, and then, in a statement
  of its own and so with a newer snapshot, takes their values from the tables as they are. Of two writers of one call
  the second waits for the first, and sees what it wrote. Under REPEATABLE READ, whose snapshot would not, the lock
  fails with a serialization error, because the first has updated the row, always.
- Triggers fire in the order of their names. These come last: whoever locks a call for another reason, as summaries that
  join calls do, has locked it before, as have those who change calls; so nobody waits for two of them crosswise.
- Who meets a call without a row, while the table is being filled, inserts it whole; the primary key makes the filling
  wait for that transaction, or that transaction for the filling.

Each part is taken anew for itself: a coaching session costs a mean over the call's sessions, and no reading of turns.
"""

# ruff: noqa: S608 - statements are made of this module's constants

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Double,
    MetaData,
    Numeric,
    Table,
    Text,
    cast,
    extract,
    func,
    literal_column,
)
from sqlalchemy.dialects.postgresql import ARRAY, TSVECTOR, array
from sqlalchemy.sql import ColumnElement

from tailrace.schema import Index, KeptTable
from tailrace_services.call_coach.tools.search_pages import COMPARED, ROWS

__all__ = [
    "CALL_SEARCH",
    "EQUALITIES",
    "OBJECTS",
    "PARTS",
    "SPANS",
    "WEEK",
    "WEEK_SECONDS",
    "named_span",
    "named_week",
]

CALL_SEARCH = Table(
    ROWS,
    MetaData(),
    Column("call_id", BigInteger, primary_key=True, autoincrement=False),
    Column("title", Text, nullable=False),
    Column("product", Text),
    Column("call_type", Text, nullable=False),
    Column("scheduled_at", DateTime(timezone=True), nullable=False),
    Column("duration_seconds", Numeric(10, 3), nullable=False),
    Column("score", Numeric(5, 2)),
    Column("reps", ARRAY(Text), nullable=False),
    Column("document", TSVECTOR, nullable=False),
)

WEEK_SECONDS: ColumnElement[int] = literal_column("604800", BigInteger())
_SECONDS = extract("epoch", func.timezone(literal_column("'UTC'"), CALL_SEARCH.c.scheduled_at, type_=DateTime()))
WEEK: ColumnElement[int] = func.floor(_SECONDS / WEEK_SECONDS)
"""The week in which a call takes place, counted from 1970 in UTC."""


def named_week(number: ColumnElement[int]) -> ColumnElement[str]:
    """A week as ``EQUALITIES`` has it."""
    return literal_column("'week '", Text()) + cast(number, Text)


def score_span(score: ColumnElement[Any]) -> ColumnElement[Any]:
    """The span of two points in which a score lies, counted from 0."""
    return func.floor(score / literal_column("2"))


def length_span(seconds: ColumnElement[Any]) -> ColumnElement[Any]:
    """The span in which a duration lies, each an eighth longer than the one before: 34 from a minute to an hour."""
    longer: ColumnElement[Any] = cast(func.greatest(seconds, literal_column("1")), Double())
    return func.floor(literal_column("8") * func.ln(longer))


def named_span(column: str, number: ColumnElement[Any]) -> ColumnElement[str]:
    """A span of ``score`` or of ``duration_seconds`` as ``EQUALITIES`` has it."""
    return literal_column(f"'{column.partition('_')[0]} '", Text()) + cast(number, Text)


SPANS = {"score": score_span, "duration_seconds": length_span}
"""Column -> the number of the span in which a value lies; a greater value lies in no lower one."""

EQUALITIES: ColumnElement[Any] = array(
    [
        CALL_SEARCH.c.product,
        CALL_SEARCH.c.call_type,
        named_week(WEEK),
        *(named_span(name, span(CALL_SEARCH.c[name])) for name, span in SPANS.items()),
    ],
    type_=Text(),
)
"""What a call equals, as the index of words has it beside them: it meets both before it reads a row."""

OWN = ("title", "product", "call_type", "scheduled_at", "duration_seconds")
"""Columns that are the call's own."""
PARTS = {
    "speakers": (
        "reps",
        "SELECT coalesce(array_agg(DISTINCT email ORDER BY email), '{{}}') FROM public.speakers "
        "WHERE call_id = {call} AND company_side = 'rep' AND email IS NOT NULL",
    ),
    "transcripts": (
        "document",
        "SELECT public.tsvector_agg(search ORDER BY sequence_number, id) FROM public.transcripts "
        "WHERE call_id = {call}",
    ),
    "coaching_sessions": (
        "score",
        "SELECT round(avg(score), 2) FROM public.coaching_sessions WHERE call_id = {call}",
    ),
}
"""Table of what belongs to a call -> the column made of it, and how."""

_COLUMNS = ", ".join(("call_id", *OWN, *(column for column, _ in PARTS.values())))
_VALUES = ", ".join(
    ("c.id", *(f"c.{name}" for name in OWN), *(f"({value.format(call='c.id')})" for _, value in PARTS.values()))
)


def _insert_whole(calls: str) -> str:
    """Insert the rows of calls, all their parts taken from the tables as they are, unless somebody else does."""
    return f"INSERT INTO public.{ROWS} ({_COLUMNS}) SELECT {_VALUES} FROM {calls} ON CONFLICT (call_id) DO NOTHING"


_EVENTS = {
    "insert": ("REFERENCING NEW TABLE AS new_rows", "SELECT {key} FROM new_rows"),
    "update": (
        "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
        "SELECT {key} FROM new_rows UNION SELECT {key} FROM old_rows",
    ),
    "delete": ("REFERENCING OLD TABLE AS old_rows", "SELECT {key} FROM old_rows"),
    "truncate": ("", ""),
}


def _function(table: str, event: str, body: str) -> list[str]:
    """A trigger of ``table`` and its function, which works whoever writes and wherever that one looks for names."""
    referencing, _ = _EVENTS[event]
    name = f"{ROWS}_{table}_{event}"
    return [
        f"CREATE FUNCTION public.{name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER\n"
        f"SET search_path = pg_catalog, pg_temp AS $body$\n{body}\n$body$",
        f"REVOKE ALL ON FUNCTION public.{name}() FROM PUBLIC",
        f"CREATE TRIGGER zz_{name} AFTER {event.upper()} ON public.{table} {referencing} FOR EACH STATEMENT "
        f"EXECUTE FUNCTION public.{name}()",
    ]


def _part(table: str, event: str) -> str:
    """Take one column of the calls concerned from the rows as they are."""
    column, value = PARTS[table]
    if event == "truncate":
        nothing = value.format(call="NULL")
        return f"BEGIN UPDATE public.{ROWS} SET {column} = ({nothing}); RETURN NULL; END"
    concerned = _EVENTS[event][1].format(key="call_id")
    missing = _insert_whole(
        f"public.calls c WHERE c.id = ANY (concerned) AND NOT EXISTS "
        f"(SELECT FROM public.{ROWS} r WHERE r.call_id = c.id) ORDER BY c.id"
    )
    return f"""DECLARE concerned bigint[] := ARRAY({concerned});
BEGIN
    {missing};
    PERFORM FROM public.{ROWS} r WHERE r.call_id = ANY (concerned) ORDER BY r.call_id FOR UPDATE;
    UPDATE public.{ROWS} r SET {column} = ({value.format(call="r.call_id")}) WHERE r.call_id = ANY (concerned);
    RETURN NULL;
END"""


def _own(event: str) -> str:
    """Follow the calls themselves."""
    rows, changes = f"public.{ROWS}", ", ".join(f"{name} = n.{name}" for name in OWN)
    gone = f"DELETE FROM {rows} r USING old_rows o WHERE r.call_id = o.id"
    inserted = _insert_whole("new_rows c ORDER BY c.id")
    body = {
        "insert": f"{inserted};",
        "update": f"""IF EXISTS (SELECT id FROM old_rows EXCEPT SELECT id FROM new_rows) THEN
        {gone} AND NOT EXISTS (SELECT FROM new_rows n WHERE n.id = o.id);
    END IF;
    {inserted};
    UPDATE {rows} r SET {changes} FROM new_rows n WHERE r.call_id = n.id;""",
        "delete": f"{gone};",
        "truncate": f"TRUNCATE {rows};",
    }[event]
    return f"BEGIN\n    {body}\n    RETURN NULL;\nEND"


def _keep() -> list[str]:
    made = [text for event in _EVENTS for text in _function("calls", event, _own(event))]
    made += [text for table in PARTS for event in _EVENTS for text in _function(table, event, _part(table, event))]
    # What was looked for often decides which plan is good: the planner should know more words than by default.
    return [*made, f"ALTER TABLE public.{ROWS} ALTER document SET STATISTICS 1000, ALTER reps SET STATISTICS 1000"]


PIECE = 2_000
"""Calls that are filled in at a time, about a second."""
_MISSING = _insert_whole("missing m JOIN public.calls c ON c.id = m.id")
FILL = f"""
WITH missing AS MATERIALIZED (
    SELECT c.id FROM public.calls c WHERE NOT EXISTS (SELECT FROM public.{ROWS} r WHERE r.call_id = c.id)
    ORDER BY c.id LIMIT {PIECE}
), filled AS ({_MISSING})
SELECT count(*) FROM missing
"""
_c = CALL_SEARCH.c

OBJECTS = (
    KeptTable(
        CALL_SEARCH,
        keep=_keep(),
        undo=[
            f"DROP FUNCTION IF EXISTS public.{ROWS}_{table}_{event}() CASCADE"
            for table in ("calls", *PARTS)
            for event in _EVENTS
        ],
        fill=FILL,
    ),
    Index("call_search_date", CALL_SEARCH, [_c.scheduled_at.desc(), _c.call_id.desc()]),
    Index("call_search_product", CALL_SEARCH, ["product", _c.scheduled_at.desc(), _c.call_id.desc()]),
    Index(
        "call_search_product_down",
        CALL_SEARCH,
        [_c.product.desc().nulls_last(), _c.scheduled_at.desc(), _c.call_id.desc()],
    ),
    Index("call_search_type", CALL_SEARCH, ["call_type", _c.scheduled_at.desc(), _c.call_id.desc()]),
    Index("call_search_score", CALL_SEARCH, ["score", "call_id"]),
    Index("call_search_score_down", CALL_SEARCH, [_c.score.desc().nulls_last(), _c.call_id.desc()]),
    Index("call_search_duration", CALL_SEARCH, ["duration_seconds", "call_id"]),
    Index("call_search_title", CALL_SEARCH, [func.left(_c.title, COMPARED, type_=Text()), "call_id"]),
    Index("call_search_type_title", CALL_SEARCH, ["call_type", func.left(_c.title, COMPARED, type_=Text()), "call_id"]),
    Index("call_search_words", CALL_SEARCH, ["document", "reps", EQUALITIES], using="gin"),
)
"""One index for each order, one for the titles of a type of calls, and one for what is looked for."""
