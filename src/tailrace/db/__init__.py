"""The database: engine and pool by settings, sessions whose commits show at once, freshness, folding, pages."""

from tailrace.db.database import Database
from tailrace.db.folding import Folder
from tailrace.db.freshness import DatabaseFreshness
from tailrace.db.group_commit import GroupedWrite, given
from tailrace.db.keyset import Order, Term
from tailrace.db.order_check import check_order
from tailrace.db.pages import Page, PageRequest, Pages
from tailrace.db.query_cache import QueryCache, QueryPolicy, cached_query
from tailrace.db.relay_process import relaying
from tailrace.db.totals import Total

__all__ = [
    "Database",
    "DatabaseFreshness",
    "Folder",
    "GroupedWrite",
    "Order",
    "Page",
    "PageRequest",
    "Pages",
    "QueryCache",
    "QueryPolicy",
    "Term",
    "Total",
    "cached_query",
    "check_order",
    "given",
    "relaying",
]
