"""Bring the Voice Dashboard's own tables to a revision. Touches: the database, through :mod:`...data.migrations`."""

from __future__ import annotations

from tailrace_services.data.migrations import Migrations
from tailrace_services.voice_dashboard.model import Base

__all__ = ["differences", "migrate", "revert"]

_MIGRATIONS = Migrations("tailrace_services.voice_dashboard", Base.metadata, lock=0x7461696C766D6967)

migrate = _MIGRATIONS.migrate
revert = _MIGRATIONS.revert
differences = _MIGRATIONS.differences
