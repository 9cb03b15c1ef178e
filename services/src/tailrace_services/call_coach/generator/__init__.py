"""Generated data: the same seed, scale and anchor give the same rows, at any of three scales or one of your own."""

from __future__ import annotations

from tailrace_services.call_coach.generator.load import (
    DEFAULT_SEED,
    DatasetConflictError,
    GeneratedDataset,
    default_anchor,
    generate,
    loaded_dataset,
)
from tailrace_services.call_coach.generator.scale import SCALES, Scale

__all__ = [
    "DEFAULT_SEED",
    "SCALES",
    "DatasetConflictError",
    "GeneratedDataset",
    "Scale",
    "default_anchor",
    "generate",
    "loaded_dataset",
]
