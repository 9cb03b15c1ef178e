"""What a statement refers to, and what it may not."""

from __future__ import annotations

import pytest

from tailrace.db.query_cache.refusal import REASONS, NotCachedError
from tailrace.db.query_cache.statement import parse_expression, parse_statement

READ = {
    "SELECT * FROM a, b JOIN s.c ON true": {(None, "a"), (None, "b"), ("s", "c")},
    "SELECT (SELECT max(x) FROM a) FROM b WHERE EXISTS (SELECT FROM c)": {(None, "a"), (None, "b"), (None, "c")},
    "SELECT * FROM a UNION (SELECT * FROM b EXCEPT TABLE c)": {(None, "a"), (None, "b"), (None, "c")},
    "WITH a AS (SELECT * FROM b) SELECT * FROM a": {(None, "b")},
    "WITH a AS (SELECT * FROM a) SELECT * FROM a": {(None, "a")},
    "WITH a AS (SELECT * FROM b), b AS (SELECT * FROM a) SELECT * FROM b": {(None, "b")},
    "WITH RECURSIVE a AS (SELECT * FROM a), b AS (SELECT 1) SELECT * FROM b": set(),
    "WITH RECURSIVE a AS (SELECT * FROM b), b AS (SELECT * FROM c) SELECT * FROM a": {(None, "c")},
    "WITH a AS (SELECT 1) SELECT * FROM s.a": {("s", "a")},
    "SELECT * FROM (WITH a AS (SELECT 1) SELECT * FROM a) x, a": {(None, "a")},
    "WITH a AS (SELECT 1) SELECT * FROM (WITH b AS (SELECT * FROM a) SELECT * FROM b) x": set(),
    "SELECT * FROM a, LATERAL (SELECT * FROM b WHERE b.x = a.x) y": {(None, "a"), (None, "b")},
    "SELECT CASE WHEN true THEN 1 ELSE (SELECT 1 FROM a) END ORDER BY (SELECT 1 FROM b)": {(None, "a"), (None, "b")},
    "SELECT sum(x) FILTER (WHERE x IN (SELECT y FROM b)) OVER (ORDER BY (SELECT 1 FROM c)) FROM a": {
        *((None, name) for name in "abc")
    },
    "SELECT * FROM a LIMIT (SELECT 1 FROM b) OFFSET (SELECT 1 FROM c)": {(None, "a"), (None, "b"), (None, "c")},
    "SELECT * FROM a GROUP BY GROUPING SETS ((x), ((SELECT 1 FROM b))) HAVING (SELECT true FROM c)": {
        *((None, name) for name in "abc")
    },
    "VALUES ((SELECT 1 FROM a))": {(None, "a")},
    "SELECT * FROM unnest(ARRAY(SELECT x FROM a)) u": {(None, "a")},
    "SELECT * FROM a WHERE x = %(value)s::INTEGER AND y LIKE 'a%%'": {(None, "a")},
    "SELECT * FROM a WHERE x = $1::INTEGER": {(None, "a")},
    'SELECT * FROM "A b"."c.d"': {("A b", "c.d")},
}


@pytest.mark.parametrize("sql", READ)
def test_every_table_is_found_and_no_name_of_a_with(sql: str) -> None:
    """Wherever it stands, with the scopes that PostgreSQL gives the names of WITH."""
    assert parse_statement(sql).relations == READ[sql]


REFUSED = {
    "INSERT INTO a VALUES (1)": "writes",
    "SELECT 1; SELECT 2": "writes",
    "": "writes",
    "SELECT * INTO b FROM a": "writes",
    "WITH w AS (DELETE FROM a RETURNING *) SELECT 1": "writes",
    "SELECT * FROM (WITH w AS (UPDATE a SET x = 1 RETURNING *) SELECT * FROM w) x": "writes",
    "SELECT * FROM a FOR KEY SHARE": "locks",
    "SELECT * FROM a, (SELECT * FROM b FOR NO KEY UPDATE SKIP LOCKED) x": "locks",
    "SELECT LOCALTIMESTAMP(3)": "time",
    "SELECT * FROM a WHERE at > ' Yesterday '": "time",
    "SELECT * FROM a TABLESAMPLE SYSTEM (1) REPEATABLE (7)": "function",
    "SELECT a.xmin FROM a": "function",
    "SELECT FROM WHERE": "syntax",
}


@pytest.mark.parametrize("sql", REFUSED)
def test_what_is_no_plain_select_is_refused(sql: str) -> None:
    """With a reason that is listed."""
    with pytest.raises(NotCachedError) as caught:
        parse_statement(sql)
    assert caught.value.reason == REFUSED[sql]
    assert caught.value.reason in REASONS


def test_functions_operators_and_columns_are_found() -> None:
    """Also those of expressions, as policies of row security have them."""
    found = parse_expression("s.f(x) ==> lower(y.z) AND (w).f2 = ANY (SELECT g FROM t) AND u.v IS NOT NULL")
    assert found.functions == {("s", "f"), (None, "lower")}
    assert {"==>", "="} <= found.operators | {"="}
    assert "==>" in found.operators
    assert {"x", "z", "f2", "v", "g"} <= found.columns
    assert found.relations == {(None, "t")}


@pytest.mark.parametrize(
    ("sql", "determined"),
    [
        ("SELECT * FROM a ORDER BY x", True),
        ("SELECT count(*) FROM a", True),
        ("SELECT * FROM a LIMIT 1", False),
        ("SELECT DISTINCT ON (x) * FROM a", False),
        ("SELECT DISTINCT x FROM a", True),
        ("SELECT row_number() OVER () FROM a", False),
        ("SELECT array_agg(x) FROM a", False),
        ("SELECT array_agg(x ORDER BY x) FROM a", True),
        ("SELECT * FROM (SELECT * FROM a OFFSET 1) x", False),
    ],
)
def test_rows_are_determined_or_left_open(sql: str, determined: bool) -> None:
    """What LIMIT, DISTINCT ON and aggregates without an order leave open is nobody's mistake."""
    assert parse_statement(sql).determined is determined
