"""all-MiniLM-L6-v2 in this process: texts to unit vectors. Touches: the processor, and memory of its own (60 MB).

Blocking: ``Embedder`` runs it in threads.

**Source:** the published model, sentence-transformers/all-MiniLM-L6-v2; its first 256 tokens count.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tailrace.extras import require
from tailrace.semantic.minilm_graph import IDS, MASK, VECTOR, integer_product, minilm_graph
from tailrace.semantic.weights import EXTRA, read_weights

__all__ = ["MiniLm"]

MAX_TOKENS = 256
"""What comes later in a text is not read."""


class MiniLm:
    """The model, loaded.

    Args:
        threads: of one inference. One is best where other work is done at the same time.
        path: the file of its weights; by default the installed package's.
        integers: multiply integers; by default where this processor does so exactly.

    Attributes:
        name: names what the vectors may be compared with: vectors of another name are of another kind.

    Raises:
        MissingExtraError, SettingsError: as ``read_weights``.

    Cost: 0.5 s once.
    """

    def __init__(self, *, threads: int = 1, path: Path | None = None, integers: bool | None = None) -> None:
        self.integers = _multiplies_exactly() if integers is None else integers
        self.name = "all-MiniLM-L6-v2"
        self._session = _session(minilm_graph(read_weights(path), integers=self.integers), threads)
        self._tokenizer = _tokenizer()

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Unit vectors, ``(texts, 384)``. A text's own does not depend on the others.

        Cost: 3-4 ms for a question, some 9 ms for 64 tokens; what is embedded together takes the time of its longest.
        """
        # UTF-8 has no lone surrogates, which the tokenizer refuses.
        clean = [text.encode("utf-8", "replace").decode() for text in texts]
        encoded = [encoding.ids for encoding in self._tokenizer.encode_batch(clean)]
        longest = max(map(len, encoded))
        ids = np.zeros((len(texts), longest), np.int64)
        mask = np.zeros_like(ids)
        for row, tokens in enumerate(encoded):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        (vectors,) = self._session.run([VECTOR], {IDS: ids, MASK: mask})
        return np.asarray(vectors, np.float32)


def _tokenizer() -> Any:
    """BERT's uncased WordPiece."""
    tokenizers = require("tokenizers", EXTRA)
    words = files("tailrace.semantic").joinpath("vocabulary.txt").read_text(encoding="utf-8").split("\n")
    vocabulary = {word: number for number, word in enumerate(words) if word}
    made = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]"))  # noqa: S106
    made.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    ends = [(word, vocabulary[word]) for word in ("[CLS]", "[SEP]")]
    made.post_processor = tokenizers.processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    made.enable_truncation(MAX_TOKENS)
    return made


def _session(model: bytes, threads: int) -> Any:
    runtime = require("onnxruntime", EXTRA)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _multiplies_exactly() -> bool:
    """Whether sums of products of 8-bit integers are right here: older processors cut them off at 16 bits."""
    left = np.full((1, 64), 255, np.uint8)
    right = np.full((64, 16), 127, np.int8)
    unused = np.zeros((1, 1), np.int64)
    (product,) = _session(integer_product(left, right), 1).run([VECTOR], {IDS: unused, MASK: unused})
    return bool((product == (left.astype(np.int32) - 128) @ right.astype(np.int32)).all())
