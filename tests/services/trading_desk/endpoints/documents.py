"""A few documents that questions are asked of."""

from __future__ import annotations

from tailrace.db import Database
from tailrace.semantic import Embedder
from tailrace.semantic.documents import Source, load_documents

__all__ = ["QUESTIONS", "TEXTS", "load"]

TEXTS = {
    "margin": "# Margin\n\nA margin call is answered within one hour. Raise it with the risk desk.\n",
    "rolling": "# Rolling\n\nRoll a position two days before expiry.\n\n## Gold\n\nGold is rolled in the London fix.\n",
    "limits": "# Limits\n\nThe limit of a trader is checked before each order. An order above it is rejected.\n",
    "fees": "# Fees\n\nFees are charged at settlement. Brokers send an invoice each month.\n",
}
QUESTIONS = (
    "How soon must a margin call be answered?",
    "when do I roll a position",
    "Who is told about an order above the limit?",
    "what do brokers send",
    "zzz",
)


async def load(url: str, texts: dict[str, str] = TEXTS, corpus: str = "documents") -> None:
    """Put documents into a database of the service's, in place of those of the same corpus."""
    database, embedder = Database(url), Embedder()
    try:
        sources = [Source(path, "markdown", text.encode) for path, text in texts.items()]
        await load_documents(database, corpus, sources, embedder)
    finally:
        await embedder.aclose()
        await database.aclose()
