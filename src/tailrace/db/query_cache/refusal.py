"""Why a statement's result is not cached. Pure."""

from __future__ import annotations

__all__ = ["REASONS", "NotCachedError"]

REASONS = {
    "catalogue": "what the database holds could not be read just now",
    "damaged": "what was kept cannot be read: another version kept it, or it has changed since",
    "different": "an audit found a result of this statement that the database does not give",
    "freshness": "nothing tells this process of writes",
    "function": "it calls a function whose result may follow from more than its arguments and declared tables",
    "identity": "row security or a setting tells callers apart, and nobody said whose result it is",
    "locks": "it locks rows",
    "relation": "it reads a relation whose changes cannot be noticed",
    "settings": "the session has changed settings in a way that cannot be told",
    "snapshot": "its transaction may read an older snapshot than others",
    "syntax": "it cannot be parsed",
    "time": "its result changes with time alone",
    "transaction": "its transaction has written, or may have",
    "types": "a value has a type that cannot be stored",
    "unwatched": "it reads a table without a watch",
    "writes": "it is no SELECT",
}
"""Every reason, for people."""


class NotCachedError(Exception):
    """The statement runs as if there were no cache.

    Args:
        reason: one of ``REASONS``.
        detail: about this statement; names from the database, no values.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(detail or REASONS[reason])
        self.reason = reason
