"""What belongs to a row, as one list of it, so that a page is one statement. Pure: expressions."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, Text, cast, func, literal_column
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.sql import ColumnElement

__all__ = ["json_list"]


def json_list(rows: Select[*tuple[Any, ...]], *columns: Any, order: tuple[Any, ...]) -> ColumnElement[str]:
    """``[{...}, ...]`` as text: ``columns`` of each of the ``rows`` by name, in an order; ``[]`` if there are none."""
    # Names as constants: a statement without parameters is planned once, whatever it is estimated to cost.
    pairs: list[tuple[Any, Any]] = [(literal_column(f"'{column.key}'"), column) for column in columns]
    named = func.json_build_object(*[part for pair in pairs for part in pair])
    listed = func.json_agg(aggregate_order_by(named, *order))
    return cast(rows.with_only_columns(func.coalesce(listed, func.json_build_array())).scalar_subquery(), Text)
