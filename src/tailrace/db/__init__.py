"""The database: engine and pool by settings, sessions whose commits show at once, freshness of what is cached."""

from tailrace.db.database import Database
from tailrace.db.freshness import DatabaseFreshness

__all__ = ["Database", "DatabaseFreshness"]
