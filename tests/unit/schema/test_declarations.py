"""What can be declared, and what is refused with a reason."""

# ruff: noqa: E501 - statements stay on one line

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import Boolean, Column, ColumnElement, DateTime, Float, Integer, MetaData, Table, Text, func, true

from tailrace.errors import SchemaError
from tailrace.schema import Index, Rollup, Watch, Where, count, read, sum_, table_tag
from tailrace.schema.planner import index_sql
from tailrace.schema.sql_text import literal, short_name

metadata = MetaData()
events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("kind", Text),
    Column("done", Boolean),
    Column("weight", Float),
    Column("at", DateTime(timezone=True)),
)
other = Table("other", metadata, Column("id", Integer, primary_key=True))


def rollup(**changes: object) -> Rollup:
    """A good rollup, but for ``changes``."""
    given = {"dimensions": {"kind": events.c.kind}, "time": events.c.at, "grain": "day", "measures": {"n": count()}}
    return Rollup("r", events, **(given | changes))  # type: ignore[arg-type]


def test_key_puts_one_dimension_before_the_time() -> None:
    """One value of the first dimension over a range of time is one range of the primary key."""
    assert rollup(dimensions={"a": events.c.kind, "b": events.c.id}, grain="hour").key == ("a", "date", "hour", "b")


def test_rows_are_counted_even_if_nobody_asks() -> None:
    """Without an unfiltered count, a hidden one tells an empty group from one whose sums are zero."""
    assert rollup(measures={"ids": sum_(events.c.id)}).row_count == "row_count"
    assert rollup().row_count == "n"


def test_floats_do_not_add_up() -> None:
    """Sums of floats depend on their order, so no trigger can keep them exact."""
    with pytest.raises(SchemaError, match="exactly"):
        sum_(events.c.weight)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"where": events.c.at > func.now()}, "42P17"),
        ({"measures": {}}, "measure"),
        ({"measures": {"kind": count()}}, "share a name"),
        ({"grain": "hour", "time_zone": "Europe/Berlin"}, "UTC"),
        ({"leading": 2}, "leading"),
    ],
)
def test_rollups_that_cannot_be_kept_are_refused(changes: dict[str, object], reason: str) -> None:
    """A declaration that no trigger can keep fails where it is written."""
    with pytest.raises(SchemaError, match=reason):
        rollup(**changes)


@pytest.mark.parametrize(
    "predicate", [events.c.at > func.now(), events.c.at > func.current_date(), events.c.at > func.clock_timestamp()]
)
def test_indexes_on_the_present_are_refused(predicate: object) -> None:
    """PostgreSQL would answer 42P17; the declaration says why and what to do instead."""
    with pytest.raises(SchemaError, match="42P17"):
        Index("i", events, ["id"], where=predicate)


def test_a_word_in_a_literal_is_not_a_call() -> None:
    """Text that only looks like a function is left alone."""
    assert "'now()'" in index_sql(Index("i", events, ["id"], where=events.c.kind == "now()"))


def test_index_text() -> None:
    """Expressions stand in parentheses, names do not, and everything is quoted."""
    index = Index(
        "i",
        events,
        [func.lower(events.c.kind), events.c.at.desc().nulls_last(), "id"],
        include=["done"],
        where=events.c.done.is_(True),
    )
    assert index_sql(index) == (
        'CREATE INDEX CONCURRENTLY "i" ON "public"."events" USING "btree" (("lower"("kind")), "at" DESC NULLS LAST, "id") '
        'INCLUDE ("done") WHERE "done" IS true'
    ).replace('"lower"', "lower")


def test_operator_classes_stand_behind_every_column() -> None:
    """Whatever is indexed in another way than its type's own says so, for names and expressions alike."""
    index = Index("i", events, ["kind", func.lower(events.c.kind)], using="gin", operator_class="gin_trgm_ops")
    assert index_sql(index).endswith('USING "gin" ("kind" "gin_trgm_ops", (lower("kind")) "gin_trgm_ops")')


@pytest.mark.parametrize("key", ["weight", "done", "at", "nothing"])
def test_keys_of_tags_have_one_text_form(key: str) -> None:
    """A tag made in Python must equal the one made by the trigger."""
    with pytest.raises(SchemaError):
        Watch(events, key=key)


@pytest.mark.parametrize("condition", [other.c.id == 1, events.c.at > func.now(), true()])
def test_conditions_of_tags_are_about_the_row_alone(condition: ColumnElement[bool]) -> None:
    """What another table, the time or nothing at all decides is noticed by no write to the row."""
    with pytest.raises(SchemaError):
        Watch(events, key=Where("some", condition))


def test_tags_name_the_schema_outside_public() -> None:
    """Two tables of one name do not share a tag."""
    assert table_tag(events) == "events"
    assert table_tag(Table("events", MetaData(), Column("id", Integer), schema="odd")) == "odd.events"


def test_readings_of_one_shape_share_a_statement() -> None:
    """The text does not depend on the window, so it is compiled and planned once."""
    level = rollup()
    first = read(
        [level], start=datetime(2026, 1, 1, tzinfo=UTC), end=datetime(2026, 2, 1, tzinfo=UTC), where={"kind": "a"}
    )
    other = read(
        [level], start=datetime(2025, 1, 1, tzinfo=UTC), end=datetime(2025, 1, 1, 1, tzinfo=UTC), where={"kind": "b"}
    )
    assert first.statement is other.statement
    assert first.parameters.keys() == other.parameters.keys()


def test_unlike_rollups_are_not_mixed() -> None:
    """A level that counts something else would make a wrong sum."""
    other = rollup(grain="hour", measures={"n": count(where=events.c.done.is_(True))})
    with pytest.raises(SchemaError, match="same figures"):
        read([rollup(), other], start=datetime(2026, 1, 1, tzinfo=UTC), end=datetime(2026, 2, 1, tzinfo=UTC))


@pytest.mark.parametrize("name", ["x" * 80, "\u00e4" * 40])
def test_long_names_are_cut_before_the_server_cuts_them(name: str) -> None:
    """Two long names that begin alike stay different."""
    assert len(short_name(name).encode()) <= 63
    assert short_name(name) != short_name(name + "y")


def test_literals_survive_quotes_and_backslashes() -> None:
    """No text ends a literal early."""
    assert literal("a'b") == "'a''b'"
    assert literal("a\\'b") == "E'a\\\\''b'"
