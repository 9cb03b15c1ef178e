"""Vectors of posts as soon as the service has started, instead of at the next full hour. Touches: the database."""

from __future__ import annotations

import logging

from sqlalchemy.exc import SQLAlchemyError

from tailrace.db import Database
from tailrace.errors import TailraceError
from tailrace_services.research_hub.jobs import embed_posts

__all__ = ["LATER", "enqueue_embedding"]

LATER = 3.0
"""Seconds after the start: until then a process has enough to do."""

_log = logging.getLogger("tailrace_services")


async def enqueue_embedding(database: Database) -> None:
    """Leave it to a worker; one job, however many processes start. Trouble is logged: posts are found by their words.

    Cost: 4 round trips.
    """
    try:
        async with database.session() as session:
            await embed_posts.options(after=LATER, key="start").enqueue(session)
            await session.commit()
    except (TailraceError, SQLAlchemyError) as error:  # the latter where nobody has prepared a queue
        _log.warning("posts get no vectors before the next full hour: %s", getattr(error, "orig", None) or error)
