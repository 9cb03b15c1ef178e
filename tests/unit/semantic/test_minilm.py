"""The model that runs is the published one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tailrace.errors import SettingsError
from tailrace.semantic import MiniLm
from tailrace.semantic.weights import read_weights

# Cosines that the published model (float32, sentence-transformers/all-MiniLM-L6-v2) gives, computed from its own
# weights with NumPy in float32, without ONNX.
PUBLISHED = [
    ("How do I cancel my subscription?", "Don't cancel my subscription", 0.9076),
    ("A man is playing a guitar.", "Someone plays an instrument.", 0.6674),
    ("A plane is taking off.", "An air plane is taking off.", 0.9393),
    ("The cat sits outside", "The dog plays in the garden", 0.2838),
    ("café naïve 中文 😀", "cafe naive", 0.6032),
    ("interest rates rise " * 100, "interest rates rise", 0.5810),
]
EXACT = 0.007
"""What rounding the weights to 8 bits moves a similarity by, at most, in 120 pairs."""
ROUNDED = 0.02
"""What rounding the tokens' vectors as well moves it by."""


@pytest.fixture(scope="module")
def model() -> MiniLm:
    return MiniLm()


@pytest.mark.parametrize(("integers", "tolerance"), [(False, EXACT), (True, ROUNDED)])
def test_similarities_are_the_published_models(integers: bool, tolerance: float) -> None:
    """Whatever the way of multiplying, two texts are as similar as the published model says."""
    made = MiniLm(integers=integers)
    found = [float(a @ b) for left, right, _ in PUBLISHED for a, b in [made.embed([left, right])]]
    assert found == pytest.approx([cosine for *_, cosine in PUBLISHED], abs=tolerance)


def test_a_text_stands_for_itself(model: MiniLm) -> None:
    """The vector of a text is the same bit for bit or nearly, whatever is embedded beside it, and has length 1."""
    texts = ["one", "what is the capital of France?", "a much longer text " * 40, ""]
    together = model.embed(texts)
    assert together.shape == (4, 384)
    assert np.linalg.norm(together, axis=1) == pytest.approx(1)
    assert together == pytest.approx(np.vstack([model.embed([text]) for text in texts]), abs=1e-5)


def test_any_text_has_a_vector(model: MiniLm) -> None:
    """Lone surrogates, control characters, nothing at all and a novel are texts too."""
    assert np.isfinite(model.embed(["\ud800", "\0\x07", " ", "\u202e", "word " * 20_000])).all()


def test_another_file_is_refused(tmp_path: Path) -> None:
    """Weights that are not the ones that are meant would give other vectors, and no index would say so."""
    other = tmp_path / "model.onnx"
    other.write_bytes(b"other")
    with pytest.raises(SettingsError, match=r"model\.onnx is not the model that is meant"):
        read_weights(other)
