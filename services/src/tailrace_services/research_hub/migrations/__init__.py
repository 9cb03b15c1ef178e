"""Bring the Research Hub's own tables to a revision. Touches: the database, through :mod:`...data.migrations`."""

from __future__ import annotations

from tailrace_services.data.migrations import Migrations
from tailrace_services.research_hub.model import Base

__all__ = ["MIGRATIONS", "differences", "migrate", "revert"]

MIGRATIONS = Migrations("research_hub", Base.metadata)

migrate = MIGRATIONS.migrate
revert = MIGRATIONS.revert
differences = MIGRATIONS.differences
