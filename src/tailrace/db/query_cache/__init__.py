"""The query-result cache: results of SQLAlchemy statements, kept until a table they read is written."""

from tailrace.db.query_cache.policy import QueryPolicy, cached_query
from tailrace.db.query_cache.query_cache import QueryCache
from tailrace.db.query_cache.refusal import REASONS

__all__ = ["REASONS", "QueryCache", "QueryPolicy", "cached_query"]
