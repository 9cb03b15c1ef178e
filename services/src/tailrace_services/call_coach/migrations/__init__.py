"""Bring the Call Coach's own tables to a revision. Touches: the database, through :mod:`...data.migrations`."""

from __future__ import annotations

from tailrace_services.call_coach.model import Base
from tailrace_services.data.migrations import Migrations

__all__ = ["differences", "migrate", "revert"]

_MIGRATIONS = Migrations("tailrace_services.call_coach", Base.metadata, lock=0x7461696C63616C6C)

migrate = _MIGRATIONS.migrate
revert = _MIGRATIONS.revert
differences = _MIGRATIONS.differences
