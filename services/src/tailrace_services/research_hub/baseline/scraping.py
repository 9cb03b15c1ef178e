"""Collecting as it was: asked for anew each time, and kept post by post. Touches: the network, the database."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from tailrace.errors import RequestError
from tailrace.settings import OutboundSettings
from tailrace_services.plain_sessions import Sessions
from tailrace_services.research_hub.api.scrape import Collected, CollectedPost
from tailrace_services.research_hub.model import Author, Content
from tailrace_services.research_hub.scraping.posts import ScrapedPost
from tailrace_services.research_hub.scraping.scraper import Scraper

__all__ = ["BaselineCollector"]


class BaselineCollector:
    """``Collector`` that remembers nothing.

    Args:
        sessions: the service's.
        settings: what may be asked.
    """

    def __init__(self, sessions: Sessions, settings: OutboundSettings) -> None:
        self._sessions = sessions
        self._scraper = Scraper(settings)

    async def collect(self, url: str, now: datetime) -> bytes:
        """One transaction; who comes at the same time with the same posts may have to come again."""
        found = await self._scraper.find(url)
        async with self._sessions.begin() as session:
            try:
                kept = [await _keep(session, post, found.host, now) for post in found.posts]
            except IntegrityError as error:
                message = "somebody else collects these posts just now"
                raise RequestError(message, status=409, code="conflict") from error
        return Collected(url=found.url, kind=found.kind, contents=kept).json_bytes()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._scraper.aclose()


async def _keep(session: AsyncSession, post: ScrapedPost, host: str, now: datetime) -> CollectedPost:
    whose = (Author.platform == post.platform) & (Author.username == post.author)
    author = await session.scalar(select(Author).where(whose))
    if author is None:
        author = Author(platform=post.platform, username=post.author, display_name=post.author)
        session.add(author)
        await session.flush()
    content = await session.scalar(select(Content).where(Content.url == post.url))
    if content is None:
        content = Content(
            url=post.url, platform=post.platform, author_id=author.id, published_at=post.published_at or now
        )
        content.title, content.body, content.scraped_at = post.title, post.body, now
        session.add(content)
        await session.flush()
    elif post.platform == host and (content.title, content.body) != (post.title, post.body):
        content.title, content.body, content.scraped_at = post.title, post.body, now
        content.analyzed_at = content.embedding = None
    owner = await session.get_one(Author, content.author_id)
    return CollectedPost(
        id=content.id,
        url=content.url,
        platform=content.platform,
        author=owner.username,
        title=content.title,
        published_at=content.published_at,
    )
