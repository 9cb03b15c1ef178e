"""Generated data: the same seed, scale and anchor give the same rows, at any of three scales or one of your own."""

from __future__ import annotations

from tailrace_services.call_coach.generator.load import GENERATION, CallCoachDataset
from tailrace_services.call_coach.generator.scale import SCALES, Scale

__all__ = ["GENERATION", "SCALES", "CallCoachDataset", "Scale", "generate"]

generate = GENERATION.generate
