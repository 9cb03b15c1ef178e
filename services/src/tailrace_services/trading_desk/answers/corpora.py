"""Which corpora there are. Pure: SQL text and what its rows mean."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import text

from tailrace_services.trading_desk.answers.default_corpus import DEFAULT_CORPUS

__all__ = ["CANDIDATES", "HOLDS", "STATE", "WAITS", "candidates"]

LOADED = "documents"
"""The corpus that ``tailrace docs load`` fills unless told otherwise."""
CANDIDATES = (LOADED, DEFAULT_CORPUS)
"""Which corpus is meant where none is named: the first of these that there is."""

HOLDS = text("SELECT EXISTS (SELECT FROM docs.documents WHERE corpus = :corpus)")
WAITS = text("SELECT EXISTS (SELECT FROM docs.chunks WHERE corpus = :corpus AND embedding IS NULL)")
"""Whether passages wait for their vectors: what is nearest among the others says nothing."""
STATE = text("""
SELECT d.corpus, count(DISTINCT d.id) AS documents, count(c.id) AS passages,
    count(c.id) FILTER (WHERE c.embedding IS NULL) AS waiting
FROM docs.documents d LEFT JOIN docs.chunks c ON c.document_id = d.id GROUP BY d.corpus ORDER BY d.corpus
""")


def candidates(named: str | None) -> Iterable[str]:
    """The corpora to look for, in order."""
    return CANDIDATES if named is None else (named,)
