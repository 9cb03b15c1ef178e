"""Answers by meaning: vectors of texts, made in this process without downloads, and search by them.

- `Embedder`: texts to unit vectors, beside the event loop.
- `MiniLm`: the model it runs by default, all-MiniLM-L6-v2.
- `HybridSearch`: search by words and by meaning in a table, declared beside it.
- `Retriever`: asks it. `Evidence`: whether what it found has to do with the question.
- `embed_texts`, `embed_waiting`: give vectors to texts that have none.
- `SemanticCache`: answers kept by what was asked, in a `Scope`, rather than by how it was put.
- `StoredQuestions`: its memory in PostgreSQL, for all processes together; `prepare_questions` makes the table.
- `streamed_answer`: the same as a stream of events, kept and replayed.
- `best_sentences`: an answer made of the sources' own sentences.

Names are imported when first used; what they need is installed by the extra ``semantic``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tailrace.semantic.cache import SemanticCache as SemanticCache
    from tailrace.semantic.embedder import Embedder as Embedder
    from tailrace.semantic.embedder import Model as Model
    from tailrace.semantic.embedder import Vector as Vector
    from tailrace.semantic.embedding import EmbeddingProgress as EmbeddingProgress
    from tailrace.semantic.embedding import embed_texts as embed_texts
    from tailrace.semantic.embedding import embed_waiting as embed_waiting
    from tailrace.semantic.evidence import Evidence as Evidence
    from tailrace.semantic.extract import Quote as Quote
    from tailrace.semantic.extract import best_sentences as best_sentences
    from tailrace.semantic.hybrid import HybridSearch as HybridSearch
    from tailrace.semantic.minilm import MiniLm as MiniLm
    from tailrace.semantic.outcomes import SemanticAnswer as SemanticAnswer
    from tailrace.semantic.outcomes import SemanticExplanation as SemanticExplanation
    from tailrace.semantic.outcomes import SemanticStatistics as SemanticStatistics
    from tailrace.semantic.retriever import Found as Found
    from tailrace.semantic.retriever import Retriever as Retriever
    from tailrace.semantic.scope import Scope as Scope
    from tailrace.semantic.stored_questions import StoredQuestions as StoredQuestions
    from tailrace.semantic.stored_questions import prepare_questions as prepare_questions
    from tailrace.semantic.streamed import streamed_answer as streamed_answer

_HOME = {
    "Embedder": "embedder",
    "EmbeddingProgress": "embedding",
    "Evidence": "evidence",
    "Found": "retriever",
    "HybridSearch": "hybrid",
    "MiniLm": "minilm",
    "Model": "embedder",
    "Quote": "extract",
    "Retriever": "retriever",
    "Scope": "scope",
    "SemanticAnswer": "outcomes",
    "SemanticCache": "cache",
    "SemanticExplanation": "outcomes",
    "SemanticStatistics": "outcomes",
    "StoredQuestions": "stored_questions",
    "Vector": "embedder",
    "best_sentences": "extract",
    "embed_texts": "embedding",
    "embed_waiting": "embedding",
    "prepare_questions": "stored_questions",
    "streamed_answer": "streamed",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
