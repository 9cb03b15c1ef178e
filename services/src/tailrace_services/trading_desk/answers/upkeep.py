"""Loads the default documents where there are none, while questions are answered. Touches: the database, a task.

Texts first, which takes a second or two, then vectors, which take minutes, since most of the time is left to requests:
until a passage has one, it is found by its words alone, and ``/query/documents`` says how many wait. Of several
processes one does it, and whatever ends it, the next one that starts goes on. The optimised service leaves it to its
job ``load-default-documents``; the original, which knows no jobs, does it beside its requests.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from sqlalchemy import text

from tailrace.db import Database
from tailrace.errors import TailraceError
from tailrace.semantic import Embedder
from tailrace.semantic.documents import load_documents
from tailrace_services.trading_desk.answers.default_corpus import DEFAULT_CORPUS, python_sources

__all__ = ["LATER", "keeping_default_documents", "load_default_documents"]

_OTHERS = text("SELECT EXISTS (SELECT FROM docs.documents WHERE corpus <> :corpus)")
_LOCK = text("SELECT pg_try_advisory_lock(hashtextextended('trading desk documents', 0))")

LATER = 3.0
"""Seconds after its start at which a process looks whether there are any: until then it has enough to do."""
REST = 3.0
"""Seconds left to requests for each second of making vectors."""

_log = logging.getLogger("tailrace_services")


async def load_default_documents(url: str, embedder: Embedder) -> None:
    """Load them, unless other documents are there or another process is at it.

    Args:
        url: of the server itself, since a session's lock is held meanwhile.

    Raises:
        DatabaseError: one of its kinds.

    Cost: one vector for each of some 1,500 passages, once, in a quarter of a thread's time.
    """
    database = Database(url)
    try:
        async with database.session() as session:  # holds the lock
            if not (await session.execute(_LOCK)).scalar_one():
                return
            others = (await session.execute(_OTHERS, {"corpus": DEFAULT_CORPUS})).scalar_one()
            sources = [] if others else await asyncio.to_thread(python_sources)
            await session.commit()
            if sources:
                await load_documents(database, DEFAULT_CORPUS, sources, embedder, rest=REST)
    finally:
        await database.aclose()


@asynccontextmanager
async def keeping_default_documents(url: str, embedder: Embedder, *, wanted: bool) -> AsyncIterator[None]:
    """Load them in the background of the block, if that is wanted."""
    task = asyncio.create_task(_load(url, embedder), name="trading desk documents") if wanted else None
    try:
        yield
    finally:
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def _load(url: str, embedder: Embedder) -> None:
    await asyncio.sleep(LATER)
    try:
        await load_default_documents(url, embedder)
    except TailraceError as error:  # nobody's request: what there is goes on being found
        _log.warning("the default documents could not be loaded: %s", error)
