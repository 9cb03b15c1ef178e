"""The service on Tailrace: one statement for an answer, kept until something that it shows is written."""

from __future__ import annotations

from tailrace_services.trading_desk.optimised.objects import objects

__all__ = ["objects"]
