"""What a result follows from besides statement and tables: who asks, and under which settings. Touches: a connection.

Asking costs a round trip, so a connection on which nobody has changed anything is taken to be as the last one was that
was asked. Whatever is stored was read on a connection that was asked then.
"""

# ruff: noqa: S608 - a statement is put together from constants

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

__all__ = ["ASK", "Standing"]

SETTINGS = (
    *("TimeZone", "DateStyle", "IntervalStyle", "bytea_output", "extra_float_digits", "xmlbinary", "xmloption"),
    *("lc_numeric", "lc_monetary", "lc_time", "default_text_search_config", "row_security", "array_nulls"),
    *("quote_all_identifiers", "backslash_quote", "standard_conforming_strings", "transform_null_equals"),
)
ASK = f"""
    SELECT current_user::text, session_user::text, current_schemas(true)::text[],
           ARRAY[{", ".join(f"current_setting('{name}', true)" for name in SETTINGS)}]::text[],
           current_setting('transaction_isolation') IN ('read committed', 'read uncommitted'),
           pg_current_xact_id_if_assigned() IS NULL,
           NOT pg_is_in_recovery(),
           pg_my_temp_schema() = 0
               OR NOT EXISTS (SELECT FROM pg_catalog.pg_class WHERE relnamespace = pg_my_temp_schema())
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a connection stands.

    Attributes:
        digest: of the role, the search path and every setting that changes what a statement gives.
        path: schemas in which a name is looked for, in order.
        newest: each statement sees what has been committed when it begins.
        unwritten: its transaction has written nothing yet.
        primary: it is no replica.
        bare: it has no temporary tables, which would stand before others of the same name.
    """

    digest: bytes
    path: tuple[str, ...]
    newest: bool
    unwritten: bool
    primary: bool
    bare: bool

    @property
    def problem(self) -> str | None:
        """Why nothing read here may be stored; None when it may."""
        if not self.unwritten:
            return "transaction"
        if not (self.newest and self.primary):
            return "snapshot"
        return None if self.bare else "settings"

    @classmethod
    def of(cls, row: Sequence[Any]) -> Standing:
        """From what ``ASK`` gave."""
        user, session_user, path, settings, newest, unwritten, primary, bare = row
        told = repr((user, session_user, path, settings)).encode()
        return cls(blake2b(told, digest_size=12).digest(), tuple(path), newest, unwritten, primary, bare)
