"""Reading rollups: one statement for any window of time. Pure: SQLAlchemy statements only.

    figures = read([CALLS_BY_DAY, AGENT_ANALYTICS], where={"user_id": 42}, start=start, end=now, bounds="(]",
                   group_by=("agent_id",))
    rows = (await session.execute(figures.statement, figures.parameters)).all()

The statement is a UNION ALL of the window's pieces, each a range of an index, summed. It always has the same pieces,
empty ones included (an empty range costs a few microseconds), so its text depends on what is asked, not on the time: it
is built and compiled once, and the server keeps its plan.

One statement sees one snapshot: rollup and raw rows agree, because the triggers wrote both in one transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Date,
    DateTime,
    Numeric,
    Select,
    SmallInteger,
    TableClause,
    and_,
    any_,
    bindparam,
    cast,
    column,
    func,
    literal_column,
    select,
    table,
    tuple_,
    union_all,
)
from sqlalchemy import types as sqltypes

from tailrace.errors import SchemaError
from tailrace.schema.declarations import Rollup, StoredMeasure
from tailrace.schema.sql_text import literal, render
from tailrace.schema.window import Bounds, Span, Window, cut, half_open

__all__ = ["Reading", "read", "rollup_table"]

_PIECES = ("raw_before", "hours_before", "days", "hours_after", "raw_after")


@dataclass(frozen=True, slots=True)
class Reading:
    """A statement and its parameters. The statement object is shared by all readings of the same shape."""

    statement: Select[Any]
    parameters: Mapping[str, Any]

    def bound(self) -> Select[Any]:
        """The statement with its parameters inside, for callers that take a statement only (a copy, some 0.2 ms)."""
        return self.statement.params(dict(self.parameters))


def rollup_table(rollup: Rollup) -> TableClause:
    """What holds the rollup, for statements that read it directly.

    One that is kept by differences may have several rows a key: add them up.
    """
    return _table(rollup)


@lru_cache(maxsize=1024)
def _table(rollup: Rollup) -> TableClause:
    types: dict[str, Any] = {"date": Date(), "hour": SmallInteger()}
    types |= {name: expression.type for name, expression in rollup.dimensions.items()}
    columns = [column(name, types[name]) for name in rollup.key]
    columns += [column(s.column, BigInteger() if s.sql_type == "bigint" else Numeric()) for s in rollup.stored]
    return table(rollup.name, *columns, schema=rollup.schema)


def read(
    levels: Sequence[Rollup],
    *,
    start: datetime,
    end: datetime,
    where: Mapping[str, Any] | None = None,
    group_by: Sequence[str] = (),
    measures: Sequence[str] | None = None,
    bounds: Bounds = "[)",
) -> Reading:
    """Measures of a window, exact to the microsecond.

    Args:
        levels: rollups of the same rows at different grains (by day, by hour, or one of them). A level may have
            dimensions that are not asked for.
        start: beginning of the window, with a time zone.
        end: its end.
        where: dimension -> value, None, or a list, tuple or set of values. Name the dimensions that lead the key.
        group_by: dimensions, ``date`` or ``hour``, in the order of the result's columns. Groups without rows are
            absent; with no grouping there is always one row.
        measures: which, and in which order; by default all of the first level's.
        bounds: which ends belong to the window.

    Returns:
        A statement with columns ``group_by`` then ``measures``. Read a rollup only when it is ready
        (`ready_rollups`).

    Raises:
        SchemaError: the levels do not hold the same figures, or lack what is asked for.
        ValueError: times without a zone.
    """
    chosen = tuple(measures) if measures is not None else tuple(levels[0].measures)
    values = dict(where or {})
    shape = tuple((name, _shape(value)) for name, value in sorted(values.items()))
    usable, statement = _statement(tuple(levels), shape, tuple(group_by), chosen)
    window = cut(half_open(start, end, bounds), {level.grain for level in usable}, usable[0].time_zone)
    parameters = _window_parameters(window, usable)
    parameters |= {f"where_{n}": _plain(values[name]) for n, (name, kind) in enumerate(shape) if kind != "null"}
    return Reading(statement, parameters)


def _shape(value: Any) -> str:
    if value is None:
        return "null"
    return "many" if isinstance(value, list | tuple | set | frozenset) else "one"


def _plain(value: Any) -> Any:
    return list(value) if _shape(value) == "many" else value


def _window_parameters(window: Window, levels: Iterable[Rollup]) -> dict[str, Any]:
    first = next(iter(levels))
    grains = {level.grain for level in levels}
    zone = ZoneInfo(first.time_zone)
    aware = _aware(first)
    found: dict[str, Any] = {}
    for name, span in zip(_PIECES, window.spans, strict=True):
        if name.startswith("raw"):
            found |= {f"{name}_start": _moment(span.start, zone, aware), f"{name}_end": _moment(span.end, zone, aware)}
        elif name == "days" and "day" in grains:
            found |= {"days_start": span.start.astimezone(zone).date(), "days_end": span.end.astimezone(zone).date()}
            if not span:
                found["days_end"] = found["days_start"]
        elif name.startswith("hours") and "hour" in grains and (name == "hours_before" or "day" in grains):
            found |= _hours(name, span)
    return found


def _hours(name: str, span: Span) -> dict[str, Any]:
    # An empty span may lie between two full hours: its ends are made equal so that nothing matches.
    last = span.end if span else span.start
    return {
        f"{name}_start_date": span.start.date(),
        f"{name}_start_hour": span.start.hour,
        f"{name}_end_date": last.date(),
        f"{name}_end_hour": last.hour,
    }


def _aware(rollup: Rollup) -> bool:
    return isinstance(rollup.time.type, sqltypes.DateTime) and rollup.time.type.timezone


def _moment(moment: datetime, zone: ZoneInfo, aware: bool) -> datetime:
    return moment if aware else moment.astimezone(zone).replace(tzinfo=None)


@lru_cache(maxsize=1024)
def _statement(
    levels: tuple[Rollup, ...], shape: tuple[tuple[str, str], ...], group_by: tuple[str, ...], measures: tuple[str, ...]
) -> tuple[tuple[Rollup, ...], Select[Any]]:
    _refuse_unlike(levels, measures)
    usable = tuple(level for level in levels if "hour" not in group_by or level.grain == "hour")
    by_grain = {level.grain: level for level in usable}
    if not usable or len(by_grain) != len(usable):
        raise SchemaError(f"{', '.join(level.name for level in levels)}: one rollup a grain, and one by hour for hours")
    for level in usable:
        missing = {*(name for name, _ in shape), *group_by} - {*level.dimensions, "date", "hour"}
        if missing:
            raise SchemaError(f"rollup {level.name} has no {', '.join(sorted(missing))}")
    raw = by_grain.get("hour", usable[0])
    parts = [_raw_piece(raw, name, shape, group_by, measures) for name in ("raw_before", "raw_after")]
    if "day" in by_grain:
        parts.append(_day_piece(by_grain["day"], shape, group_by, measures))
    if "hour" in by_grain:
        names = ("hours_before", "hours_after") if "day" in by_grain else ("hours_before",)
        parts += [_hour_piece(by_grain["hour"], name, shape, group_by, measures) for name in names]
    return usable, _sum_up(raw, union_all(*parts).subquery("pieces"), group_by, measures)


def _refuse_unlike(levels: tuple[Rollup, ...], measures: tuple[str, ...]) -> None:
    first = levels[0]
    for level in levels:
        unknown = [name for name in measures if name not in level.measures]
        if unknown:
            raise SchemaError(f"rollup {level.name} has no measure {', '.join(unknown)}")
        if _meaning(level, measures) != _meaning(first, measures):
            raise SchemaError(f"rollups {first.name} and {level.name} do not hold the same figures")


def _meaning(rollup: Rollup, measures: tuple[str, ...]) -> tuple[Any, ...]:
    def text(part: Any) -> str | None:
        return None if part is None else render(part)

    figures = [(rollup.measures[m].kind, text(rollup.measures[m].of), text(rollup.measures[m].where)) for m in measures]
    return (rollup.source, rollup.parent_link, text(rollup.where), text(rollup.time), rollup.time_zone, figures)


def _columns(rollup: Rollup, measures: tuple[str, ...]) -> list[str]:
    """Stored columns that ``measures`` need, and the one that counts rows."""
    wanted = [s.column for s in rollup.stored if any(s.column in _stored_of(rollup, m) for m in measures)]
    return list(dict.fromkeys([*wanted, rollup.row_count]))


def _stored_of(rollup: Rollup, measure: str) -> tuple[str, ...]:
    return (f"{measure}_sum", f"{measure}_count") if rollup.measures[measure].kind == "avg" else (measure,)


def _labels(rollup: Rollup, measures: tuple[str, ...]) -> dict[str, str]:
    """Stored column -> its label within the union, the same at every level."""
    return {name: "rows_behind" if name == rollup.row_count else f"m_{name}" for name in _columns(rollup, measures)}


def _rollup_piece(
    rollup: Rollup,
    range_: ColumnElement[bool],
    shape: tuple[tuple[str, str], ...],
    group_by: tuple[str, ...],
    measures: tuple[str, ...],
) -> Select[Any]:
    own = _table(rollup)
    groups = [own.c[name].label(f"g_{name}") for name in group_by]
    sums = [func.coalesce(func.sum(own.c[name]), 0).label(label) for name, label in _labels(rollup, measures).items()]
    conditions = [_matches(own.c[name], n, kind) for n, (name, kind) in enumerate(shape)]
    return select(*groups, *sums).where(*conditions, range_).group_by(*_positions(group_by))


def _day_piece(rollup: Rollup, shape: Any, group_by: Any, measures: Any) -> Select[Any]:
    day = _table(rollup).c.date
    range_ = and_(day >= bindparam("days_start", type_=Date()), day < bindparam("days_end", type_=Date()))
    return _rollup_piece(rollup, range_, shape, group_by, measures)


def _hour_piece(rollup: Rollup, name: str, shape: Any, group_by: Any, measures: Any) -> Select[Any]:
    own = _table(rollup)
    ends = [
        tuple_(bindparam(f"{name}_{end}_date", type_=Date()), bindparam(f"{name}_{end}_hour", type_=SmallInteger()))
        for end in ("start", "end")
    ]
    moment = tuple_(own.c.date, own.c.hour)
    return _rollup_piece(rollup, and_(moment >= ends[0], moment < ends[1]), shape, group_by, measures)


def _raw_piece(
    rollup: Rollup, name: str, shape: Any, group_by: tuple[str, ...], measures: tuple[str, ...]
) -> Select[Any]:
    expressions = _raw_expressions(rollup)
    kind = DateTime(timezone=_aware(rollup))
    conditions = [
        rollup.time >= bindparam(f"{name}_start", type_=kind),
        rollup.time < bindparam(f"{name}_end", type_=kind),
        *(_matches(expressions[dimension], n, how) for n, (dimension, how) in enumerate(shape)),
    ]
    if rollup.where is not None:
        conditions.append(rollup.where)
    groups = [expressions[g].label(f"g_{g}") for g in group_by]
    stored = {s.column: s for s in rollup.stored}
    sums = [_raw_sum(stored[column_name]).label(label) for column_name, label in _labels(rollup, measures).items()]
    statement = select(*groups, *sums).select_from(rollup.source)
    if rollup.parent_link is not None:
        link = rollup.parent_link
        on = rollup.source.c[link.column] == link.parent.c[link.parent_column]
        statement = select(*groups, *sums).select_from(rollup.source.join(link.parent, on))
    return statement.where(*conditions).group_by(*_positions(group_by))


def _raw_expressions(rollup: Rollup) -> dict[str, ColumnElement[Any]]:
    local = func.timezone(literal_column(literal(rollup.time_zone)), rollup.time) if _aware(rollup) else rollup.time
    found: dict[str, ColumnElement[Any]] = dict(rollup.dimensions)
    found["date"] = cast(local, Date())
    found["hour"] = cast(func.date_part("hour", local), SmallInteger())
    return found


def _raw_sum(stored: StoredMeasure) -> ColumnElement[Any]:
    figure: Any
    if stored.value is None:
        figure = func.count()
    else:
        figure = func.count(stored.value) if stored.counts else func.sum(stored.value)
    filtered = figure if stored.where is None else figure.filter(stored.where)
    return func.coalesce(filtered, 0)


def _matches(expression: ColumnElement[Any], number: int, kind: str) -> ColumnElement[bool]:
    if kind == "null":
        return expression.is_(None)
    if kind == "many":
        return expression == any_(bindparam(f"where_{number}", type_=ARRAY(expression.type)))
    return expression == bindparam(f"where_{number}", type_=expression.type)


def _positions(group_by: tuple[str, ...]) -> list[ColumnElement[Any]]:
    # By position: an expression with parameters, written twice, would be two different expressions to the server.
    return [literal_column(str(n)) for n in range(1, len(group_by) + 1)]


def _sum_up(rollup: Rollup, pieces: Any, group_by: tuple[str, ...], measures: tuple[str, ...]) -> Select[Any]:
    labels = _labels(rollup, measures)
    whole = {s.column: s.sql_type == "bigint" for s in rollup.stored}

    def total(name: str) -> ColumnElement[Any]:
        added = func.coalesce(func.sum(pieces.c[labels[name]]), 0)
        return cast(added, BigInteger()) if whole[name] else cast(added, Numeric())

    figures: list[ColumnElement[Any]] = []
    for measure in measures:
        if rollup.measures[measure].kind == "avg":
            mean = cast(total(f"{measure}_sum"), Numeric()) / func.nullif(total(f"{measure}_count"), 0)
            figures.append(mean.label(measure))
        else:
            figures.append(total(measure).label(measure))
    groups = [pieces.c[f"g_{name}"].label(name) for name in group_by]
    statement = select(*groups, *figures)
    if group_by:
        statement = statement.group_by(*_positions(group_by)).having(func.sum(pieces.c.rows_behind) != 0)
    return statement
