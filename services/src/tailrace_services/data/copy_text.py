"""Values as they stand in a line of PostgreSQL's text COPY format. Pure.

Generated text has no backslashes, tabs or line ends, so it needs no escaping; what has is escaped by :func:`escaped`.

**Source:** PostgreSQL documentation, COPY, "Text Format".
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

__all__ = ["NULL", "array_literal", "escaped", "moment"]

NULL = "\\N"


def escaped(text: str) -> str:
    """``text`` as it stands in a line.

    >>> escaped("one\\ntwo")
    'one\\\\ntwo'
    """
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")


def array_literal(texts: Iterable[str]) -> str:
    """A ``text[]`` whose members have neither quotes nor backslashes.

    >>> array_literal(["a b", "c"])
    '{"a b","c"}'
    """
    return "{" + ",".join(f'"{text}"' for text in texts) + "}"


def moment(seconds: int) -> str:
    """A UTC moment, from seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()
