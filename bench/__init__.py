"""Measurements of parts, side by side in one run. Each module here has ``main()`` and is run by ``python -m bench``."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Measurement"]


@dataclass(frozen=True, slots=True)
class Measurement:
    """One figure. ``ratio_to_bare``: times the same without what is measured; None where there is no such thing."""

    group: str
    name: str
    metric: str
    value: float
    unit: str
    ratio_to_bare: float | None = None
