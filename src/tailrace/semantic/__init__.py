"""Answers by meaning: vectors of texts, made in this process without downloads.

- `Embedder`: texts to unit vectors, beside the event loop.
- `MiniLm`: the model it runs by default, all-MiniLM-L6-v2.

Names are imported when first used; what they need is installed by the extra ``semantic``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tailrace.semantic.embedder import Embedder as Embedder
    from tailrace.semantic.embedder import Model as Model
    from tailrace.semantic.embedder import Vector as Vector
    from tailrace.semantic.minilm import MiniLm as MiniLm

_HOME = {
    "Embedder": "embedder",
    "MiniLm": "minilm",
    "Model": "embedder",
    "Vector": "embedder",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
