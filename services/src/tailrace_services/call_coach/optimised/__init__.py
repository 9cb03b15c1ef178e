"""The service on Tailrace: the same answers from indexes, stored analyses and a cache that follows every write.

Each query stands beside the objects that make it fast; :func:`objects` lists them for ``plan`` and ``apply``.
"""

from __future__ import annotations

from tailrace_services.call_coach.optimised.objects import objects

__all__ = ["objects"]
