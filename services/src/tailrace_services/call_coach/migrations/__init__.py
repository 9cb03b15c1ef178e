"""Bring the Call Coach's own tables to a revision. Touches: the database, through :mod:`...data.migrations`."""

from __future__ import annotations

from tailrace_services.call_coach.model import Base
from tailrace_services.data.migrations import Migrations

__all__ = ["MIGRATIONS", "differences", "migrate", "revert"]

MIGRATIONS = Migrations("call_coach", Base.metadata)

migrate = MIGRATIONS.migrate
revert = MIGRATIONS.revert
differences = MIGRATIONS.differences
