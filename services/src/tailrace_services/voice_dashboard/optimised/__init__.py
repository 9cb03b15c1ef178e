"""The service on Tailrace: the same answers from summary tables, indexes and a cache that follows every write.

Each query stands beside the rollups and indexes that make it fast; :func:`objects` lists them for ``plan`` and
``apply``.
"""

from __future__ import annotations

from tailrace_services.voice_dashboard.optimised.rollups import objects

__all__ = ["objects"]
