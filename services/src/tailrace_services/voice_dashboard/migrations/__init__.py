"""Bring the Voice Dashboard's own tables to a revision. Touches: the database, through :mod:`...data.migrations`."""

from __future__ import annotations

from tailrace_services.data.migrations import Migrations
from tailrace_services.voice_dashboard.model import Base

__all__ = ["MIGRATIONS", "differences", "migrate", "revert"]

MIGRATIONS = Migrations("voice_dashboard", Base.metadata)

migrate = MIGRATIONS.migrate
revert = MIGRATIONS.revert
differences = MIGRATIONS.differences
