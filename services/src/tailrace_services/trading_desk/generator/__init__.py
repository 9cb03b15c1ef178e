"""Generated data: the same seed, scale and anchor give the same rows, at any of three scales or one of your own."""

from __future__ import annotations

from tailrace_services.trading_desk.generator.load import GENERATION, TradingDeskDataset
from tailrace_services.trading_desk.generator.scale import SCALES, Scale

__all__ = ["GENERATION", "SCALES", "Scale", "TradingDeskDataset", "generate"]

generate = GENERATION.generate
