"""Generated data: the same seed, scale and anchor give the same rows, at any of three scales or one of your own."""

from __future__ import annotations

from tailrace_services.voice_dashboard.generator.load import GENERATION, VoiceDashboardDataset
from tailrace_services.voice_dashboard.generator.scale import SCALES, Scale

__all__ = ["GENERATION", "SCALES", "Scale", "VoiceDashboardDataset", "generate"]

generate = GENERATION.generate
