"""Answers kept and never stale: read-through, single flight, tags and stamps, early refresh, warming."""

from tailrace.cache.explain import Explanation
from tailrace.cache.keyspace import Freshness
from tailrace.cache.policy import Answer, CachePolicy, Computed, Uncacheable
from tailrace.cache.read_as import read_as
from tailrace.cache.read_through import Cache, Compute
from tailrace.cache.singleflight import SingleFlight
from tailrace.cache.warm import Recipe
from tailrace.core.freshness import tag

__all__ = [
    "Answer",
    "Cache",
    "CachePolicy",
    "Compute",
    "Computed",
    "Explanation",
    "Freshness",
    "Recipe",
    "SingleFlight",
    "Uncacheable",
    "read_as",
    "tag",
]
