"""Vectors of posts, without which questions are answered by words alone. Touches: a database, the processor.

As many as the smallest scale has posts get one, whatever the scale: some minutes, where all of a large one take hours.
``tailrace-services research-hub embed`` gives the others theirs.
"""

from __future__ import annotations

from tailrace.db import Database
from tailrace.semantic import Embedder, EmbeddingProgress, embed_waiting
from tailrace_services.data.connection import open_connection
from tailrace_services.prove.subject import Report
from tailrace_services.research_hub.optimised.research import SEARCH

__all__ = ["MOST", "embed_some", "say_vectors"]

MOST = 5_000
"""Posts that are given a vector, at most."""
HELD = "SELECT count(*) AS posts, count(embedding) AS held FROM contents"


async def embed_some(url: str, report: Report) -> int:
    """Give vectors to posts until ``MOST`` have one, and return how many have got one now.

    Raises:
        DatabaseError: one of its kinds; what was done stays, and the next run goes on.
    """
    posts, held = await _counted(url)
    wanted = max(0, min(posts, MOST) - held)
    if not wanted:
        return 0
    database, embedder = Database(url), Embedder()

    def told(step: EmbeddingProgress) -> None:
        report("vectors of posts", step.done, wanted)

    try:
        return await embed_waiting(database, SEARCH, embedder, most=wanted, progress=told)
    finally:
        await embedder.aclose()
        await database.aclose()


async def say_vectors(url: str) -> str:
    """How many posts are found by their meaning."""
    posts, held = await _counted(url)
    return f"{held:,} of {posts:,} posts have a vector, the others are found by their words"


async def _counted(url: str) -> tuple[int, int]:
    """Posts, and those that have a vector."""
    async with open_connection(url) as connection:
        [row] = await connection.fetch(HELD)
    return row["posts"], row["held"]
