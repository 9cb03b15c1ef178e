"""What a row of the bank's campaign means as a call, and what is not such a row."""

from __future__ import annotations

import contextlib
import csv
import io
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace_services.voice_dashboard.importer.campaign import (
    COLUMNS,
    Calendar,
    CampaignCall,
    RowError,
    parse_header,
    parse_row,
)

GOOD = {
    "age": "58", "job": "management", "marital": "married", "education": "tertiary", "default": "no", "balance": "2143",
    "housing": "yes", "loan": "no", "contact": "unknown", "day": "5", "month": "may", "duration": "261",
    "campaign": "1", "pdays": "-1", "previous": "0", "poutcome": "unknown", "y": "no",
}  # fmt: skip


def row(**changes: object) -> str:
    """A line of the file: a good one but for ``changes``."""
    text = io.StringIO()
    values = {**GOOD, **{name: str(value) for name, value in changes.items()}}
    csv.writer(text, delimiter=";", lineterminator="").writerow(values[name] for name in COLUMNS)
    return text.getvalue()


def test_the_first_published_row() -> None:
    """The first row of the published file, worked out by hand: 261 s are 4.35 minutes and 43.50 credits."""
    line = '58;"management";"married";"tertiary";"no";2143;"yes";"no";"unknown";5;"may";261;1;-1;0;"unknown";"no"'
    assert parse_row(line, Calendar()) == CampaignCall(
        segment="management",
        status="completed",
        thousandths=4350,
        cents=4350,
        created_at=datetime(2008, 5, 5, 9, tzinfo=UTC),
        score=20 + 261 // 20,
    )


@pytest.mark.parametrize(
    ("changes", "status", "thousandths", "cents", "score"),
    [
        ({"duration": 0}, "no_answer", 0, 0, None),
        ({"duration": 9}, "failed", 150, 0, None),
        ({"duration": 10}, "completed", 167, 167, None),
        ({"duration": 59}, "completed", 983, 983, None),
        ({"duration": 60}, "completed", 1000, 1000, 23),
        ({"duration": 4918}, "completed", 81967, 81967, 50),
        ({"duration": 4918, "poutcome": "success"}, "completed", 81967, 81967, 65),
        ({"duration": 100, "poutcome": "other"}, "completed", 1667, 1667, 30),
        ({"duration": 5, "y": "yes"}, "completed", 83, 83, 70),
        ({"duration": 300, "y": "yes"}, "completed", 5000, 5000, 80),
        ({"duration": 4918, "y": "yes"}, "completed", 81967, 81967, 100),
    ],
)
def test_the_rule(changes: dict[str, object], status: str, thousandths: int, cents: int, score: int | None) -> None:
    """Durations, statuses, credits and scores follow the documented rule at each of its bounds."""
    call = parse_row(row(**changes), Calendar())
    assert (call.status, call.thousandths, call.cents, call.score) == (status, thousandths, cents, score)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "empty"),
        (row() + ";1", "18 columns"),
        (row().rpartition(";")[0], "16 columns"),
        (row(duration="-5"), "duration is '-5'"),
        (row(duration="4.5"), "duration is '4.5'"),
        (row(duration="٣"), "duration is '٣'"),
        (row(duration=86_401), "not between"),
        (row(duration="9" * 5000), "duration is"),
        (row(day=0), "day is 0"),
        (row(day=31, month="feb"), "out of order"),
        (row(day=31, month="jun"), "there is no 31 jun 2008"),
        (row(month="May"), "month is 'May'"),
        (row(job="\x1b[2Jpilot"), r"job is '\\x1b\[2Jpilot'"),
        (row(y="maybe"), "y is 'maybe'"),
        (row(poutcome=""), "poutcome is ''"),
        ('58;"unclosed', "not readable as CSV"),
    ],
)
def test_bad_rows_say_why_and_leave_the_calendar(line: str, reason: str) -> None:
    """A bad row is refused with its reason, safe to print, and the rows after it keep their dates."""
    calendar = Calendar()
    parse_row(row(), calendar)
    with pytest.raises(RowError, match=reason) as caught:
        parse_row(line, calendar)
    assert len(str(caught.value)) < 250
    assert str(caught.value).isprintable()
    assert parse_row(row(), calendar).created_at == datetime(2008, 5, 5, 9, 0, 10, tzinfo=UTC)


def test_a_slip_in_one_month_does_not_move_the_rows_after_it() -> None:
    """One row with a month ahead keeps that date; those after it go on where the others were, across years too."""
    calendar = Calendar()
    months = [5, 5, 7, 5, 6, 6, 8, 10, 11, 11, 1, 12, 12, 1, 1]
    dates = [calendar.place(1, month) for month in months]
    assert [(moment.year, moment.month) for moment in dates] == [
        (2009 if position in (10, 13, 14) else 2008, month) for position, month in enumerate(months)
    ]


def test_rows_far_back_are_out_of_order() -> None:
    """Once two rows agree on a month, an earlier one is refused."""
    calendar = Calendar()
    for month in (5, 7, 7):
        calendar.place(1, month)
    with pytest.raises(RowError, match="'may' after 'jul'"):
        calendar.place(1, 5)


def test_a_day_holds_so_many_calls() -> None:
    """Calls of one day stay on that day; one more than fits is refused."""
    calendar = Calendar()
    last = [calendar.place(5, 5) for _ in range(5400)][-1]
    assert last == datetime(2008, 5, 5, 23, 59, 50, tzinfo=UTC)
    with pytest.raises(RowError, match="more than 5400"):
        calendar.place(5, 5)


def test_header() -> None:
    """Only the published columns in their order are the campaign's; the ``bank-additional`` files are another."""
    assert parse_header(";".join(f'"{name}"' for name in COLUMNS))
    assert not parse_header(",".join(COLUMNS))
    assert not parse_header(";".join(COLUMNS[1:]))
    assert not parse_header("")


@given(st.text(max_size=200))
def test_any_text_is_a_call_or_a_row_error(line: str) -> None:
    """Whatever a line holds, nothing but a call or a :class:`RowError` comes out."""
    with contextlib.suppress(RowError):
        assert parse_row(line, Calendar()).created_at.year == 2008


@given(st.dictionaries(st.sampled_from(COLUMNS), st.text(max_size=20) | st.integers().map(str)))
def test_any_values_are_a_call_or_a_row_error(changes: dict[str, str]) -> None:
    """Right number of columns, any values: a call within the tables' bounds or a :class:`RowError`."""
    try:
        call = parse_row(row(**changes), Calendar())
    except RowError:
        return
    assert call.thousandths >= call.cents >= 0
    assert call.score is None or 0 <= call.score <= 100
