"""Rows as PostgreSQL's binary COPY format, built by numpy a whole array at a time. Pure.

A row's fields have fixed widths except the last, a text out of a small set: rows are laid out with room for the
longest text and the bytes that a row does not use are squeezed out with a mask. About 60 ns a row, against 2 us for a
loop over Python values.

**Source:** PostgreSQL documentation, COPY, "Binary Format"; ``numeric.c`` for the digits in base 10000.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["HEADER", "POSTGRES_EPOCH_US", "TRAILER", "call_rows", "lead_rows"]

HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
"""Signature, flags and the length of an empty header extension."""

TRAILER = b"\xff\xff"
"""A field count of -1 ends the data."""

POSTGRES_EPOCH_US = 946_684_800_000_000
"""2000-01-01 UTC, from which PostgreSQL counts, in microseconds since 1970."""

_NUMERIC_BYTES = 12
"""Of a numeric with two base-10000 digits: count, weight, sign, scale, integer part, fraction."""


def _numeric(name: str) -> list[tuple[str, str]]:
    parts = ("ndigits", "weight", "sign", "dscale", "whole", "fraction")
    return [(f"{name}_length", ">i4"), *((f"{name}_{part}", ">i2") for part in parts)]


_CALL = np.dtype(
    [
        ("fields", ">i2"),
        *[(f"{column}{part}", kind) for column in ("id", "user_id", "agent_id", "created_at")
          for part, kind in (("_length", ">i4"), ("", ">i8"))],
        *_numeric("duration_minutes"),
        *_numeric("credits_used"),
        ("status_length", ">i4"),
    ]
)  # fmt: skip
_LEAD = np.dtype(
    [
        ("fields", ">i2"),
        ("id_length", ">i4"),
        ("id", ">i8"),
        ("call_id_length", ">i4"),
        ("call_id", ">i8"),
        ("created_at_length", ">i4"),
        ("created_at", ">i8"),
        ("total_score_length", ">i4"),
        ("total_score", ">i2"),
    ]
)


def call_rows(
    *,
    ids: NDArray[np.int64],
    user_ids: NDArray[np.int64],
    agent_ids: NDArray[np.int64],
    created_at: NDArray[np.int64],
    thousandths: NDArray[np.int64],
    cents: NDArray[np.int64],
    status: NDArray[np.int64],
    statuses: Sequence[str],
) -> bytes:
    """Rows of ``calls``: id, user_id, agent_id, created_at, duration_minutes, credits_used, status.

    Args:
        created_at: microseconds since 1970.
        thousandths: duration in 1/1000 minutes, below 10,000 minutes.
        cents: credits in 1/100, below 10,000 credits.
        status: position in ``statuses``.
    """
    rows = np.zeros(ids.size, _CALL)
    rows["fields"] = 7
    for column, values in (("id", ids), ("user_id", user_ids), ("agent_id", agent_ids)):
        rows[f"{column}_length"] = 8
        rows[column] = values
    rows["created_at_length"] = 8
    rows["created_at"] = created_at - POSTGRES_EPOCH_US
    _put_numeric(rows, "duration_minutes", thousandths, 3)
    _put_numeric(rows, "credits_used", cents, 2)
    return _with_text(rows, "status_length", status, statuses)


def lead_rows(
    *, ids: NDArray[np.int64], call_ids: NDArray[np.int64], created_at: NDArray[np.int64], scores: NDArray[np.int64]
) -> bytes:
    """Rows of ``lead_analytics``: id, call_id, created_at (microseconds since 1970), total_score."""
    rows = np.zeros(ids.size, _LEAD)
    rows["fields"] = 4
    rows["id_length"] = rows["call_id_length"] = rows["created_at_length"] = 8
    rows["total_score_length"] = 2
    rows["id"] = ids
    rows["call_id"] = call_ids
    rows["created_at"] = created_at - POSTGRES_EPOCH_US
    rows["total_score"] = scores
    return rows.tobytes()


def _put_numeric(rows: NDArray[Any], name: str, units: NDArray[np.int64], scale: int) -> None:
    whole, rest = np.divmod(units, 10**scale)
    rows[f"{name}_length"] = _NUMERIC_BYTES
    rows[f"{name}_ndigits"] = 2
    rows[f"{name}_dscale"] = scale
    rows[f"{name}_whole"] = whole
    rows[f"{name}_fraction"] = rest * 10 ** (4 - scale)


def _with_text(rows: NDArray[Any], length_field: str, choice: NDArray[np.int64], texts: Sequence[str]) -> bytes:
    encoded = [text.encode() for text in texts]
    lengths = np.array([len(text) for text in encoded])
    longest, fixed = int(lengths.max()), rows.dtype.itemsize
    rows[length_field] = lengths[choice]
    padded = np.array([list(text.ljust(longest, b"\0")) for text in encoded], np.uint8)
    used = np.arange(fixed + longest) < fixed + lengths[:, None]
    wide = np.empty((rows.size, fixed + longest), np.uint8)
    wide[:, :fixed] = rows.view(np.uint8).reshape(rows.size, fixed)
    wide[:, fixed:] = padded[choice]
    return wide[used[choice]].tobytes()
