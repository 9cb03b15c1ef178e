"""Generated data: the same seed, scale and anchor give the same rows, at any of three scales or one of your own."""

from __future__ import annotations

from tailrace_services.research_hub.generator.load import GENERATION, ResearchHubDataset
from tailrace_services.research_hub.generator.scale import SCALES, Scale

__all__ = ["GENERATION", "SCALES", "ResearchHubDataset", "Scale", "generate"]

generate = GENERATION.generate
