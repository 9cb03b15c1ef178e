"""Bring the Trading Desk's own tables to a revision. Touches: the database, through :mod:`...data.migrations`."""

from __future__ import annotations

from tailrace_services.data.migrations import Migrations
from tailrace_services.trading_desk.model import Base

__all__ = ["MIGRATIONS", "migrate"]

MIGRATIONS = Migrations("trading_desk", Base.metadata)

migrate = MIGRATIONS.migrate
